"""Stages `costs` and `saliency`: what a prediction costs, and what models look at.

Saliency is of the best network and the best classifier. Times are this machine's, and differ from
run to run: they are metrics, as durations are part of a manifest, and no file of the artifact has
them.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.config import RunOptions
from flowers17.data.splits import Split
from flowers17.digests import canonical_json
from flowers17.errors import Flowers17Error, WeightsMissing
from flowers17.learners.devices import device_in
from flowers17.seeds import derived_seed, generator
from flowers17.stages import Job, Stage
from tasks.attack import loader_of, own_learners, weights_folder
from tasks.classifier import fitted_on
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


def best_of_each_kind(models: Mapping[str, Artifact]) -> dict[str, str]:
    """Label of the best network, classifier and ensemble of some models, by kind.

    In ascending order of rank, the last of a kind stands.
    """
    from flowers17.prediction.catalogue import Entry

    entries = [Entry(artifact.manifest, artifact.json("result")) for artifact in models.values()]
    return {entry.kind: entry.name for entry in sorted(entries, key=lambda entry: entry.rank)}


def by_model(
    job: Job, labels: Sequence[str], record_of: Callable[[str], Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Record of each model, which is JSON and stored at once: a killed run repeats at most one.

    A model that cannot be opened here has a reason instead. Raises WeightsMissing without models.
    """
    from flowers17.robustness.batches import resumed_arrays

    if not labels:
        raise WeightsMissing("expected a model that predicts, got none; other parts say why")

    def compute(batch: slice) -> dict[str, np.ndarray]:
        try:
            record = record_of(labels[batch.start])
        except Flowers17Error as problem:
            record = {"reason": str(problem)}
        return {"json": np.array([canonical_json(record)])}

    arrays = resumed_arrays(
        job.unfinished, len(labels), 1, compute, lambda n, total: job.progress(n, total, "models")
    )
    return [json.loads(record) for record in arrays["json"].tolist()]


def build_costs(job: Job) -> Mapping[str, Any]:
    """Count what each model holds and computes, and time its predictions as `predict` makes them.

    The best of each kind are timed as ONNX, too, as `export` writes them.
    """
    from flowers17.prediction.catalogue import Entry
    from flowers17.reporting.metrics import Measured
    from flowers17.small_data.costs import on_pareto_front

    loader, rows, times = loader_of(job), [], dict[str, float]()
    exported = set(best_of_each_kind(job.inputs).values()) if job.config["onnx"] else set()
    records = by_model(
        job,
        list(job.inputs),
        lambda label: _measured(job.inputs[label], loader, exports=label in exported),
    )
    for (label, artifact), record in zip(job.inputs.items(), records, strict=True):
        score = Entry(artifact.manifest, artifact.json("result")).score
        accuracy = Measured(score.headline, score.headline_interval)._asdict()
        times |= {f"{label}, {name}": ms for name, ms in record.pop("times", {}).items()}
        row = {"model": label, "artifact": artifact.reference.to_json(), "accuracy": accuracy}
        rows.append({**row, "giga_operations": None, **record})
    operations = np.array([row["giga_operations"] for row in rows], float)
    front = on_pareto_front(operations, np.array([row["accuracy"]["value"] for row in rows]))
    for row, is_first in zip(rows, front.tolist(), strict=True):
        row["on_front"] = "yes" if is_first else ""
    job.save_json("result", {"reason": "", "rows": rows})
    return times


