"""A cross-validated SVM grid: through one Gram matrix, against plain scikit-learn.

Both start from MobileNet's feature maps at 128 pixels, 1,020 training rows of 16,384 columns, and
end with the chosen SVM's predictions for 340 images: 21 variants (kernel × C × gamma) in 5 folds.

  project: evaluate("svm", search=True) on row_space(features), coordinates included
  plain:   GridSearchCV(SVC) on the normalised float32 columns, then predict; with its defaults

The plain side takes an hour. So by default one fold of three variants (one per kernel) and the
final fit are measured, and the grid is extrapolated from them; `--full` measures all of it, once.
Predictions are compared wherever both sides computed them.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measuring import SEED, Measurement, Timer, arguments, load, measured, median, print_machine

KERNELS = ("linear", "rbf", "poly")  # one variant of each kernel, at the default C and gamma


def extract(timer: Timer, images: np.ndarray, weights_dir: Path) -> np.ndarray:
    """Flattened feature maps of MobileNet."""
    from flowers17.transfer.extractors import build_extractor, feature_maps
    from flowers17.transfer.weights import resolve_weights

    source = resolve_weights("mobilenet", weights_dir)
    model = build_extractor("mobilenet", input_size=128, weights_path=source.path, seed=SEED)
    with timer.step("extraction"):
        return feature_maps(model, images, extractor="mobilenet", input_size=128)


def _folds() -> Any:
    from sklearn.model_selection import StratifiedKFold

    from flowers17.seeds import derived_seed

    seed = derived_seed(derived_seed(SEED, "classifier", "svm", "report"), "folds")
    return StratifiedKFold(5, shuffle=True, random_state=seed)


def project(timer: Timer, folder: Path) -> dict[str, Any]:
    """Selected variant, its predictions, and those of the variants that `plain_part` fits."""
    from flowers17.config import ClassifierSettings, SvmSettings
    from flowers17.data.splits import Split
    from flowers17.transfer.classifier_evaluation import evaluate
    from flowers17.transfer.families import FAMILIES, Rows, Task
    from flowers17.transfer.rowspace import row_space

    features, labels = np.load(folder / "features.npy"), np.load(folder / "labels.npy")
    train, validation = np.load(folder / "train.npy"), np.load(folder / "validation.npy")
    split = Split("report", "report", None, train, validation)
    with timer.step("row space"):
        rows = row_space([features])
    with timer.step("grid"):
        result = evaluate(
            "svm",
            ClassifierSettings(),
            rows=rows,
            labels=labels,
            splits=[split],
            seed=SEED,
            search=True,
        )[0]
    fitted, held_out = next(iter(_folds().split(train, labels[train])))
    task = Task(Rows(rows), labels, train[fitted], train[held_out], SEED, 1)
    variants = [SvmSettings(kernel=kernel) for kernel in KERNELS]  # type: ignore[arg-type]
    probas = FAMILIES["svm"].probas(variants, task)
    return {
        "n_variants": len(FAMILIES["svm"].variants(SvmSettings())),
        "chosen": result.chosen,
        "predicted": result.predicted,
        "accuracy": result.accuracy,
        "tried": {k: p.argmax(axis=1) for k, p in zip(KERNELS, probas, strict=True)},
    }


def _svc(**settings: Any) -> Any:
    from sklearn.svm import SVC

    return SVC(break_ties=True, coef0=1.0, **settings)


def plain_part(timer: Timer, folder: Path, chosen: dict[str, Any]) -> dict[str, Any]:
    """Predictions of one variant for each kernel on one fold, and those of the final fit."""
    from flowers17.transfer.rowspace import normalised

    features, labels = np.load(folder / "features.npy"), np.load(folder / "labels.npy")
    train, validation = np.load(folder / "train.npy"), np.load(folder / "validation.npy")
    with timer.step("normalisation"):
        columns = normalised(features)
    x, y = columns[train], labels[train]
    fitted, held_out = next(iter(_folds().split(x, y)))
    tried = {}
    for kernel in KERNELS:
        with timer.step(f"one fit, {kernel}"):
            machine = _svc(kernel=kernel, C=10.0, gamma=1.0).fit(x[fitted], y[fitted])
            tried[kernel] = machine.predict(x[held_out])
    with timer.step("final fit"):
        final = _svc(**{key: chosen[key] for key in ("kernel", "C", "gamma")}).fit(x, y)
        predicted = final.predict(columns[validation])
    return {"tried": tried, "predicted": predicted}


def plain_full(timer: Timer, folder: Path) -> dict[str, Any]:
    """Selected variant of the plain grid search, and its predictions."""
    from sklearn.model_selection import GridSearchCV

    from flowers17.config import SvmSettings
    from flowers17.transfer.rowspace import normalised

    settings = SvmSettings()
    by_gamma = {"C": settings.search_C, "gamma": settings.search_gamma}
    grid = [{"kernel": ["linear"], "C": settings.search_C}]
    grid += [{"kernel": [kernel], **by_gamma} for kernel in ("rbf", "poly")]
    features, labels = np.load(folder / "features.npy"), np.load(folder / "labels.npy")
    train, validation = np.load(folder / "train.npy"), np.load(folder / "validation.npy")
    with timer.step("normalisation"):
        columns = normalised(features)
    with timer.step("grid"):
        search = GridSearchCV(_svc(), grid, cv=_folds())
        search.fit(columns[train], labels[train])
        predicted = search.predict(columns[validation])
    return {"chosen": search.best_params_, "best": search.best_score_, "predicted": predicted}


def _extrapolated(part: Measurement, n_variants: int) -> float:
    """Seconds of the whole plain grid: each kernel's fit × its variants × 5 folds."""
    n_linear = 3
    n_other = (n_variants - n_linear) // 2
    count = {"linear": n_linear, "rbf": n_other, "poly": n_other}
    grid = sum(5 * count[kernel] * part.seconds[f"one fit, {kernel}"] for kernel in KERNELS)
    return grid + part.seconds["normalisation"] + part.seconds["final fit"]


