"""Stage `poisoning`: what poisoned training images do to networks, and to their average."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowers17.config import StudySettings
from flowers17.stages import Job, Stage


@dataclass(frozen=True)
class Poisoning:
    """A poisoned data set, and the networks trained on it, by name."""

    data: Stage
    networks: Mapping[str, Stage]


def stage(
    settings: StudySettings,
    poisonings: Sequence[Poisoning],
    clean: Mapping[str, Stage],
    split: Stage,
) -> Stage:
    """Return the stage of all poisonings of a split; clean: the networks on the split itself."""
    given: dict[str, Stage] = {f"clean/{name}": one for name, one in clean.items()}
    for number, one in enumerate(poisonings):
        given[f"{number:02d}"] = one.data
        given |= {f"{number:02d}/{name}": network for name, network in one.networks.items()}
    return Stage.of(
        "poisoning",
        f"poisoning, {split.label}",
        "tasks.poisoning:build",
        {
            "networks": list(clean),
            "n": len(poisonings),
            "target": settings.poisoning.target,
        },
        inputs={"split": split, **given},
    )


def build(job: Job) -> Mapping[str, Any]:
    """Count what is right without the patch, and what the patch turns into its class."""
    import numpy as np

    from flowers17.robustness.poisoning import backdoor_success, clean_accuracy

    config, split = job.config, job.inputs["split"]
    validation = split.array("validation")
    labels = split.array("labels")[validation]

    def counted(proba: np.ndarray, n_images: int | None) -> dict[str, int]:
        found = clean_accuracy(proba[validation].argmax(axis=1), labels)
        counts = {"n": found.n, "n_right": found.n_reached}
        if n_images is not None:  # behind them: the validation images with the patch
            door = backdoor_success(proba[n_images:].argmax(axis=1), labels, config["target"])
            counts |= {"n_others": door.n, "n_opened": door.n_reached}
        return counts

    def every(role: str, n_images: int | None) -> list[dict[str, Any]]:
        said = {name: job.inputs[f"{role}/{name}"].array("proba") for name in config["networks"]}
        rows = [{"network": name, **counted(one, n_images)} for name, one in said.items()]
        if len(said) > 1:
            average = np.mean(list(said.values()), axis=0)
            rows.append({"network": "average of them", **counted(average, n_images)})
        return rows

    n_images = len(split.array("labels"))
    poisonings = []
    for number in range(config["n"]):
        data = job.inputs[f"{number:02d}"]
        found = every(f"{number:02d}", n_images)
        poisonings.append({**data.json("poison"), "networks": found})
    classes = split.json("classes")
    described = split.json("split")
    job.save_json(
        "result",
        {
            "split": described["name"],
            "split_kind": described["kind"],
            "classes": classes,
            "target": classes[config["target"]],
            "clean": every("clean", None),
            "poisonings": poisonings,
        },
    )
    doors = [
        one["n_opened"] / max(1, one["n_others"])
        for poisoning in poisonings
        if poisoning["kind"] == "patch" and poisoning["share"]
        for one in poisoning["networks"]
    ]
    return {"n_poisonings": len(poisonings)} | (
        {"highest backdoor success": round(max(doors), 4)} if doors else {}
    )
