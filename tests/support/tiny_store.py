"""A store with two small studies of networks from scratch, as `flowers17 run` builds them."""

from pathlib import Path

from flowers17.request import request_from
from flows import learners
from tasks import report
from tests.support.builds import built

SETTINGS = (
    "dataset.n_classes=3",
    "dataset.images_per_class=8",
    "dataset.image_size=32",
    "splits.n_repeats=0",
    "learners.definitions=[{name: tiny, blocks: [[4], [8]], dense: 16}]",
    "learners.plain=[tiny]",
    "learners.augmented=[]",
    "learners.recipe.epochs=2",
    "learners.recipe.batch_size=8",
    "learners.precision=float32",
)


def build(root: Path) -> None:
    """Build the studies, of seeds 17 and 18."""
    for seed in (17, 18):
        request = request_from([*SETTINGS, f"seed={seed}"], store=root, device="cpu")
        parts = list(learners.parts(request.settings, request.options))
        built([report.stage(request.settings, {"a1": parts})], root)