def main() -> None:
    """Measure both ways in turn, check that they agree, and print the ratio."""
    parser = arguments(__doc__)
    parser.add_argument("--full", action="store_true", help="measure the whole plain grid, once")
    options = parser.parse_args()
    print_machine()
    data = load(options.dataset)
    features = measured(extract, data.images, options.weights_dir.absolute()).value
    print(f"features: {len(data.train):,} × {features.shape[1]:,}, {len(data.validation)} validate")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("labels", "train", "validation"):
            np.save(folder / f"{part}.npy", getattr(data, part))
        np.save(folder / "features.npy", features)
        fast, slow = [], []
        for _ in range(options.repeats):
            fast.append(measured(project, folder))
            slow.append(measured(plain_part, folder, fast[-1].value["chosen"]))
        _print_parts(fast, slow)
        if options.full:
            full = measured(plain_full, folder)
            are_equal = np.array_equal(full.value["predicted"], fast[0].value["predicted"])
            print(f"plain, whole grid: {full.total:.0f} s, peak {full.peak_gib:.2f} GiB")
            print(f"plain chose {full.value['chosen']}; predictions equal: {are_equal}")
            print(
                f"ratio, whole grid measured: {full.total / median([m.total for m in fast]):.0f}×"
            )


def _print_parts(fast: list[Measurement], slow: list[Measurement]) -> None:
    value = fast[0].value
    seconds = [measurement.total for measurement in fast]
    estimates = [_extrapolated(measurement, value["n_variants"]) for measurement in slow]
    print(f"chosen: {value['chosen']}, accuracy {value['accuracy']:.3f}")
    print(
        f"project: {median(seconds):.2f} s for {value['n_variants']} variants × 5 folds and the "
        f"final fit (row space {median([m.seconds['row space'] for m in fast]):.2f} s of it), "
        f"peak {max(m.peak_gib for m in fast):.2f} GiB"
    )
    for step in slow[0].seconds:
        print(f"plain, {step}: {median([m.seconds[step] for m in slow]):.2f} s")
    print(f"plain, peak {max(m.peak_gib for m in slow):.2f} GiB")
    print(
        f"plain, whole grid, EXTRAPOLATED from these fits: {median(estimates):.0f} s "
        f"({5 * value['n_variants']} fits and the final one)"
    )
    equal = {
        kernel: all(np.array_equal(m.value["tried"][kernel], value["tried"][kernel]) for m in slow)
        for kernel in KERNELS
    }
    final = all(np.array_equal(m.value["predicted"], value["predicted"]) for m in slow)
    print(f"predictions equal, one fold: {equal}; final fit: {final}")
    ratios = [a / b for a, b in zip(estimates, seconds, strict=True)]
    fit_seconds = [sum(v for k, v in m.seconds.items() if k.startswith("one fit")) for m in slow]
    print(f"ratio, grid extrapolated: {median(ratios):.0f}× (each pair: {_listed(ratios)})")
    print(
        "ratio, measured alone, three plain fits against the whole grid of the project: "
        f"{median([a / b for a, b in zip(fit_seconds, seconds, strict=True)]):.1f}×"
    )


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.0f}×" for value in values)


if __name__ == "__main__":
    main()
