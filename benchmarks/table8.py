"""The whole of Table 8 for three extractors: this project against plain code.

Both start from the 1,360 images at 128 pixels and weights on the disk. Both end with the validation
predictions of five classifiers on each extractor; benchmarks/README.md says how they get there.
"""

from pathlib import Path

import numpy as np
from measuring import SEED, Timer, beside_plain, load, options_of, plain_extractor, study_extractor

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
    table, predictions = beside_plain((project, plain), EXTRACTORS, options)
    for extractor, own, other in predictions:
        for classifier in CLASSIFIERS:
            n_differing = np.count_nonzero(own[classifier] != other[classifier])
            accuracies = [np.mean(side[classifier] == truth) for side in (own, other)]
            print(
                f"{extractor}, {classifier}: accuracy {accuracies[0]:.3f} {accuracies[1]:.3f}, "
                f"{n_differing} of {len(truth)} predictions differ"
            )
    print(table.pivot_table("seconds", ["extractor", "step"], "side", "median").round(2))
    totals = table.pivot_table("seconds", "repeat", "side", "sum")
    extraction = table[(table["step"] == "extraction") & (table["side"] == "plain")]
    repeated = (len(CLASSIFIERS) - 1) * extraction.groupby("repeat")["seconds"].sum()
    totals["plain, each cell extracts"] = totals["plain"] + repeated
    print("seconds\n", totals.median().round(), "\npeak GiB\n", table.groupby("side")["GiB"].max())
    print("ratios\n", totals.div(totals["project"], axis=0).median().round(2))


if __name__ == "__main__":
    main()
