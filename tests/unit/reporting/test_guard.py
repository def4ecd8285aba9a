"""Rules of a guarded study: how they are read, and whether they hold of its numbers."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from flowers17.config import RunOptions
from flowers17.errors import InvalidInput
from flowers17.reporting.studies.guard import broken_rules, last_before
from flowers17.reporting.studies.records import Study, studies_in
from flowers17.rules import rule_from
from tests.support.made_studies import made_study

NAME = "best accuracy (report)"
EIGHT = tuple(range(8))


def _pair(
    root: Path, *, wrong: Sequence[int], interval: Sequence[float] | None = (0.0, 1.0)
) -> tuple[Study, Study]:
    """A study that is all right, and a later one with these of eight images wrong."""
    for created, images_wrong in (("2026-01-01T00:00:00Z", ()), ("2026-01-02T00:00:00Z", wrong)):
        accuracy = 1 - len(images_wrong) / 8
        best = {"metric": NAME, "value": f"{accuracy:.3f}", "interval": interval}
        folder = made_study(
            root,
            wrong={"knn on mobilenet": images_wrong},
            created=created,
            metrics={NAME: accuracy, "n_missing": len(images_wrong)},
            missing={"labels": []},
            highlights=[best | {"split": "report"}, {"metric": "", "value": "1 of 2"}],
        )
        assert folder.exists()
    before, after = studies_in(root)
    for study in (before, after):
        best = study.results["highlights"][0]
        best["artifact"] = study.manifest["inputs"]["knn on mobilenet"]
    return before, after


class TestRules:
    @pytest.mark.parametrize(
        "text",
        ["", "nothing", "accuracy", "accuracy >= high", ">= 0.9", "accuracy => 0.9", " not worse"],
    )
    def test_of_other_forms_are_refused_with_the_forms_there_are(self, text: str) -> None:
        with pytest.raises(InvalidInput, match=r"`METRIC >= NUMBER` .* or `METRIC not worse`, got"):
            rule_from(text)

    def test_are_read_whatever_the_spaces(self) -> None:
        rule = rule_from("  best  accuracy>=0.9 ")
        assert (rule.metric, rule.sign, rule.limit) == ("best accuracy", ">=", 0.9)

    def test_are_checked_with_the_options_of_a_run(self) -> None:
        assert RunOptions(rules=("nothing  missing",)).rules == ("nothing missing",)
        with pytest.raises(ValueError, match="nothing missing"):
            RunOptions(rules=("be good",))


class TestLimits:
    @pytest.mark.parametrize(
        ("rule", "reason"),
        [
            ("best accuracy >= 0.75", ""),
            ("best accuracy > 0.75", "it is 0.75"),
            (f"{NAME} >= 0.76", "it is 0.75"),
            ("n_missing <= 1", "it is 2"),
            ("n_missing < 3", ""),
            ("accuracy >= 0.5", f"expected one metric of this name, there are: {NAME}; n_missing"),
        ],
    )
    def test_hold_of_the_metric_alone(self, tmp_path: Path, rule: str, reason: str) -> None:
        _, study = _pair(tmp_path, wrong=(0, 1))
        assert broken_rules([rule], study, None) == ([f"{rule}: {reason}"] if reason else [])


def test_nothing_missing_names_the_first_of_what_is(tmp_path: Path) -> None:
    _, study = _pair(tmp_path, wrong=())
    assert broken_rules(["nothing missing"], study, None) == []
    study.results["missing"] = {"labels": ["weights a", "weights b"]}
    reason = "nothing missing: 2 missing, the first is weights a"
    assert broken_rules(["nothing missing"], study, None) == [reason]


class TestNotWorse:
    RULE = ("best accuracy not worse",)

    def test_holds_without_a_study_before(self, tmp_path: Path) -> None:
        before, _ = _pair(tmp_path, wrong=EIGHT)
        assert last_before(before, studies_in(tmp_path)) is None
        assert broken_rules(self.RULE, before, None) == []

    def test_holds_for_a_fall_that_may_be_chance(self, tmp_path: Path) -> None:
        before, after = _pair(tmp_path, wrong=EIGHT[:5])  # p = 0.0625
        assert broken_rules(self.RULE, after, before) == []

    def test_is_broken_by_a_fall_on_the_same_images_that_is_no_chance(self, tmp_path: Path) -> None:
        before, after = _pair(tmp_path, wrong=EIGHT[:6])  # p = 0.03125
        last = last_before(after, studies_in(tmp_path))
        assert last is not None
        assert last.path == before.path
        (reason,) = broken_rules(self.RULE, after, before)
        assert f"it is 0.25, in {before.title} 1; of the same 8 images only this study" in reason
        assert "has 0 right, only that one 6, p = 0.031 (McNemar)" in reason

    @pytest.mark.parametrize(("high", "n_broken"), [(0.99, 1), (1.0, 0)])
    def test_goes_by_the_interval_where_no_predictions_are(
        self, tmp_path: Path, high: float, n_broken: int
    ) -> None:
        before, after = _pair(tmp_path, wrong=EIGHT[:6], interval=(0.1, high))
        before.results["highlights"][0]["split"] = None  # a mean over several
        reasons = broken_rules(self.RULE, after, before)
        assert len(reasons) == n_broken
        assert all("its 95 % interval is 0.100 to 0.990" in reason for reason in reasons)

    def test_is_broken_by_any_fall_of_a_number_without_interval(self, tmp_path: Path) -> None:
        before, after = _pair(tmp_path, wrong=(0,))
        (reason,) = broken_rules(["n_missing not worse"], after, before)
        assert "it is 1" in reason
        assert broken_rules(["n_missing not worse"], before, after) == []
