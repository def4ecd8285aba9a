import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from flowers17.data import oxford17
from flowers17.data.scene_groups import groups, known_pairs
from flowers17.data.splits import (
    Split,
    clean_split,
    official_splits,
    report_split,
    study_splits,
)
from flowers17.errors import InvalidInput

NAMES = [oxford17.image_name(number) for number in range(1, 1361)]
LABELS = np.repeat(np.arange(17), 80)
KNOWN_GROUPS = groups(known_pairs(NAMES), 1360)


def counts(rows: np.ndarray) -> list[int]:
    return np.bincount(LABELS[rows], minlength=17).tolist()


def test_report_split_is_60_and_20_a_class() -> None:
    split = report_split(LABELS, validation_fraction=0.25, seed=17)
    assert counts(split.train) == [60] * 17
    assert counts(split.validation) == [20] * 17
    assert len(split.test) == 0
    together = np.sort(np.concatenate([split.train, split.validation]))
    assert np.array_equal(together, np.arange(1360))
    for rows in (split.train, split.validation):
        assert rows.dtype == np.int64
        assert np.array_equal(rows, np.sort(rows))


def test_seed_decides_the_split() -> None:
    first, repeated, different = (
        report_split(LABELS, validation_fraction=0.25, seed=seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.validation, repeated.validation)
    assert not np.array_equal(first.validation, different.validation)


def test_classes_are_drawn_apart_from_each_other() -> None:
    full = report_split(LABELS, validation_fraction=0.25, seed=5)
    partial = report_split(LABELS[:160], validation_fraction=0.25, seed=5)
    assert np.array_equal(full.validation[full.validation < 160], partial.validation)


@pytest.mark.parametrize(
    ("n_images", "fraction", "n_held"), [(2, 0.01, 1), (2, 0.99, 1), (10, 0.25, 3), (7, 0.5, 4)]
)
def test_each_side_has_an_image_and_numbers_are_rounded(
    n_images: int, fraction: float, n_held: int
) -> None:
    labels = np.repeat([0, 1], n_images)
    split = report_split(labels, validation_fraction=fraction, seed=0)
    assert np.bincount(labels[split.validation]).tolist() == [n_held, n_held]


def test_clean_split_is_the_reports_where_nothing_is_duplicated() -> None:
    report = report_split(LABELS, validation_fraction=0.25, seed=3)
    clean = clean_split(LABELS, np.arange(1360), validation_fraction=0.25, seed=3)
    assert np.array_equal(report.validation, clean.validation)
    assert (report.kind, clean.kind) == ("report", "clean")


@pytest.mark.parametrize("seed", range(5))
def test_clean_split_of_the_official_images_is_exact(seed: int) -> None:
    split = clean_split(LABELS, KNOWN_GROUPS, validation_fraction=0.25, seed=seed)
    assert counts(split.validation) == [20] * 17
    assert not set(KNOWN_GROUPS[split.train]) & set(KNOWN_GROUPS[split.validation])
    report = report_split(LABELS, validation_fraction=0.25, seed=seed)
    # Little more moves than the pairs that the report's split divides.
    assert len(set(report.validation) - set(split.validation)) < 40


def test_group_too_large_for_either_side_is_refused_by_class_name() -> None:
    labels = np.repeat([0, 1], 5)
    same = np.array([0, 0, 0, 0, 0, 1, 2, 3, 4, 5])
    with pytest.raises(InvalidInput, match=r"class rose: its 5 images cannot.*add images"):
        clean_split(labels, same, validation_fraction=0.25, seed=0, class_names=("rose", "aster"))
    with pytest.raises(InvalidInput, match=r"set splits\.near_duplicates to identical or none"):
        clean_split(labels, same, validation_fraction=0.25, seed=0)


def test_class_with_one_image_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"class aster: expected at least 2 images.*got 1"):
        report_split(
            np.array([0, 0, 1]), validation_fraction=0.25, seed=0, class_names=("rose", "aster")
        )


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_fraction_outside_0_and_1_is_refused(fraction: float) -> None:
    with pytest.raises(InvalidInput, match="validation_fraction"):
        report_split(LABELS, validation_fraction=fraction, seed=0)


def test_groups_of_other_images_are_refused() -> None:
    with pytest.raises(InvalidInput, match="labels"):
        clean_split(LABELS, np.arange(3), validation_fraction=0.25, seed=0)


def test_json_holds_the_whole_split() -> None:
    split = clean_split(LABELS, KNOWN_GROUPS, validation_fraction=0.25, seed=3)
    value = json.loads(json.dumps(split.to_json()))
    assert list(value) == ["name", "kind", "seed", "train", "validation", "test"]
    again = Split.from_json(value)
    assert again.to_json() == split.to_json()
    assert again.test.dtype == np.int64


