"""The sentences on what to do next, and what stands in place of an answer."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flowers17.reporting.metrics import Measured, accuracy_interval
from flowers17.reporting.next_steps import tables
from flowers17.reporting.next_steps.tables import answer_tables, steps_of
from flowers17.reporting.paired_comparisons import paired_comparisons
from flowers17.reporting.wording import interval_text
from flowers17.reporting.words import text as text_of

TOO_FEW = "every class needs two images"


class Made(SimpleNamespace):
    """An artifact that holds a result."""

    def json(self, name: str) -> Any:
        return self.result


def inputs(**results: Any) -> Any:
    """What a report asks of its inputs, of stages with these results."""
    artifacts = {
        stage: Made(result=value, reference=None, manifest={"metrics": {}})
        for stage, value in results.items()
    }
    return SimpleNamespace(
        stage=lambda name: [artifacts[name]] if name in artifacts else [],
        evaluations=[],
        class_names=["a", "b"],
        study=SimpleNamespace(ensemble=SimpleNamespace(ensembles=[])),
        ensemble_results=[],
        artifacts={},
    )


def curve(gain: float, low: float, high: float) -> dict[str, Any]:
    accuracy = {"value": 0.9, "interval": [0.88, 0.92]}
    measured = {"n_images": 100, "accuracy": accuracy}
    end = {**measured, "n_images": 200, "gain": {"value": gain, "interval": [low, high]}}
    return {"reason": "", "measure": "accuracy", "rows": [measured, end]}


@pytest.mark.parametrize(
    ("gain", "low", "high", "start"),
    [
        (0.02, 0.01, 0.03, "Take more images"),
        (0.02, -0.01, 0.05, "More images like these are not shown to help"),
        (0.001, 0.0001, 0.004, "More images like these are not shown to help"),
        (-0.01, -0.02, -0.005, "More images like these are not shown to help"),
    ],
)
def test_a_gain_that_may_be_nothing_is_no_advice(
    gain: float, low: float, high: float, start: str
) -> None:
    [(text, number)] = steps_of(inputs(learning_curve=curve(gain, low, high)))
    assert (text[: len(start)], number) == (start, "N2")


@pytest.mark.parametrize(
    ("n_suspects", "start"), [(9, "Look at the labels"), (6, "Labels that"), (0, "No label looks")]
)
def test_labels_are_advised_to_be_looked_at_only_beyond_chance(n_suspects: int, start: str) -> None:
    result = {"reason": "", "n_suspects": n_suspects, "n_by_chance": [3.2, 1, 7], "n_pairs": 0}
    [(text, number)] = steps_of(inputs(label_errors=result))
    assert text.startswith(start)
    assert "3 (1–7)" in text
    assert number == "N3"


def test_few_suspects_are_no_all_clear() -> None:
    result = {"reason": "", "n_suspects": 3, "n_by_chance": [5.1, 1, 11], "n_pairs": 0}
    assert steps_of(inputs(label_errors=result)) == [
        (
            "Labels that look wrong (3 in Table N3): look at these first. That many would "
            "look wrong by chance, too, 5 (1–11), so it is not shown that any is wrong.",
            "N3",
        )
    ]


@pytest.mark.parametrize(
    ("n_covered", "start"), [(95, "Let a person decide"), (80, "Sets of clas")]
)
def test_sets_that_break_their_promise_are_no_advice(n_covered: int, start: str) -> None:
    share = Measured(n_covered / 100, accuracy_interval(n_covered, 100))._asdict()
    [(text, _)] = steps_of(inputs(prediction_sets=sets(share)))
    assert text.startswith(start)


def sets(share: dict[str, Any], **others: Any) -> dict[str, Any]:
    """A result of prediction sets, with this coverage."""
    result = {"reason": "", "promised": 0.95, "several": 0.1, "right": share}
    result |= {"n_calibrating": 80, "n_needed": 19, "rows": [{"class": "all", "coverage": share}]}
    return result | others


def test_sets_of_many_classes_have_causes_and_too_few_images_are_told_as_such() -> None:
    share = Measured(1.0, accuracy_interval(10, 10))._asdict()
    wide = sets(share, several=1.0, n_calibrating=128)
    [(text, _)] = steps_of(inputs(prediction_sets=wide))
    assert text.startswith("Trust no single prediction")
    assert "few images to calibrate on (128 here) or from wrong labels (Table N3)" in text
    [(text, _)] = steps_of(inputs(prediction_sets={**wide, "n_calibrating": 8}))
    assert text == "Too few images (8) to calibrate sets of 95 %: at least 19 are needed."


def test_notes_tell_numbers_apart_that_two_rules_make() -> None:
    notes = {number: " ".join(tables.table(number, [], "").notes) for number in ("N4", "N5", "N6")}
    assert "does not tell which classes a set holds" in notes["N4"]
    assert "No map is of a model that has seen the image" in notes["N5"]
    assert "Figure N6 numbers models by time" in notes["N6"]
    assert "Best at its cost in Table N6 goes by operations" in text_of("figure N6", "caption")
    assert "had not seen the image" in text_of("figure N5", "caption")


def test_a_reason_stands_in_place_of_an_answer_and_gives_no_sentence() -> None:
    study = inputs(
        label_errors={"reason": TOO_FEW},
        prediction_sets={"reason": TOO_FEW},
        learning_curve={"reason": "", "measure": "accuracy", "rows": [], "curves": []},
    )
    by_number = {table.number: table for table in answer_tables(study)}
    assert by_number.keys() == {"N2", "N3", "N4"}
    assert by_number["N3"].lead == by_number["N4"].lead == f"No answer: {TOO_FEW}."
    assert steps_of(study) == []


def test_no_questions_make_no_part() -> None:
    assert answer_tables(inputs()) == steps_of(inputs()) == []


def test_background_is_warned_of_only_beyond_its_area() -> None:
    row = {"model": "a", "reason": "", "area": 0.44}
    border = [{"value": 0.6, "interval": [low, 0.8]} for low in (0.5, 0.4)]
    result = {"reason": "", "rows": [{**row, "border": each} for each in border]}
    [(text, number)] = steps_of(inputs(saliency=result))
    assert text.startswith("Look at the backgrounds: 0.600 (0.500–0.800) of what a looks at")
    assert number == "N5"


@pytest.mark.parametrize("seed", range(20))
def test_no_interval_that_includes_nothing_becomes_advice(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random results of all questions: each advice is borne by the interval that it shows."""
    random = np.random.default_rng(seed)
    for _ in range(25):
        gain, low, high = sorted(random.normal(0, 0.02, 3))[1], *random.normal(0, 0.02, 2)
        low, high = min(low, gain), max(high, gain)
        n_suspects, by_chance = int(random.integers(20)), np.sort(random.integers(0, 20, 3))
        n_covered, n_images = int(random.integers(80, 101)), 100
        coverage = Measured(n_covered / n_images, accuracy_interval(n_covered, n_images))
        border = np.sort(random.random(3))
        first, second = random.random((2, 60)) < random.uniform(0.5, 0.9, (2, 1))
        study = inputs(
            learning_curve=curve(gain, low, high),
            label_errors={
                "reason": "",
                "n_suspects": n_suspects,
                "n_by_chance": by_chance[[1, 0, 2]].tolist(),
                "n_pairs": 0,
            },
            prediction_sets=sets(coverage._asdict(), several=0.2),
            saliency={
                "reason": "",
                "rows": [
                    {
                        "model": "a",
                        "reason": "",
                        "area": 0.44,
                        "border": {"value": border[1], "interval": [border[0], border[2]]},
                    }
                ],
            },
            costs={"reason": "", "rows": []},
        )
        combined = SimpleNamespace(
            reference=SimpleNamespace(key="combined"),
            best_member="b",
            folds=SimpleNamespace(manifest={"inputs": {}}),
            answers=lambda pair=(first, second): np.array(pair),
        )
        ensemble = SimpleNamespace(first=combined, repeated=[], member_title=str)
        monkeypatch.setattr(tables, "ensembles_of", lambda _, ensemble=ensemble: [ensemble])
        monkeypatch.setattr(tables, "_operations", lambda *_: 1.0)
        sentences = " ".join(text for text, _ in steps_of(study))
        assert ("Take more images" in sentences) <= (low > 0)
        assert ("Look at the labels" in sentences) == (n_suspects > by_chance[2])
        assert ("Let a person decide" in sentences) == (coverage.interval.high >= 0.95)
        assert ("Look at the backgrounds" in sentences) == (border[0] > 0.44)
        ends = resampled_difference(first, second, random)
        if ends[0] < -0.02 < 0.02 < ends[1]:  # far from the ends, where methods differ
            assert "The ensemble is better" not in sentences
            assert "The ensemble is not shown to be better" in sentences


