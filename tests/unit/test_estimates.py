"""Time and disk that a plan expects, told from what like stages took."""

import json
from typing import Any

import pytest

from flowers17.config import RunOptions
from flowers17.environment import machine
from flowers17.estimates import Estimate, cost_sentence, estimate, run_seconds
from flowers17.materials import Precedents
from flowers17.stages import Stage

IMAGES = {"stage": "images", "key": "i" * 64}
MK_2 = {"name": "mk-2", "blocks": [[32, 32], [64, 64], [128, 256]], "dense": 512}
WIDE = {"name": "wide", "blocks": [[64, 64], [128, 128], [256, 512]], "dense": 512}


def _manifest(stage: str, label: str, config: Any, seconds: float, size: int) -> dict[str, Any]:
    return {
        "stage": stage,
        "label": label,
        "key": label[0] * 64,
        "created": "2026-01-01T00:00:00Z",
        "inputs": {} if stage == "images" else {"images": IMAGES},
        "files": {"a.npy": {"size": size}},
        "duration_s": seconds,
        "machine": machine(),
        "material": {"stage": stage, "config": config},
    }


def _training(label: str = "mk-2", definition: Any = MK_2, epochs: int = 10) -> Stage:
    config = {"definition": definition, "recipe": {"epochs": epochs, "batch_size": 32}}
    return Stage("training", label, "tasks.training:build", json.dumps(config))


def _estimate(
    stage: Stage, *, n_bytes: float | None = 3000, with_precedent: bool = True
) -> Estimate:
    images = _manifest("images", "images@10", {"size": 10}, 1.0, 3000)
    training = _manifest("training", "mk-2", json.loads(_training().config), 60.0, 500)
    precedents = Precedents([images, training])
    known = training if with_precedent else None
    return estimate(stage, known, {"images": n_bytes}, precedents)


def test_the_same_stage_takes_what_it_took() -> None:
    assert _estimate(_training()) == Estimate(60.0, 500.0, "measured")


@pytest.mark.parametrize(
    ("stage", "n_bytes", "factor"),
    [
        (_training(epochs=25), 3000, 2.5),
        (_training(), 12_000, 4),
        (_training(epochs=5), 12_000, 2),
        # Twice the filters: the first of 3 channels twice, the others four times.
        (_training("wide", WIDE), 3000, 3.93),
    ],
)
def test_time_grows_with_epochs_bytes_and_operations(
    stage: Stage, n_bytes: int, factor: float
) -> None:
    scaled = _estimate(stage, n_bytes=n_bytes)
    assert scaled.seconds == pytest.approx(60 * factor, rel=0.01)
    like = "measured" if stage.label == "mk-2" else "like mk-2"
    assert scaled.basis == f"{like}, 60 s scaled"


def test_without_a_precedent_operations_and_the_machine_s_rate_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flowers17.estimates.matrix_rate", lambda: 1e9)
    # A forward pass of 1,000 pixels, and two more for the gradients, ten times.
    per_pixel = 9 * ((3 * 32 + 32 * 32) + (32 * 64 + 64 * 64) / 4 + (64 * 128 + 128 * 256) / 16)
    told = _estimate(_training(), with_precedent=False)
    assert told.seconds == pytest.approx(6 * per_pixel * 1000 * 10 / 0.5e9)
    assert "at 50% of 1 G a second" in told.basis
    unknown = _estimate(Stage("stacking", "s", "tasks.stacking:build"), with_precedent=False)
    assert (unknown.seconds, unknown.n_bytes) == (None, None)


def test_a_sentence_says_what_time_and_disk_rest_on() -> None:
    costs = [
        Estimate(100.0, 2e6, "measured"),
        Estimate(80.0, 1e6, "like mk-2"),
        Estimate(None, None, "nothing like it was measured here"),
    ]
    assert cost_sentence(costs, RunOptions()) == (
        "about 3 min and 3 MB of disk (stages: 1 measured here, 1 scaled from similar ones, "
        "1 unknown, not counted)"
    )
    assert cost_sentence([], RunOptions()) == "nothing to build"
    assert cost_sentence(costs[2:], RunOptions()).startswith("no estimate")
    # No run is shorter than its longest stage.
    assert run_seconds(costs, RunOptions(runner="processes", workers=4)) > 100


