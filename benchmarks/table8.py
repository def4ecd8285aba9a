"""The whole of Table 8 for three extractors: this project against plain code.

Both start from the 1,360 images at 128 pixels and weights on the disk. Both end with the validation
predictions of five classifiers on each extractor, on the report's split, with the same
hyper-parameters and the same normalised columns.

  project: features once per extractor, row-space coordinates for three classifiers, `evaluate`
  plain:   the obvious script for each cell: Keras's application with its weights, `model.predict`,
         flatten, normalise, scikit-learn's classifier on the float32 columns with its defaults for
         all but the hyper-parameters (threads, tolerance). It extracts the features for each of
         the five classifiers; extraction is measured once and counted five times.
  plain, features kept: the same, but with one extraction per extractor

Building a network, loading its weights and compiling it count on both sides; imports do not.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from measuring import (
    SEED,
    Measurement,
    Timer,
    load,
    measured,
    median,
    options_of,
    plain_extractor,
    study_extractor,
)

EXTRACTORS = ("vgg16", "mobilenet", "xception")
CLASSIFIERS = ("naive_bayes", "knn", "svm", "logistic_regression", "random_forest")


def project(timer: Timer, dataset: str, extractor: str, weights_dir: Path) -> dict[str, np.ndarray]:
    """Predictions of every classifier."""
    import keras  # noqa: F401  (not part of the measurement)

    from flowers17.config import ClassifierSettings
    from flowers17.data.splits import Split
    from flowers17.transfer.classifier_evaluation import evaluate
    from flowers17.transfer.extractors import feature_maps
    from flowers17.transfer.rowspace import row_space, side_by_side

    data = load(dataset)
    with timer.step("extraction"):
        model = study_extractor(extractor, weights_dir)
        features = feature_maps(model, data.images, extractor=extractor, input_size=128)
    with timer.step("row space"):
        rows, columns = row_space([features]), side_by_side([features])
    predicted = {}
    for classifier in CLASSIFIERS:
        with timer.step(classifier):
            result = evaluate(
                classifier,
                ClassifierSettings(),
                features=columns,
                rows=rows,
                labels=data.labels,
                splits=[Split("report", "report", None, data.train, data.validation)],
                seed=SEED,
            )
            predicted[classifier] = result[0].predicted
    return predicted


def plain(timer: Timer, dataset: str, extractor: str, weights_dir: Path) -> dict[str, np.ndarray]:
    """Predictions of every classifier, with Keras and scikit-learn alone."""
    import keras  # noqa: F401
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import normalize
    from sklearn.svm import SVC

    from flowers17.seeds import derived_seed

    data = load(dataset)
    with timer.step("extraction"):
        model, preprocessed = plain_extractor(extractor, weights_dir)
        maps = model.predict(preprocessed(data.images.astype(np.float32)), verbose=0)
        features = maps.reshape(len(maps), -1)
    with timer.step("normalisation"):
        columns = normalize(np.sign(features) * np.sqrt(np.abs(features)))
    forest_seed = derived_seed(SEED, "classifier", "random_forest", "report", "fit")
    models = {
        "naive_bayes": GaussianNB(var_smoothing=1e-2),
        "knn": KNeighborsClassifier(5, weights="distance"),
        "svm": SVC(C=10, gamma=1, break_ties=True),
        "logistic_regression": LogisticRegression(C=100, max_iter=10_000),
        "random_forest": RandomForestClassifier(500, random_state=forest_seed),
    }
    predicted = {}
    for classifier, estimator in models.items():
        with timer.step(classifier):
            estimator.fit(columns[data.train], data.labels[data.train])
            predicted[classifier] = estimator.predict(columns[data.validation])
    return predicted


def main() -> None:
    """Measure both ways in turn for each extractor, compare predictions, and print the ratios."""
    options = options_of(__doc__, "dataset", "weights_dir", "repeats")
    data = load(options.dataset)
    truth = data.labels[data.validation]
    rounds: list[tuple[list[Measurement], list[Measurement]]] = []
    for _ in range(options.repeats):
        rounds.append(([], []))
        for extractor in EXTRACTORS:
            for side, measurements in zip((project, plain), rounds[-1], strict=True):
                place = (options.dataset, extractor, options.weights_dir)
                measurements.append(measured(side, *place))
            _print_pair(extractor, rounds[-1][0][-1], rounds[-1][1][-1], truth)
    fast, slow = zip(*rounds, strict=True)
    project_s, stored_s = ([sum(m.total for m in ms) for ms in side] for side in (fast, slow))
    extra_s = [sum(m.seconds["extraction"] for m in ms) for ms in slow]
    n_repeated = len(CLASSIFIERS) - 1
    repeated_s = [a + n_repeated * b for a, b in zip(stored_s, extra_s, strict=True)]
    print(f"project {median(project_s):.0f} s, peak {_peak(fast):.2f} GiB")
    for text, seconds in (("plain", repeated_s), ("plain, features kept", stored_s)):
        ratio = median([a / b for a, b in zip(seconds, project_s, strict=True)])
        print(f"{text} {median(seconds):.0f} s, peak {_peak(slow):.2f} GiB: {ratio:.2f}×")


def _peak(runs: Iterable[list[Measurement]]) -> float:
    return max(m.peak_gib for measurements in runs for m in measurements)


def _print_pair(extractor: str, fast: Measurement, slow: Measurement, truth: np.ndarray) -> None:
    print(f"{extractor}: project {fast.total:.1f} s, plain with features kept {slow.total:.1f} s")
    for step in dict.fromkeys([*fast.seconds, *slow.seconds]):
        project_s, plain_s = fast.seconds.get(step), slow.seconds.get(step)
        times = " ".join(f"{'–' if s is None else f'{s:.2f}':>8}" for s in (project_s, plain_s))
        comparison = ""
        if step in CLASSIFIERS:
            predicted, plain_predicted = fast.value[step], slow.value[step]
            accuracies = (np.mean(predicted == truth), np.mean(plain_predicted == truth))
            n_different = np.count_nonzero(predicted != plain_predicted)
            comparison = (
                f"  accuracy {accuracies[0]:.3f} {accuracies[1]:.3f}, "
                f"{n_different} of {len(truth)} predictions differ"
            )
        print(f"  {step:20} {times} s{comparison}", flush=True)


if __name__ == "__main__":
    main()
