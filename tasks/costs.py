"""Stages `costs` and `saliency`: what a prediction costs, and what models look at.

Saliency is of the best network and the best classifier. Times are this machine's, and differ from
run to run: they are metrics, as durations are part of a manifest, and no file of the artifact has
them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.config import RunOptions
from flowers17.errors import Flowers17Error
from flowers17.learners.devices import device_in
from flowers17.seeds import generator
from flowers17.stages import Job, Stage
from tasks.attack import loader_of, own_learners, weights_folder
from tasks.long_work import long_work

BATCHES = (1, 32)


def stage(options: RunOptions, models: Sequence[Stage], name: str, **configuration: Any) -> Stage:
    """Stage that opens models, whichever there are; configuration: beside the device."""
    device = device_in(options)
    return Stage.of(
        name,
        name,
        f"tasks.costs:build_{name}",
        {"device": device, **configuration, **own_learners(*models)},
        inputs={model.label: model for model in models},
        resources=weights_folder(options),
        optional=all(model.optional for model in models),
        tolerant=True,
        **long_work(name, device),
    )


def build_costs(job: Job) -> Mapping[str, Any]:
    """Count what each model holds and computes, and time its predictions as `predict` makes them.

    A model that cannot be opened here has a reason instead.
    """
    from flowers17.prediction.catalogue import Entry
    from flowers17.reporting.metrics import Measured
    from flowers17.small_data.costs import on_pareto_front

    loader, rows, times = loader_of(job), [], dict[str, float]()
    for label, artifact in job.inputs.items():
        reference, of_model = artifact.reference.to_json(), dict[str, float]()
        score = Entry(artifact.manifest, artifact.json("result")).score
        accuracy = Measured(score.headline, score.headline_interval)._asdict()
        try:
            counts, of_model = _measured(reference, loader)
        except Flowers17Error as problem:
            counts = {"reason": str(problem), "giga_operations": None}
        rows.append({"model": label, "artifact": reference, "accuracy": accuracy, **counts})
        times |= {f"{label}, {name}": value for name, value in of_model.items()}
        job.progress(len(rows), len(job.inputs), "models")
    operations = np.array([row["giga_operations"] for row in rows], float)
    front = on_pareto_front(operations, np.array([row["accuracy"]["value"] for row in rows]))
    for row, is_first in zip(rows, front.tolist(), strict=True):
        row["on_front"] = "yes" * is_first
    job.save_json("result", {"reason": "", "rows": rows})
    return times


def _measured(reference: Mapping[str, str], loader: Any) -> tuple[dict[str, Any], dict[str, float]]:
    """Counts of a model, and its times in milliseconds an image."""
    from flowers17.prediction.exporting import keras_model
    from flowers17.prediction.models import open_model
    from flowers17.prediction.pictures import Block
    from flowers17.small_data.costs import seconds_a_call

    model = open_model(reference, loader)
    with loader.building("float32"):
        network = keras_model(model)
    from flowers17.learners.networks import n_operations

    random = generator(0, "costs")
    pixels = {
        size: random.integers(0, 256, (max(BATCHES), size, size, 3), dtype=np.uint8)
        for size in model.sizes
    }

    def seconds(n_images: int) -> float:
        squares = {size: images[:n_images] for size, images in pixels.items()}
        return seconds_a_call(lambda: model.answers(Block(("",) * n_images, squares))) / n_images

    weights = {id(weight): weight for weight in network.weights}.values()
    counts = {
        "reason": "",
        "n_parameters": sum(int(np.prod(weight.shape)) for weight in weights),
        "megabytes": sum(int(np.asarray(weight).nbytes) for weight in weights) / 1e6,
        "giga_operations": n_operations(network) / 1e9,
    }
    return counts, {f"ms_{n}": round(1000 * seconds(n), 3) for n in BATCHES}


def build_saliency(job: Job) -> Mapping[str, Any]:
    """Map what the predictions of the worst mistakes, and of others, rest on.

    Each map is made again with the weights shuffled, which must change it.
    """
    from flowers17.prediction.catalogue import KINDS, Entry

    best: dict[str, tuple[Any, str, Artifact]] = {}
    for label, artifact in job.inputs.items():
        kind = KINDS[artifact.reference.stage]
        entry = Entry(artifact.manifest, artifact.json("result"))
        if kind != "ensemble" and (kind not in best or entry.rank > best[kind][0]):
            best[kind] = (entry.rank, label, artifact)
    rows = []
    for _, label, artifact in best.values():
        try:
            row = _mapped(job, artifact)
        except Flowers17Error as problem:
            row = {"reason": str(problem)}
        rows.append({"model": label, "stage": artifact.reference.stage, "reason": "", **row})
        job.progress(len(rows), len(best), "models")
    job.save_json("result", {"reason": "", "rows": rows})
    border = {row["model"]: row["border"]["value"] for row in rows if row.get("border")}
    return {f"{label}, on the border": round(share, 3) for label, share in border.items()}


def _mapped(job: Job, artifact: Artifact) -> dict[str, Any]:
    """Record of a model's maps, which are saved under its stage's name."""
    from flowers17.prediction.attacked import AttackedModel
    from flowers17.prediction.evidence import held_out, images_of
    from flowers17.reporting.metrics import mean_spread
    from flowers17.small_data import saliency

    loader = loader_of(job)
    own, images = held_out(artifact, loader), images_of(artifact, loader)
    if own is None:
        return {"reason": "its held-out images are not known"}
    truth = own.proba[np.arange(len(own.labels)), own.labels]
    order, n = np.argsort(truth, kind="stable"), job.config["n_images"]
    n_wrong = int((own.proba.argmax(axis=1) != own.labels).sum())
    others = generator(0, "saliency").permutation(order[n_wrong:])[:n]
    places = np.concatenate([order[: min(n, n_wrong)], others])
    rows, predicted = own.rows[places], own.proba[places].argmax(axis=1)
    model = AttackedModel(artifact, loader)
    pictures = images[max(images)][rows]

    def proba_of(pixels: np.ndarray) -> np.ndarray:
        return model.proba(pixels.astype(np.float32) / 255)

    def maps() -> np.ndarray:
        return np.stack(
            [
                saliency.occlusion_map(proba_of, picture, int(guess))
                for picture, guess in zip(pictures, predicted, strict=True)
            ]
        )

    occlusion = maps()
    model.shuffle_weights(generator(0, "saliency", "shuffled"))
    shuffled = maps()
    job.save_array(f"{artifact.reference.stage}-maps", occlusion)
    shares = [saliency.border_share(each) for each in occlusion if each.max() > 0]
    border = None
    if len(shares) > 1:  # the images are independent of each other
        mean = mean_spread(shares, n_train=2**31, n_validation=1)
        border = {"value": mean.mean, "interval": mean.interval}
    similarity = [saliency.map_similarity(*pair) for pair in zip(occlusion, shuffled, strict=True)]
    return {
        "rows": rows.tolist(),
        "predicted": predicted.tolist(),
        "n_wrong": min(n, n_wrong),
        "n_images": len(rows),
        "border": border,
        "area": saliency.border_area(),
        "similarity": float(np.mean(similarity)),
    }