def test_study_splits_are_named_and_clean() -> None:
    splits = study_splits(LABELS, KNOWN_GROUPS, validation_fraction=0.25, n_repeats=3, seed=17)
    assert [(split.name, split.kind) for split in splits] == [
        ("report", "report"),
        ("clean", "clean"),
        ("repeat-01", "repeated"),
        ("repeat-02", "repeated"),
        ("repeat-03", "repeated"),
    ]
    assert splits[0].seed == splits[1].seed
    assert len({split.seed for split in splits}) == 4
    for split in splits[1:]:
        assert not set(KNOWN_GROUPS[split.train]) & set(KNOWN_GROUPS[split.validation])
        again = clean_split(LABELS, KNOWN_GROUPS, validation_fraction=0.25, seed=split.seed or 0)
        assert np.array_equal(again.validation, split.validation)


def test_more_repeats_leave_the_first_ones_as_they_were() -> None:
    few, more = (
        study_splits(LABELS, KNOWN_GROUPS, validation_fraction=0.25, n_repeats=n, seed=17)
        for n in (1, 2)
    )
    assert few[-1].to_json() == more[-2].to_json()


@pytest.fixture
def divisions() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    variables = {}
    for k in (1, 2, 3):
        order = np.concatenate([80 * c + rng.permutation(80) for c in range(17)]) + 1
        by_class = order.reshape(17, 80)
        variables[f"trn{k}"] = by_class[:, :40].reshape(1, -1)
        variables[f"val{k}"] = by_class[:, 40:60].reshape(1, -1)
        variables[f"tst{k}"] = by_class[:, 60:].reshape(1, -1)
    return variables


def test_official_splits_are_rows_by_number(
    tmp_path: Path, divisions: dict[str, np.ndarray]
) -> None:
    savemat(tmp_path / "datasplits.mat", divisions)
    splits = official_splits(tmp_path / "datasplits.mat", NAMES)
    assert [split.name for split in splits] == ["official-1", "official-2", "official-3"]
    assert {(split.kind, split.seed) for split in splits} == {("official", None)}
    assert splits[1].train.tolist() == sorted(divisions["trn2"].ravel() - 1)
    assert splits[2].test.tolist() == sorted(divisions["tst3"].ravel() - 1)
    study = study_splits(
        LABELS, KNOWN_GROUPS, validation_fraction=0.25, n_repeats=1, seed=1, official=splits
    )
    assert [split.name for split in study][1:4] == ["clean", "official-1", "official-2"]


def test_official_splits_that_repeat_or_miss_images_are_refused(
    tmp_path: Path, divisions: dict[str, np.ndarray]
) -> None:
    divisions["val2"][0, 0] = divisions["trn2"][0, 0]
    savemat(tmp_path / "datasplits.mat", divisions)
    with pytest.raises(InvalidInput, match=r"trn2, val2 and tst2.*1359 of them distinct"):
        official_splits(tmp_path / "datasplits.mat", NAMES)


@pytest.mark.parametrize("number", [np.nan, 0.5, 1e300])
def test_official_splits_of_what_numbers_no_image_are_refused(
    tmp_path: Path, divisions: dict[str, np.ndarray], number: float
) -> None:
    divisions = {name: numbers.astype(float) for name, numbers in divisions.items()}
    divisions["trn1"][0, 0] += number
    savemat(tmp_path / "datasplits.mat", divisions)
    with pytest.raises(InvalidInput, match=r"trn1, val1 and tst1.*once each"):
        official_splits(tmp_path / "datasplits.mat", NAMES)


@pytest.mark.parametrize("content", [b"", b"no MATLAB file", b"\0" * 200])
def test_file_that_holds_no_splits_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "datasplits.mat").write_bytes(content)
    with pytest.raises(InvalidInput, match="expected a MATLAB file with trn1"):
        official_splits(tmp_path / "datasplits.mat", NAMES)


@pytest.mark.parametrize("name", ["daisy/1.jpg", "jpg/image_1361.jpg", "jpg/image_0000.jpg", ""])
def test_official_splits_of_other_images_are_refused(
    name: str, tmp_path: Path, divisions: dict[str, np.ndarray]
) -> None:
    savemat(tmp_path / "datasplits.mat", divisions)
    for names in ([*NAMES, name], [*NAMES[:-1], name], NAMES[:-1]):
        with pytest.raises(InvalidInput, match="name of a Flowers-17 image"):
            official_splits(tmp_path / "datasplits.mat", names)
