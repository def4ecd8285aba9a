"""Stage `poisoning`: effect of poisoned training images on networks, and on their average."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowers17.config import StudySettings
from flowers17.stages import Job, Stage
from tasks.split import described


@dataclass(frozen=True)
class Poisoning:
    """A poisoned data set, and the networks trained on it by name."""

    data: Stage
    networks: Mapping[str, Stage]


def stage(
    settings: StudySettings,
    poisonings: Sequence[Poisoning],
    clean: Mapping[str, Stage],
    split: Stage,
) -> Stage:
    """Stage of all poisonings of a split; clean: the networks trained on the split itself."""
    inputs: dict[str, Stage] = {f"clean/{name}": network for name, network in clean.items()}
    for number, poisoning in enumerate(poisonings):
        inputs[f"{number:02d}"] = poisoning.data
        inputs |= {f"{number:02d}/{name}": network for name, network in poisoning.networks.items()}
    return Stage.of(
        "poisoning",
        f"poisoning, {split.label}",
        config={
            "networks": list(clean),
            "n": len(poisonings),
            "target": settings.poisoning.target,
        },
        inputs={"split": split, **inputs},
    )


def build(job: Job) -> Mapping[str, Any]:
    """Count correct predictions without the patch, and predictions of its class with it."""
    import numpy as np

    from flowers17.robustness.poisoning import predicted_counts

    config, split = job.config, job.inputs["split"]
    validation = split.array("validation")
    labels = split.array("labels")[validation]

    def counts_of(proba: np.ndarray, n_images: int | None) -> dict[str, int]:
        predicted = proba.argmax(axis=1)  # after the images: validation images with the patch
        with_patch = None if n_images is None else predicted[n_images:]
        return predicted_counts(predicted[validation], labels, with_patch, config["target"])

    def counts_by_network(role: str, n_images: int | None) -> list[dict[str, Any]]:
        proba = {name: job.inputs[f"{role}/{name}"].array("proba") for name in config["networks"]}
        rows = [{"network": name, **counts_of(proba[name], n_images)} for name in proba]
        if len(proba) > 1:
            average = np.mean(list(proba.values()), axis=0)
            rows.append({"network": "average of them", **counts_of(average, n_images)})
        return rows

    n_images = len(split.array("labels"))
    poisonings = []
    for number in range(config["n"]):
        data = job.inputs[f"{number:02d}"]
        networks = counts_by_network(f"{number:02d}", n_images)
        poisonings.append({**data.json("poison"), "networks": networks})
    classes = split.json("classes")
    job.save_json(
        "result",
        {
            **described(split),
            "target": classes[config["target"]],
            "clean": counts_by_network("clean", None),
            "poisonings": poisonings,
        },
    )
    success_rates = [
        network["n_opened"] / max(1, network["n_others"])
        for poisoning in poisonings
        if poisoning["kind"] == "patch" and poisoning["share"]
        for network in poisoning["networks"]
    ]
    return {"n_poisonings": len(poisonings)} | (
        {"highest backdoor success": round(max(success_rates), 4)} if success_rates else {}
    )
