"""A tiny study under attack: its stages built one after the other."""

import json
from pathlib import Path
from typing import Any

from flowers17.artifacts import Artifact, Store
from flowers17.request import request_from
from flows import attacks
from tests.support import builds
from tests.support.tiny_backbone import BACKBONE

SETTINGS = (
    "dataset.n_classes=3",
    "dataset.images_per_class=12",
    "dataset.image_size=32",
    "splits.n_repeats=0",
    "features.weights=random",
    "learners.definitions=[{name: tiny, blocks: [[4]], dense: 8}]",
    "learners.recipe.epochs=6",
    "learners.recipe.learning_rate=0.1",
    "learners.recipe.batch_size=9",
    "learners.precision=float32",
    "ensemble.n_folds=2",
    "ensemble.meta_learners=[random_forest]",
    "ensemble.ensembles=[{name: mixed, members: [{learner: tiny, augmentation: none}, "
    f"{{classifier: naive_bayes, maps: [{{extractor: '{BACKBONE}', pooling: average}}]}}]}}]",
    "attacks.models=[{learner: tiny, augmentation: none}]",
    "attacks.attacks=[noise, fgsm, pgd, targeted, jsma, one_pixel, exploratory]",
    "attacks.n_images=9",
    "attacks.budgets=[2, 128]",
    "attacks.budget=8",
    "attacks.pgd_steps=3",
    "attacks.images_per_batch=4",
    "attacks.targeted={n_images: 6, n_targets: 2}",
    "attacks.jsma={n_images: 3, gamma: 0.05, variant: single}",
    "attacks.one_pixel={n_images: 5, population: 12, generations: 2, images_per_batch: 2}",
    "attacks.exploratory={learner: tiny, n_seeds: 3, rounds: 2, n_new: 4, epochs: 4, "
    "augmentation: none, budgets: [8, 64]}",
    "defences.networks=[]",
    "poisoning.networks=[]",
)


def built(root: Path) -> Store:
    """Store in which the study's stages are built."""
    request = request_from(SETTINGS, store=root, device="cpu")
    return builds.built(attacks.stages(request.settings, request.options), root)


def artifacts(store: Store, stage: str) -> dict[str, Artifact]:
    """Artifacts of a stage by label."""
    return {
        manifest["label"]: Artifact(store.folder(stage, manifest["key"]), manifest)
        for manifest in store.manifests()
        if manifest["stage"] == stage
    }


def tables(store: Store) -> dict[str, Any]:
    """Tables of the report's results, by number."""
    [report] = artifacts(store, "study").values()
    return dict(json.loads((report.path / "results.json").read_text())["tables"])
