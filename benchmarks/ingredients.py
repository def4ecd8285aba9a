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

CHANGES = {
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


def trained(options: argparse.Namespace, changes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Results of the recipe `best` with some settings changed, one for each split."""
    settings = (
        f"dataset.image_size={options.image_size}",
        "learners.plain=[]",
        "learners.augmented=[]",
        "learners.best=[residual]",
        f"learners.best_splits={options.splits}",
        f"learners.best_recipe.epochs={options.epochs}",
        *changes,
    )
    words = ["--dataset", options.dataset, "--profile", "report", "--store", str(options.store)]
    arguments = [word for setting in settings for word in ("--set", setting)]
    process = subprocess.run(
        [sys.executable, "-c", COMMAND, "run", "learners", *words, "--json", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    study = json.loads(process.stdout)["stages"]
    references = [
        reference for label, reference in study.items() if label.startswith("residual best, ")
    ]
    folders = [options.store / reference["stage"] / reference["key"] for reference in references]
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
        "--without", nargs="+", choices=tuple(CHANGES)[1:], help="these alone, not each one"
    )
    parser.add_argument("--splits", type=int, default=2, help="repeated clean splits")
    options = parser.parse_args()
    options.store = options.store.resolve()
    options.dataset = str(Path(options.dataset).resolve())
    print_machine()
    full_share = 0.0
    for name in ["nothing", *(options.without or tuple(CHANGES)[1:])]:
        changes = CHANGES[name]
        results = trained(options, changes)
        share = sum(result["n_correct"] for result in results) / sum(
            result["n_validation"] for result in results
        )
        full_share = full_share or share
        each = " ".join(f"{result['accuracy']:.3f}" for result in results)
        print(f"without {name:42} {share:.3f} {share - full_share:+.3f}   ({each})", flush=True)


if __name__ == "__main__":
    main()
