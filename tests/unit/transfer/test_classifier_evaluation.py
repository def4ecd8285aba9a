"""Every classifier predicts what plain scikit-learn predicts on the normalised columns."""

import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.base import ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC, LinearSVC

from flowers17.config import (
    ClassifierSettings,
    LogisticRegressionSettings,
    NeighboursSettings,
    RandomForestSettings,
    SvmSettings,
)
from flowers17.data.splits import Split
from flowers17.errors import InvalidSettings
from flowers17.seeds import derived_seed
from flowers17.transfer import classifier_evaluation, naive_bayes
from flowers17.transfer.classifier_evaluation import SplitResult, evaluate, fits
from flowers17.transfer.classifiers import FAMILIES, Task
from flowers17.transfer.rowspace import row_space, side_by_side
from tests.unit.transfer.made_features import FeatureCase, feature_case

SEED = 17
SETTINGS = ClassifierSettings(
    random_forest=RandomForestSettings(n_estimators=20, search_n_estimators=5),
    svm=SvmSettings(search_C=(1.0, 10.0), search_gamma=(0.5, 1.0)),
    logistic_regression=LogisticRegressionSettings(search_C=(1.0, 100.0)),
)


def _forest_seed(split: str) -> int:
    return derived_seed(SEED, "classifier", "random_forest", split, "fit")


PLAIN: dict[str, Callable[[str], ClassifierMixin]] = {
    "naive_bayes": lambda split: GaussianNB(var_smoothing=1e-2),
    "knn": lambda split: KNeighborsClassifier(5, weights="distance"),
    "svm": lambda split: SVC(C=10, gamma=1, break_ties=True),
    "logistic_regression": lambda split: LogisticRegression(C=100, tol=1e-8, max_iter=10_000),
    "random_forest": lambda split: RandomForestClassifier(20, random_state=_forest_seed(split)),
}


@pytest.fixture(scope="module")
def case() -> FeatureCase:
    return feature_case(widths=(600, 90))


def _evaluated(classifier: str, case: FeatureCase, **options: Any) -> list[SplitResult]:
    settings = options.pop("settings", SETTINGS)
    return evaluate(
        classifier,
        settings,
        features=side_by_side(case.maps),
        rows=row_space(case.maps),
        labels=options.pop("labels", case.labels),
        splits=case.splits,
        seed=SEED,
        **options,
    )


@pytest.mark.parametrize("classifier", FAMILIES)
def test_predictions_equal_plain_scikit_learn_on_the_columns(
    classifier: str, case: FeatureCase
) -> None:
    columns = side_by_side(case.maps).astype(np.float64)
    for split, result in zip(case.splits, _evaluated(classifier, case), strict=True):
        plain = PLAIN[classifier](split.name)
        plain.fit(columns[split.train], case.labels[split.train])
        np.testing.assert_array_equal(result.predicted, plain.predict(columns[split.validation]))
        if classifier != "svm":
            np.testing.assert_allclose(
                result.proba, plain.predict_proba(columns[split.validation]), atol=1e-3
            )
        assert 0.4 < result.accuracy < 1  # neither chance nor child's play


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly"])
def test_svm_equals_scikit_learn_with_every_kernel(kernel: Any, case: FeatureCase) -> None:
    columns = side_by_side(case.maps).astype(np.float64)
    settings = ClassifierSettings(svm=SvmSettings(kernel=kernel, C=3, gamma=0.7))
    for split, result in zip(case.splits, _evaluated("svm", case, settings=settings), strict=True):
        plain = SVC(kernel=kernel, C=3, gamma=0.7, degree=3, coef0=1, break_ties=True)
        plain.fit(columns[split.train], case.labels[split.train])
        np.testing.assert_array_equal(result.predicted, plain.predict(columns[split.validation]))


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly"])
def test_approximate_svm_of_all_landmarks_is_a_linear_machine_on_the_whole_kernel(
    kernel: Any, case: FeatureCase
) -> None:
    split, columns = case.splits[0], side_by_side(case.maps).astype(np.float64)
    svm = SvmSettings(kernel=kernel, exact_up_to=1, n_landmarks=10_000)
    result = _evaluated("svm", case, settings=SETTINGS.model_copy(update={"svm": svm}))[0]
    shape = {"linear": {}, "rbf": {"gamma": 1.0}, "poly": {"gamma": 1.0, "degree": 3, "coef0": 1.0}}
    products = pairwise_kernels(columns, columns[split.train], kernel, **shape[kernel])
    values, vectors = np.linalg.eigh(products[split.train])
    above_rounding = values > 1e-9
    mapped = products @ vectors[:, above_rounding] / np.sqrt(values[above_rounding])
    plain = LinearSVC(C=10, dual=False).fit(mapped[split.train], case.labels[split.train])
    assert np.array_equal(result.predicted, plain.predict(mapped[split.validation]))


