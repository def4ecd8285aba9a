"""What a model card says of the split, by what clean splits of its study kept together."""

import re
from typing import Any

import numpy as np
import pytest

from flowers17.prediction.catalogue import Entry
from flowers17.prediction.model_card import ModelFacts, model_card

LABELS = {"classes": ["rose"], "inputs": [], "resize": "crop", "white": 65_535}


def _manifest(stage: str, config: Any) -> dict[str, Any]:
    manifest = {"stage": stage, "label": stage, "key": "a" * 64, "digest": "d" * 64}
    return {**manifest, "material": {"config": config}, "created": "2026-01-01T00:00:00Z"}


def _entry(kind: str, **result: Any) -> Entry:
    counts = {"n_train": 30, "n_validation": 10}
    return Entry(_manifest("training", {}), {"split": kind, "kind": kind, **counts, **result})


def _card(
    kind: str,
    config: Any,
    *,
    source: str = "own",
    verified: bool = False,
    test: dict[str, Any] | None = None,
    **metrics: Any,
) -> str:
    facts = ModelFacts(
        entry=_entry(kind=kind, n_correct=5, test=test),
        answers=None,
        source={"kind": source},
        verified=verified,
        n_images=40,
        origins=({**_manifest("duplicates", config), "metrics": metrics},),
    )
    return model_card(facts, LABELS, file="m.keras", sha256="s", check=None)


@pytest.mark.parametrize("kind", ["clean", "repeated"])
@pytest.mark.parametrize(
    ("config", "passage"),
    [
        ({"near_duplicates": "similar"}, "pictures of one scene are kept on one side"),
        (None, "pictures of one scene are kept on one side"),
        (
            {"near_duplicates": "identical"},
            "only pictures of identical pixels are kept on one side",
        ),
        ({"near_duplicates": "none"}, "near-duplicates were not searched for"),
    ],
)
def test_a_clean_split_is_as_clean_as_its_near_duplicates(
    kind: str, config: Any, passage: str
) -> None:
    assert f"{passage}" in _card(kind, config)
    scenes = "pictures of one scene are kept on one side"
    assert (scenes in _card(kind, config)) == (passage == scenes)


def test_a_random_split_keeps_nothing_together_whatever_was_searched_for() -> None:
    assert "a random split: pictures of one scene may lie on both sides" in _card(
        "report", {"near_duplicates": "none"}
    )


def test_a_card_speaks_of_flowers_only_where_the_data_are() -> None:
    own = _card("clean", None)
    assert "An image classifier of 1 classes, made by flowers17." in own
    assert re.search(r"\bflowers?\b|\bstudy\b|seasons|species|photograph", own) is None
    for flowers in (_card("clean", None, source="rendered"), _card("clean", None, verified=True)):
        assert "An image classifier of 1 classes of flowers" in flowers
    assert "a random split: pictures of one scene" in _card("report", {"near_duplicates": "none"})


def test_where_images_looked_alike_the_card_says_what_was_kept_together() -> None:
    card = _card("clean", {"near_duplicates": "similar"}, kept_together="identical")
    assert "only pictures of identical pixels are kept on one side" in card


def test_the_score_on_a_test_part_is_told_with_its_interval() -> None:
    card = _card("report", None, test={"n": 8, "n_correct": 2, "by_class": None})
    assert "accuracy on the 8 images of the test part | 0.250 | 0.071–0.591" in card
    by_class = [[6, 6], [0, 2]]
    card = _card("report", None, test={"n": 8, "n_correct": 6, "by_class": by_class})
    assert "balanced accuracy on the 8 images of the test part | 0.500 | " in card
    assert "test part" not in _card("report", None)


def test_balanced_accuracy_stands_first_where_classes_differ_in_size() -> None:
    truth, predicted = np.array([0] * 9 + [1]), np.zeros(10, int)
    facts = ModelFacts(
        entry=_entry(kind="clean", n_correct=9, by_class=[[9, 9], [0, 1]]),
        answers=(truth, predicted),
        source={},
        verified=False,
        n_images=40,
        origins=(),
    )
    card = model_card(
        facts, {**LABELS, "classes": ["often", "rare"]}, file="m.keras", sha256="s", check=None
    )
    measures = card[card.index("## Accuracy") : card.index("## Limits")]
    order = ("| balanced accuracy | 0.500 |", "| accuracy | 0.900 |")
    assert measures.index(order[0]) < measures.index(order[1])
    assert "| accuracy of the largest class alone | 0.900 |" in measures
    assert "| rare | 0 of 1 | – |" in measures
    assert "nan" not in card.lower()
    assert "It is weakest on rare: 0 of 1 held-out images are right." in card


@pytest.mark.parametrize(
    ("extractor", "weights", "passage"),
    [
        (
            "mobilenet",
            {"kind": "file", "sha256": "abc"},
            "Training began with weights learnt from ImageNet (SHA-256 `abc`), which have terms",
        ),
        (
            "mobilenet",
            {"kind": "download", "sha256": None},
            "Training began with weights learnt from ImageNet, which have terms",
        ),
        (
            "file:mine.keras",
            {"kind": "file", "sha256": "abc"},
            "Training began with the weights of file:mine.keras (SHA-256 `abc`), which may have",
        ),
        (
            "own:network",
            {"kind": "function", "sha256": None, "code": "abc"},
            "Training began with the weights of own:network, which may have terms",
        ),
        ("mobilenet", {"kind": "random", "sha256": None}, "Its extractor has random weights"),
    ],
)
def test_a_fine_tuned_network_s_card_says_what_it_began_with(
    extractor: str, weights: dict[str, Any], passage: str
) -> None:
    config = {"extractor": extractor, "weights": weights}
    counts = {"n_train": 30, "n_validation": 10, "n_correct": 5}
    result = {"split": "clean", "kind": "clean", "maps": f"{extractor}-average", **counts}
    facts = ModelFacts(
        entry=Entry(_manifest("finetuning", config), result),
        answers=None,
        source={},
        verified=False,
        n_images=40,
        origins=(),
    )
    card = model_card(facts, LABELS, file="m.keras", sha256="s", check=None)
    assert passage in card
    assert card.count("Training began with") == (weights["kind"] != "random")
    assert card.count("| features | ") == 1
    assert f"| features | {extractor}-average |" in card
