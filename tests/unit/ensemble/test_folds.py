"""Folds: scikit-learn's own, near-duplicates together, nothing held out that chooses."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from flowers17.ensemble.folds import fingerprint, fold_rows, stratified_folds
from flowers17.errors import InvalidInput

LABELS = np.repeat(np.arange(4), 20)
group_of = np.arange(80)
group_of[[3, 4, 5]] = 3
group_of[[18, 21]] = 18  # of two classes
ROWS = np.delete(np.arange(80), [0, 20, 40, 60, 79])


def _folds(**changed: object) -> np.ndarray:
    arguments = {
        "labels": LABELS,
        "groups": group_of,
        "rows": ROWS,
        "n_folds": 5,
        "seed": 7,
        **changed,
    }
    return stratified_folds(
        arguments.pop("labels"),
        arguments.pop("groups"),
        arguments.pop("rows"),
        **arguments,  # type: ignore[arg-type]
    )


def test_they_are_those_of_scikit_learn() -> None:
    folds = _folds()
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=7)
    for fold, (_, held_out) in enumerate(splitter.split(ROWS, LABELS[ROWS], group_of[ROWS])):
        assert np.flatnonzero(folds == fold).tolist() == ROWS[held_out].tolist()


def test_rows_that_are_not_divided_are_in_none() -> None:
    assert np.flatnonzero(_folds() < 0).tolist() == [0, 20, 40, 60, 79]


@pytest.mark.parametrize("seed", range(5))
def test_near_duplicates_share_a_fold(seed: int) -> None:
    folds = _folds(seed=seed)
    for group in (3, 18):
        assert len(set(folds[group_of == group])) == 1


def test_every_part_of_a_fold_keeps_near_duplicates_together() -> None:
    folds = _folds()
    for fold in range(5):
        rows = fold_rows(LABELS, group_of, folds, fold, choosing_fraction=0.25, seed=1)
        parts = [rows["train"], rows["choosing"], rows["held_out"]]
        assert np.sort(np.concatenate(parts)).tolist() == ROWS.tolist()
        for first, second in ((0, 1), (0, 2), (1, 2)):
            assert not set(group_of[parts[first]]) & set(group_of[parts[second]])
        assert {LABELS[row] for row in rows["choosing"]} == {0, 1, 2, 3}
        in_class = [np.bincount(LABELS[part]) for part in (rows["choosing"], rows["train"])]
        assert (np.abs(in_class[0] - 0.25 * sum(in_class)) <= 2).all()


def test_what_is_held_out_does_not_decide_what_the_epoch_is_chosen_on() -> None:
    """Other labels inside a fold leave its training and choosing rows as they are."""
    folds = _folds()
    altered = LABELS.copy()
    altered[folds == 2] = 0
    original_rows, altered_rows = (
        fold_rows(labels, group_of, folds, 2, choosing_fraction=0.25, seed=1)
        for labels in (LABELS, altered)
    )
    assert original_rows["train"].tolist() == altered_rows["train"].tolist()
    assert original_rows["choosing"].tolist() == altered_rows["choosing"].tolist()


def test_the_fingerprint_changes_with_folds_and_labels() -> None:
    folds = _folds()
    altered = np.where(LABELS == 0, 1, LABELS)
    prints = {fingerprint(folds, LABELS), fingerprint(_folds(seed=8), LABELS)}
    assert len(prints | {fingerprint(folds, altered)}) == 3
    assert fingerprint(_folds(), LABELS) in prints


def test_fewer_images_than_folds_is_refused_by_the_class_s_name() -> None:
    rows = np.concatenate([ROWS[LABELS[ROWS] != 2], np.array([41, 42])])
    with pytest.raises(InvalidInput, match=r"class iris: expected at least 5 .* got 2; lower"):
        _folds(rows=rows, class_names=["a", "b", "iris", "d"])


def test_a_class_of_one_group_leaves_folds_without_it() -> None:
    with pytest.raises(InvalidInput, match="expected every class, got no image of class number 1"):
        _folds(groups=np.where(LABELS == 1, 1000, group_of))
    with pytest.raises(InvalidInput, match=r"set splits\.near_duplicates to identical or none"):
        _folds(groups=np.where(LABELS == 1, 1000, group_of))


def test_a_fold_that_cannot_choose_is_named_with_the_class_and_the_setting() -> None:
    folds = np.array([0, 1, 0, 1, 0, 1])
    labels = np.array([0, 0, 0, 0, 1, 1])
    message = (
        "fold 1 of 2: expected to cut a part .* got: class daisy: expected at least 2 images .*, "
        "got 1; .* raise ensemble.n_folds"
    )
    with pytest.raises(InvalidInput, match=message):
        fold_rows(
            labels,
            np.arange(6),
            folds,
            0,
            choosing_fraction=0.2,
            seed=1,
            class_names=["tulip", "daisy"],
        )


@pytest.mark.parametrize("n_folds", [0, 1])
def test_one_fold_is_none(n_folds: int) -> None:
    with pytest.raises(InvalidInput, match=f"n_folds: expected at least 2, got {n_folds}"):
        _folds(n_folds=n_folds)


def test_groups_of_other_images_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"got \(80,\) and \(79,\)"):
        _folds(groups=group_of[:-1])