def test_svm_is_approximated_only_beyond_its_limit(case: FeatureCase) -> None:
    n_train = len(case.splits[0].train)
    exact, limit, beyond = (
        _evaluated("svm", case, settings=SETTINGS.model_copy(update={"svm": svm}))[0].proba
        for svm in (
            SvmSettings(),
            SvmSettings(exact_up_to=n_train),
            SvmSettings(exact_up_to=n_train - 1),
        )
    )
    assert np.array_equal(exact, limit)
    assert not np.array_equal(exact, beyond)


@pytest.mark.parametrize("classifier", ["naive_bayes", "knn", "svm", "logistic_regression"])
def test_components_equal_a_scikit_learn_pipeline(classifier: str, case: FeatureCase) -> None:
    columns = side_by_side(case.maps).astype(np.float64)
    for split, result in zip(
        case.splits, _evaluated(classifier, case, n_components=12), strict=True
    ):
        plain = make_pipeline(PCA(12, svd_solver="full"), PLAIN[classifier](split.name))
        plain.fit(columns[split.train], case.labels[split.train])
        np.testing.assert_array_equal(result.predicted, plain.predict(columns[split.validation]))


def test_svm_search_equals_a_scikit_learn_grid_search(case: FeatureCase) -> None:
    columns = side_by_side(case.maps).astype(np.float64)
    split, result = case.splits[0], _evaluated("svm", case, search=True)[0]
    settings = SETTINGS.svm
    folds = StratifiedKFold(
        5,
        shuffle=True,
        random_state=derived_seed(derived_seed(SEED, "classifier", "svm", "report"), "folds"),
    )
    by_gamma = {"C": settings.search_C, "gamma": settings.search_gamma}
    grid = [
        {"kernel": ["linear"], "C": settings.search_C},
        {"kernel": ["rbf"], **by_gamma},
        {"kernel": ["poly"], **by_gamma},
    ]
    plain = GridSearchCV(SVC(coef0=1, break_ties=True), grid, cv=folds, refit=False)
    plain.fit(columns[split.train], case.labels[split.train])
    scores = [
        score
        for variant, score in zip(
            plain.cv_results_["params"], plain.cv_results_["mean_test_score"], strict=True
        )
        if all(result.chosen[key] == value for key, value in variant.items())
    ]
    assert scores == [pytest.approx(plain.cv_results_["mean_test_score"].max())]


def _trials(monkeypatch: pytest.MonkeyPatch, case: FeatureCase, **options: Any) -> list[Task]:
    """Tasks of a search on one split, fold by fold."""
    tasks: list[Task] = []
    fit = FAMILIES["knn"].fit

    def recording_fit(settings: Any, task: Task, previous: Any) -> Any:
        if not tasks or tasks[-1] is not task:
            tasks.append(task)
        return fit(settings, task, previous)

    knn = replace(FAMILIES["knn"], fit=recording_fit)
    monkeypatch.setattr(classifier_evaluation, "FAMILIES", {**FAMILIES, "knn": knn})
    one_split = FeatureCase(case.maps, case.labels, case.splits[:1])
    _evaluated("knn", one_split, search=True, n_jobs=1, **options)
    return [task for task in tasks if task.is_trial]