def _of_stage(
    config: Any, inputs: dict[str, Any], *, before: Any, sources: dict[str, Any], size: float
) -> float | None:
    """Seconds of a stage whose precedent took 10 s; inputs, sources: their configurations."""
    known = {name: _manifest(name, name, source, 1.0, 1000) for name, source in sources.items()}
    precedent = _manifest("measured", "it", before, 10.0, 500) | {
        "inputs": {name: {"stage": name, "key": known[name]["key"]} for name in known}
    }
    read = {name: Stage.of(name, name, config=value) for name, value in inputs.items()}
    stage = Stage.of("measured", "it", config=config, inputs=read)
    precedents = Precedents([precedent, *known.values()])
    return estimate(stage, precedent, dict.fromkeys(read, size), precedents).seconds


def test_a_sample_of_images_takes_no_longer_where_there_are_more_of_them() -> None:
    images = {"images": {"size": 80}}
    config = {"attack": "pgd", "settings": {"n_images": 34}}
    same = _of_stage(config, images, before=config, sources=images, size=4000)
    assert same == pytest.approx(10)
    larger = _of_stage(config, {"images": {"size": 160}}, before=config, sources=images, size=4000)
    assert larger == pytest.approx(40)
    jsma = {"attack": "jsma", "settings": {"n_images": 34, "jsma": {"gamma": 0.1}}}
    wider = {"attack": "jsma", "settings": {"n_images": 34, "jsma": {"gamma": 0.2}}}
    of_pixels = _of_stage(wider, {"images": {"size": 160}}, before=jsma, sources=images, size=4000)
    assert of_pixels == pytest.approx(10 * 16 * 2)


def test_the_gamma_of_a_kernel_costs_no_time() -> None:
    before, now = ({"hyperparameters": {"gamma": gamma}} for gamma in (1.0, 4.0))
    assert _of_stage(now, {}, before=before, sources={}, size=0) == pytest.approx(10)


def test_a_classifier_is_fitted_once_a_split() -> None:
    few, many = {"splits": {"n_repeats": 3}}, {"splits": {"n_repeats": 12}}
    assert _of_stage({}, many, before={}, sources=few, size=1000) == pytest.approx(20)


def test_models_that_are_read_cost_no_time() -> None:
    inputs = {"activations": {"name": "a"}, "weights": {"name": "w"}}
    assert _of_stage({}, inputs, before={}, sources=inputs, size=3000) == pytest.approx(30)
    assert _of_stage({}, {"weights": {}}, before={}, sources={"weights": {}}, size=9e6) == 10


def test_adversarial_batches_take_longer_by_their_steps() -> None:
    before, now = ({"recipe": {"adversary": {"n_steps": n}}} for n in (3, 9))
    assert _of_stage(now, {}, before=before, sources={}, size=0) == pytest.approx(30)


def test_stages_that_are_reused_take_time_too() -> None:
    costs = [Estimate(10.0, None, "measured")]
    alone, among = (run_seconds(costs, RunOptions(), n_reused=n) for n in (0, 100))
    assert among > alone + 5


def test_settings_of_other_stages_cost_a_report_no_time() -> None:
    config = {"settings": {"learners": {"recipe": {"epochs": 3}}, "attacks": {"n_images": 9}}}
    report = _manifest("study", "report", config, 3.0, 500)
    config["settings"] = {"learners": {"recipe": {"epochs": 300}}, "attacks": {"n_images": 340}}
    stage = Stage("study", "report on features", "tasks.report:build", json.dumps(config))
    expected = Estimate(3.0, 500, "like report")
    assert estimate(stage, report, {"images": 3_000_000}, Precedents([report])) == expected
