"""Stage `costs`: what a prediction by each model of a study costs.

Times are this machine's, and differ from run to run: they are metrics, as durations are part of a
manifest, and no file of the artifact has them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowers17.config import RunOptions
from flowers17.errors import Flowers17Error
from flowers17.learners.devices import device_in
from flowers17.seeds import generator
from flowers17.stages import Job, Stage
from tasks.attack import loader_of, own_learners
from tasks.long_work import long_work

BATCHES = (1, 32)


def stage(options: RunOptions, models: Sequence[Stage], name: str, **configuration: Any) -> Stage:
    """Stage of a module of this package that opens models, whichever there are.

    name: of the stage and its module; configuration: beside the device.
    """
    device = device_in(options)
    return Stage.of(
        name,
        name,
        f"tasks.{name}:build",
        {"device": device, **configuration, **own_learners(*models)},
        inputs={model.label: model for model in models},
        resources={"weights_dir": str(options.weights_dir)} if options.weights_dir else {},
        optional=all(model.optional for model in models),
        tolerant=True,
        **long_work(name, device),
    )


def build(job: Job) -> Mapping[str, Any]:
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
    from flowers17.prediction.pictures import Block
    from flowers17.prediction.predicting import open_model
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