def test_search_keeps_near_duplicates_in_one_fold(
    case: FeatureCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = case.splits[0].train
    groups = np.arange(len(case.labels))
    groups[train[1::2]] = groups[train[::2]]  # pairs, some of which span classes
    tasks = _trials(monkeypatch, case, groups=groups)
    assert len(tasks) == 5
    for task in tasks:
        assert not set(groups[task.train]) & set(groups[task.evaluated])
        assert np.union1d(task.train, task.evaluated).tolist() == train.tolist()
    held_out = np.concatenate([task.evaluated for task in tasks])
    assert np.sort(held_out).tolist() == train.tolist()


def test_search_without_near_duplicates_divides_as_it_did(
    case: FeatureCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups of one training image each, whatever they share with held-out ones, change nothing."""
    split = case.splits[0]
    groups = np.arange(len(case.labels))
    groups[split.validation] = split.train[: len(split.validation)]
    seed = derived_seed(derived_seed(SEED, "classifier", "knn", "report"), "folds")
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    expected = [
        split.train[held_out].tolist()
        for _, held_out in folds.split(split.train, case.labels[split.train])
    ]
    for grouping in (None, np.arange(len(case.labels)), groups):
        tasks = _trials(monkeypatch, case, groups=grouping)
        assert [task.evaluated.tolist() for task in tasks] == expected


def test_search_has_as_many_folds_as_the_smallest_class_has_groups(
    case: FeatureCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = np.arange(len(case.labels))
    few = np.flatnonzero(case.labels == 2)
    groups[few] = few[0] + np.arange(len(few)) % 3
    tasks = _trials(monkeypatch, case, groups=groups)
    assert len(tasks) == 3
    assert all(set(case.labels[task.train]) == set(range(5)) for task in tasks)


@pytest.mark.parametrize("classifier", FAMILIES)
def test_search_equals_fitting_with_what_it_chose(classifier: str, case: FeatureCase) -> None:
    for split, searched in zip(case.splits, _evaluated(classifier, case, search=True), strict=True):
        own = getattr(SETTINGS, classifier).model_copy(update=searched.chosen)
        settings = SETTINGS.model_copy(update={classifier: own})
        [again] = _evaluated(classifier, replace(case, splits=[split]), settings=settings)
        assert searched.proba.tobytes() == again.proba.tobytes()


@pytest.mark.parametrize("classifier", FAMILIES)
def test_probabilities_sum_to_one_and_agree_with_the_prediction(
    classifier: str, case: FeatureCase
) -> None:
    for split, result in zip(case.splits, _evaluated(classifier, case), strict=True):
        assert result.proba.dtype == np.float64
        assert result.predicted.dtype == np.int64
        np.testing.assert_allclose(result.proba.sum(axis=1), 1)
        np.testing.assert_array_equal(result.proba.argmax(axis=1), result.predicted)
        n_correct = np.count_nonzero(result.predicted == case.labels[split.validation])
        assert result.n_correct == n_correct == round(result.accuracy * len(split.validation))


@pytest.mark.parametrize("search", [False, True])
@pytest.mark.parametrize("classifier", FAMILIES)
def test_labels_of_validation_images_choose_nothing(
    classifier: str, search: bool, case: FeatureCase
) -> None:
    labels = case.labels.copy()
    validation = case.splits[0].validation
    labels[validation] = (labels[validation] + 1) % 5
    one_split = FeatureCase(case.maps, case.labels, case.splits[:1])
    undisturbed = _evaluated(classifier, one_split, search=search)[0]
    disturbed = _evaluated(classifier, one_split, search=search, labels=labels)[0]
    assert undisturbed.proba.tobytes() == disturbed.proba.tobytes()
    assert undisturbed.chosen == disturbed.chosen


@pytest.mark.parametrize("classifier", FAMILIES)
def test_other_splits_and_threads_change_nothing(classifier: str, case: FeatureCase) -> None:
    forwards = _evaluated(classifier, case, n_jobs=2)
    reversed_case = FeatureCase(case.maps, case.labels, case.splits[::-1])
    backwards = _evaluated(classifier, reversed_case, n_jobs=1)[::-1]
    for first, second in zip(forwards, backwards, strict=True):
        assert first.name == second.name
        assert first.proba.tobytes() == second.proba.tobytes()


@pytest.mark.parametrize("search", [False, True])
def test_splits_and_folds_of_a_search_are_fitted_side_by_side(
    search: bool, case: FeatureCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fit waits until another one has begun: of the other split, or of another fold."""
    fitted: set[bytes] = set()
    beside = threading.Event()

    def waiting_fit(settings: Any, task: Task, previous: Any) -> Any:
        fitted.add(task.train.tobytes())
        if len(fitted) > 1:
            beside.set()
        assert beside.wait(60), "no other fit has begun"
        return FAMILIES["knn"].fit(settings, task, previous)

    knn = replace(FAMILIES["knn"], fit=waiting_fit)
    monkeypatch.setattr(classifier_evaluation, "FAMILIES", {**FAMILIES, "knn": knn})
    splits = case.splits[:1] if search else case.splits
    cases = FeatureCase(case.maps, case.labels, splits)
    assert len(_evaluated("knn", cases, search=search, n_jobs=2)) == len(splits)


@pytest.mark.parametrize(("classifier", "share"), [("naive_bayes", 0.8), ("random_forest", 1.5)])
def test_workers_share_the_columns(
    classifier: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory beside the columns: naive Bayes copies a few at a time, a forest the training rows."""
    monkeypatch.setattr(naive_bayes, "COLUMNS_PER_BLOCK", 1024)
    columns = np.random.default_rng(0).random((200, 20_000), np.float32)
    rows = np.arange(200)
    splits = [
        Split(f"{k}", "repeated", 1, np.delete(rows, rows[k::20]), rows[k::20]) for k in (0, 1)
    ]
    settings = ClassifierSettings(random_forest=RandomForestSettings(n_estimators=4))
    tracemalloc.start()
    try:
        evaluate(
            classifier, settings, features=columns, labels=rows % 3, splits=splits, seed=1, n_jobs=2
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < share * columns.nbytes


def test_forest_has_the_trees_of_scikit_learn(case: FeatureCase) -> None:
    columns, split = side_by_side(case.maps), case.splits[0]
    plain = RandomForestClassifier(20, random_state=_forest_seed(split.name))
    plain.fit(columns[split.train], case.labels[split.train])
    [fit] = fits(
        "random_forest", SETTINGS, features=columns, labels=case.labels, splits=[split], seed=SEED
    )
    for tree, plain_tree in zip(fit.model.estimators_, plain.estimators_, strict=True):
        for array in ("feature", "threshold", "value", "children_left", "n_node_samples"):
            np.testing.assert_array_equal(
                getattr(tree.tree_, array), getattr(plain_tree.tree_, array), array
            )


def test_two_classes_are_as_good_as_many() -> None:
    pair = feature_case(n_classes=2)
    for classifier in FAMILIES:
        for result in _evaluated(classifier, pair):
            assert result.proba.shape == (8, 2)
            np.testing.assert_array_equal(result.proba.argmax(axis=1), result.predicted)


def test_fewer_training_images_than_neighbours_all_vote() -> None:
    pair = feature_case(n_classes=2)
    settings = ClassifierSettings(knn=NeighboursSettings(n_neighbors=100, weights="uniform"))
    result = _evaluated("knn", pair, settings=settings)[0]
    np.testing.assert_allclose(result.proba, 0.5)


def test_only_what_a_classifier_needs_is_read(case: FeatureCase) -> None:
    rows = row_space(case.maps)
    common = {"labels": case.labels, "splits": case.splits, "seed": SEED}
    evaluate("knn", SETTINGS, rows=rows, **common)  # type: ignore[arg-type]
    evaluate("naive_bayes", SETTINGS, rows=rows, n_components=3, **common)  # type: ignore[arg-type]


def test_progress_counts_the_splits(case: FeatureCase) -> None:
    counts: list[tuple[int, int]] = []
    _evaluated("knn", case, progress=lambda n_done, n_splits: counts.append((n_done, n_splits)))
    assert counts == [(1, 2), (2, 2)]


def test_unknown_classifier_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidSettings, match="naive_bayes, knn, svm"):
        _evaluated("perceptron", feature_case(widths=(80,)))


class TestBalancedClassWeights:
    """Classes of 48 and 8 images, 12 and 2 of them held out."""

    @pytest.fixture
    def unequal(self) -> FeatureCase:
        whole = feature_case(n_classes=2, n_each=64, widths=(80,))
        rows = np.concatenate([np.arange(56), np.arange(64, 72)])
        held_out = np.concatenate([np.arange(0, 56, 4), [56, 60]])
        train = np.setdiff1d(np.arange(64), held_out)
        split = Split("clean", "clean", 1, train, held_out)
        return FeatureCase([whole.maps[0][rows]], whole.labels[rows], [split])

    @pytest.mark.parametrize("classifier", FAMILIES)
    def test_are_scikit_learn_s(self, classifier: str, unequal: FeatureCase) -> None:
        plain = {
            "naive_bayes": GaussianNB(var_smoothing=1e-2, priors=[0.5, 0.5]),
            "knn": KNeighborsClassifier(5, weights="distance"),
            "svm": SVC(C=10, gamma=1, class_weight="balanced"),
            "logistic_regression": LogisticRegression(
                C=100, tol=1e-8, max_iter=10_000, class_weight="balanced"
            ),
            "random_forest": RandomForestClassifier(
                20, random_state=_forest_seed("clean"), class_weight="balanced"
            ),
        }[classifier]
        [split], columns = unequal.splits, side_by_side(unequal.maps).astype(np.float64)
        plain.fit(columns[split.train], unequal.labels[split.train])
        result = _evaluated(classifier, unequal, class_weight="balanced")[0]
        np.testing.assert_array_equal(result.predicted, plain.predict(columns[split.validation]))
        if classifier != "svm":
            expected = plain.predict_proba(columns[split.validation])
            np.testing.assert_allclose(result.proba, expected, atol=1e-3)


def test_a_search_among_unequal_classes_prefers_the_highest_balanced_accuracy() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [52, 12])
    # Some of the larger class lie where the smaller class does.
    points = rng.normal(size=(64, 2)) + 9 * (np.arange(64) >= 32)[:, None]
    split = Split("clean", "clean", 1, np.arange(1, 63), np.array([0, 63]))
    settings = NeighboursSettings(search_n_neighbors=(45, 1), weights="uniform")
    folds = classifier_evaluation.search_folds(labels, np.arange(64), split, 0)
    scores = []
    for n_neighbors in (45, 1):
        plain = KNeighborsClassifier(n_neighbors)
        fits = [(plain.fit(points[f], labels[f]).predict(points[h]), labels[h]) for f, h in folds]
        predicted, truth = (np.concatenate(each) for each in zip(*fits, strict=True))
        recalls = [np.mean(predicted[truth == label] == label) for label in (0, 1)]
        scores.append((np.mean(predicted == truth), np.mean(recalls)))
    (accuracy_of_45, recall_of_45), (accuracy_of_1, recall_of_1) = scores
    assert accuracy_of_45 > accuracy_of_1
    assert recall_of_45 < recall_of_1
    [result] = evaluate(
        "knn",
        SETTINGS.model_copy(update={"knn": settings}),
        rows=points,
        labels=labels,
        splits=[split],
        seed=SEED,
        search=True,
    )
    assert result.chosen["n_neighbors"] == 1


class TestOutOfFold:
    def test_training_images_are_predicted_by_fits_without_them(self) -> None:
        case = feature_case(n_classes=2, widths=(80,))
        columns, split = side_by_side(case.maps).astype(np.float64), case.splits[0]
        groups = np.arange(len(case.labels))
        task_seed = derived_seed(SEED, "classifier", "naive_bayes", split.name, "folds")
        folds = classifier_evaluation.search_folds(case.labels, groups, split, task_seed)
        expected = np.empty((len(case.labels), 2))
        for fitted, held_out in folds:
            assert not np.intersect1d(fitted, held_out).size
            plain = GaussianNB(var_smoothing=1e-2).fit(columns[fitted], case.labels[fitted])
            expected[held_out] = plain.predict_proba(columns[held_out])
        result = _evaluated("naive_bayes", case)[0]
        np.testing.assert_allclose(result.out_of_fold, expected[split.train], atol=1e-6)

    def test_near_duplicates_share_a_fold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        case = feature_case(n_classes=2, widths=(80,))
        divided: list[Any] = []
        search_folds = classifier_evaluation.search_folds

        def watched(*arguments: Any) -> Any:
            divided.append(search_folds(*arguments))
            return divided[-1]

        monkeypatch.setattr(classifier_evaluation, "search_folds", watched)
        groups = np.arange(len(case.labels)) // 2
        _evaluated("knn", case, groups=groups)
        assert len(divided) == len(case.splits)
        for fitted, held_out in divided[0]:
            assert not np.intersect1d(groups[fitted], groups[held_out]).size

    def test_more_classes_and_repeated_splits_have_none(self) -> None:
        assert _evaluated("knn", feature_case(widths=(80,)))[0].out_of_fold is None
        case = feature_case(n_classes=2, widths=(80,))
        repeats = [replace(split, kind="repeated") for split in case.splits]
        result = _evaluated("knn", FeatureCase(case.maps, case.labels, repeats))[0]
        assert result.out_of_fold is None
