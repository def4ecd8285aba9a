"""A store with two small studies of networks from scratch, as `flowers17 run` builds them."""

from pathlib import Path

from tests.support.processes import output_of

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
CODE = """
import sys
from flowers17.artifacts import Store
from flowers17.request import request_from
from flowers17.stages import ensure, in_order
from flows import learners
from tasks import report

store = Store(sys.argv[1])
for seed in (17, 18):
    request = request_from([*sys.argv[2:], f"seed={seed}"], store=store.root, device="cpu")
    parts = list(learners.parts(request.settings, request.options))
    references = {}
    for stage in in_order([report.stage(request.settings, {"a1": parts})]):
        inputs = {name: references[needed.label] for name, needed in stage.inputs.items()}
        references[stage.label] = ensure(stage, inputs, store).reference
"""


def build(root: Path) -> None:
    """Build the studies, of seeds 17 and 18, in a process of its own."""
    output_of(CODE, str(root), *SETTINGS, timeout=500)