def resampled_difference(
    first: np.ndarray, second: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """95 % interval of a paired difference by the bootstrap, which `advice` does not use."""
    rows = random.integers(len(first), size=(400, len(first)))
    differences = first[rows].mean(axis=1) - second[rows].mean(axis=1)
    return np.asarray(np.quantile(differences, [0.025, 0.975]))


def test_ensemble_has_the_interval_of_other_paired_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = np.arange(40) < 36, np.arange(40) % 8 != 5
    combined = SimpleNamespace(
        reference=SimpleNamespace(key="combined"),
        best_member="b",
        folds=SimpleNamespace(manifest={"inputs": {}}),
        answers=lambda: pair,
    )
    ensemble = SimpleNamespace(first=combined, repeated=[], member_title=str)
    monkeypatch.setattr(tables, "ensembles_of", lambda _: [ensemble])
    monkeypatch.setattr(tables, "_operations", lambda *_: 1.0)
    [(text, number)] = steps_of(inputs(costs={"reason": "", "rows": []}))
    [comparison] = paired_comparisons([pair])
    assert comparison.interval.low < 0 < comparison.interval.high
    assert f"({interval_text(comparison.interval)})" in text
    assert number == "N6"


def test_a_loss_is_written_with_a_true_minus() -> None:
    (table,) = answer_tables(inputs(learning_curve=curve(-0.01, -0.02, -0.005)))
    assert [row.cells[3].text for row in table.rows] == ["–", "−0.010"]