def _measured(artifact: Artifact, loader: Any, *, exports: bool) -> dict[str, Any]:
    """Counts of a model, and its times in milliseconds an image.

    exports: whether it is timed as ONNX, too.
    """
    from flowers17.learners.networks import n_operations
    from flowers17.prediction import exporting
    from flowers17.prediction.models import open_model
    from flowers17.prediction.pictures import Block
    from flowers17.small_data.costs import seconds_a_call

    model = open_model(artifact.manifest, loader)
    with loader.building("float32"):
        network = exporting.keras_model(model)

    random, names = generator(0, "costs"), exporting.input_names(model)
    most = max(BATCHES)
    pixels = {size: random.integers(0, 256, (most, size, size, 3), np.uint8) for size in names}

    def times(way: str, predict: Callable[[dict[int, np.ndarray]], Any]) -> dict[str, float]:
        ms = {}
        for n in BATCHES:
            squares = {size: images[:n] for size, images in pixels.items()}
            ms[f"{way}_{n}"] = round(1000 * seconds_a_call(partial(predict, squares)) / n, 3)
        return ms

    def by_flowers17(squares: dict[int, np.ndarray]) -> Any:
        return model.answers(Block(("",) * len(next(iter(squares.values()))), squares))

    weights = {id(weight): weight for weight in network.weights}.values()
    record: dict[str, Any] = {
        "reason": "",
        "n_parameters": sum(int(np.prod(weight.shape)) for weight in weights),
        "megabytes": sum(int(np.asarray(weight).nbytes) for weight in weights) / 1e6,
        "giga_operations": n_operations(network) / 1e9,
        "times": times("ms", by_flowers17),
    }
    if exports:
        with tempfile.TemporaryDirectory() as folder, loader.building("float32"):
            exporting.write(model, path := Path(folder, "model.onnx"))
            proba_of = exporting.read(path)
        record["times"] |= times(
            "onnx", lambda squares: proba_of({names[size]: squares[size] for size in squares})
        )
    return record


def build_saliency(job: Job) -> Mapping[str, Any]:
    """Map what the predictions of the worst mistakes, and of others, rest on.

    Each map is made again with the weights shuffled, which must change it.
    """
    best = best_of_each_kind(job.inputs)
    labels = [best[kind] for kind in ("classifier", "network") if kind in best]
    records, rows = by_model(job, labels, lambda label: _mapped(job, job.inputs[label])), []
    for label, record in zip(labels, records, strict=True):
        stage = job.inputs[label].reference.stage
        if maps := record.pop("maps", None):
            job.save_array(f"{stage}-maps", np.array(maps))
        rows.append({"model": label, "stage": stage, "reason": "", **record})
    job.save_json("result", {"reason": "", "rows": rows})
    border = {row["model"]: row["border"]["value"] for row in rows if row.get("border")}
    return {f"{label}, on the border": round(share, 3) for label, share in border.items()}


def unseeing_model(artifact: Artifact, loader: Any, own: Any) -> Any:
    """The `AttackedModel`; for a model of all images, of what measured it on own, its `HeldOut`.

    That is the network of its first fold, or the classifier, fitted again as it was measured.
    """
    from flowers17.prediction.attacked import AttackedModel

    inputs = {role: loader.artifact(each) for role, each in artifact.manifest["inputs"].items()}
    attacked: Any = AttackedModel(inputs.get("fold-01", artifact), loader)
    if "measures" in inputs:
        measured = artifact.json("result")["measured"]
        material = inputs["measures"].manifest["material"]
        config = {**material["config"], "hyperparameters": measured["chosen"], "search": False}
        split = Split(measured["name"], measured["kind"], None, own.train, own.rows)
        seed = derived_seed(material["seed"], "classifier")
        _, attacked.model.fitted = fitted_on(split, inputs, config, seed)
    return attacked


def _mapped(job: Job, artifact: Artifact) -> dict[str, Any]:
    """Record of a model with its saliency maps, on images that it did not see."""
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
    model = unseeing_model(artifact, loader, own)
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
    shares = [saliency.border_share(each) for each in occlusion if each.max() > 0]
    border = None
    if len(shares) > 1:  # different images: nothing is shared, so no correction for overlap
        mean = mean_spread(shares, n_train=2**31, n_validation=1)
        border = {"value": mean.mean, "interval": mean.interval}
    similarity = [saliency.map_similarity(*pair) for pair in zip(occlusion, shuffled, strict=True)]
    return {
        "maps": occlusion.tolist(),
        "rows": rows.tolist(),
        "given": own.labels[places].tolist(),
        "predicted": predicted.tolist(),
        "n_wrong": min(n, n_wrong),
        "n_images": len(rows),
        "border": border,
        "area": saliency.border_share(np.ones_like(occlusion[0])),
        "similarity": float(np.mean(similarity)),
    }
