"""Robust accuracy of a learner with defences: adversarial training, filters, a detector.

Every training is a stage of the study, on its clean split. A stopped script continues when it is
started again. The last epoch counts, so that no image chooses it.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from measuring import ROOT, print_machine

COMMAND = "import sys; from flowers17.cli import main; sys.exit(main(sys.argv[1:]))"


def defence_results(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Results of the stage `defences`: counts of the learner with each defence."""
    adversaries = [{"attack": attack, "epsilon": options.epsilon} for attack in ("fgsm", "pgd")]
    settings = (
        f"dataset.image_size={options.image_size}",
        "splits.n_repeats=0",
        f"learners.recipe.epochs={options.epochs}",
        "learners.recipe.momentum=0.9",
        "learners.recipe.selection=last",
        "attacks.models=[]",
        "ensemble.ensembles=[]",
        "poisoning.networks=[]",
        f"defences.networks=[{{learner: {options.learner}, augmentation: none}}]",
        f"defences.adversaries={json.dumps(adversaries)}",
        f"attacks.n_images={options.n_images}",
        f"attacks.pgd_steps={options.steps}",
        "defences.budgets=[1, 2, 4, 8]",
    )
    arguments = ["--dataset", options.dataset, "--profile", "report", "--store", str(options.store)]
    overrides = [argument for setting in settings for argument in ("--set", setting)]
    process = subprocess.run(
        [sys.executable, "-c", COMMAND, "run", "attacks", *arguments, "--json", *overrides],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    stages = json.loads(process.stdout)["stages"]
    [stage] = [record for label, record in stages.items() if label.startswith("defences of ")]
    path = options.store / stage["stage"] / stage["key"] / "result.json"
    return list(json.loads(path.read_text())["defences"])


def main() -> None:
    """Train and attack; print clean and robust accuracies."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="the archive 17flowers.tgz, or a folder")
    parser.add_argument("--store", required=True, type=Path, help="where trainings are kept")
    parser.add_argument("--learner", default="baseline", help="a learner from scratch")
    parser.add_argument("--image-size", type=int, default=64, help="pixels a side")
    parser.add_argument("--epochs", type=int, default=15, help="of each training")
    parser.add_argument("--epsilon", type=float, default=4, help="trained against, in 255ths")
    parser.add_argument("--n-images", type=int, default=170, help="that are attacked")
    parser.add_argument("--steps", type=int, default=10, help="of PGD")
    options = parser.parse_args()
    options.store = options.store.resolve()
    options.dataset = str(Path(options.dataset).resolve())
    print_machine()
    for defence in defence_results(options):
        n = defence["n"]
        clean, refused = defence["n_right"] / n, defence["n_refused"] / n
        print(f"{defence['name']}: clean {clean:.3f}, refused {refused:.3f}")
        for name, key in (("unknown", "n_withstood_unaware"), ("known", "n_withstood")):
            shares = [
                f"{worst['epsilon']:g}/255 {worst[key] / n:.3f}"
                for worst in defence["worst"]
                if worst[key] is not None
            ]
            if shares:
                print(f"  defence {name:8} {'  '.join(shares)}")
        for run in defence["runs"]:
            print(
                f"    {run['view']}, {run['attack']} {run['epsilon']:g}/255: withstood "
                f"{run['n_withstood'] / n:.3f}, refused {run['n_refused'] / n:.3f}"
            )


if __name__ == "__main__":
    main()
