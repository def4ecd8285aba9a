"""The worth of each ingredient of the recipe `best`: trainings without it, at a reduced length.

Every training is a stage of the study, on its repeated clean splits. Stop the script at any time;
called again, it continues. Accuracy is that of the last epoch.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from measuring import ROOT, print_machine

LEFT_OUT = {
    "nothing": (),
    "one-cycle rate (constant at a fifth)": (
        "learners.best_recipe.schedule=constant",
        "learners.best_recipe.learning_rate=0.006",
    ),
    "small batches (64 images, at 0.05)": (
        "learners.best_recipe.batch_size=64",
        "learners.best_recipe.learning_rate=0.05",
    ),
    "momentum": ("learners.best_recipe.momentum=0",),
    "weight decay": ("learners.best_recipe.weight_decay=0",),
    "label smoothing": ("learners.best_recipe.label_smoothing=0",),
    "mixup": ("learners.best_recipe.mixup=0",),
    "augmentation": ("learners.best_augmentation=none",),
    "growing resolution (full from the start)": ("learners.best_recipe.resolutions=[1.0]",),
    "mirrored images at test": ("learners.best_recipe.flips_at_test=false",),
}
COMMAND = "import sys; from flowers17.cli import main; sys.exit(main(sys.argv[1:]))"


def trained(given: argparse.Namespace, changes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the results of our recipe with some settings changed, a split each."""
    settings = (
        f"dataset.image_size={given.image_size}",
        "learners.plain=[]",
        "learners.augmented=[]",
        "learners.best=[residual]",
        f"learners.best_splits={given.splits}",
        f"learners.best_recipe.epochs={given.epochs}",
        *changes,
    )
    words = ["--dataset", given.dataset, "--profile", "report", "--store", str(given.store)]
    chosen = [word for one in settings for word in ("--set", one)]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "run", "learners", *words, "--json", *chosen],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    study = json.loads(done.stdout)["stages"]
    references = [one for label, one in study.items() if label.startswith("residual best, ")]
    folders = [given.store / one["stage"] / one["key"] for one in references]
    return [json.loads((folder / "result.json").read_text()) for folder in folders]


def main() -> None:
    """Train with everything and without each ingredient; print accuracies and differences."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="the archive 17flowers.tgz, or a folder")
    parser.add_argument("--store", required=True, type=Path, help="where trainings are kept")
    parser.add_argument("--image-size", type=int, default=64, help="pixels a side")
    parser.add_argument("--epochs", type=int, default=12, help="instead of 80")
    parser.add_argument(
        "--without", nargs="+", choices=tuple(LEFT_OUT)[1:], help="these alone, not each one"
    )
    parser.add_argument("--splits", type=int, default=2, help="repeated clean splits")
    given = parser.parse_args()
    given.store = given.store.resolve()
    given.dataset = str(Path(given.dataset).resolve())
    print_machine()
    whole = 0.0
    for name in ["nothing", *(given.without or tuple(LEFT_OUT)[1:])]:
        changes = LEFT_OUT[name]
        found = trained(given, changes)
        share = sum(one["n_correct"] for one in found) / sum(one["n_validation"] for one in found)
        whole = whole or share
        each = " ".join(f"{one['accuracy']:.3f}" for one in found)
        print(f"without {name:42} {share:.3f} {share - whole:+.3f}   ({each})", flush=True)


if __name__ == "__main__":
    main()
