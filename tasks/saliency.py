"""Stage `saliency`: what the best network and the best classifier look at."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.errors import Flowers17Error
from flowers17.seeds import generator
from flowers17.stages import Job
from tasks.attack import loader_of


def build(job: Job) -> Mapping[str, Any]:
    """Map what the predictions of the worst mistakes, and of others, rest on.

    Each map is made again with the weights shuffled, which must change it.
    """
    from flowers17.prediction.catalogue import KINDS, Entry

    best: dict[str, tuple[Any, str, Artifact]] = {}
    for label, artifact in job.inputs.items():
        kind, entry = (
            KINDS[artifact.reference.stage],
            Entry(artifact.manifest, artifact.json("result")),
        )
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
    from flowers17.prediction.held_out import held_out, images_of
    from flowers17.reporting.metrics import mean_spread
    from flowers17.small_data.saliency import (
        border_area,
        border_share,
        map_similarity,
        occlusion_map,
    )

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
                occlusion_map(proba_of, picture, int(guess))
                for picture, guess in zip(pictures, predicted, strict=True)
            ]
        )

    saliency = maps()
    model.shuffle_weights(generator(0, "saliency", "shuffled"))
    shuffled = maps()
    job.save_array(f"{artifact.reference.stage}-maps", saliency)
    shares = [border_share(each) for each in saliency if each.max() > 0]
    border = None
    if len(shares) > 1:  # the images are independent of each other
        mean = mean_spread(shares, n_train=2**31, n_validation=1)
        border = {"value": mean.mean, "interval": mean.interval}
    similarity = [map_similarity(*pair) for pair in zip(saliency, shuffled, strict=True)]
    return {
        "rows": rows.tolist(),
        "predicted": predicted.tolist(),
        "n_wrong": min(n, n_wrong),
        "n_images": len(rows),
        "border": border,
        "area": border_area(),
        "similarity": float(np.mean(similarity)),
    }
