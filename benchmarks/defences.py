"""The worth of defences on one learner: adversarial training (FGSM, PGD), filters, a detector.

Every training is a stage of the study, on its clean split. Stop the script at any time; called
again, it continues. The last epoch counts, so that no image chooses it.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from measuring import ROOT, print_machine

COMMAND = "import sys; from flowers17.cli import main; sys.exit(main(sys.argv[1:]))"


def defended(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what the stage `defences` found of the learner behind each defence."""
    adversaries = [{"attack": one, "epsilon": given.epsilon} for one in ("fgsm", "pgd")]
    settings = (
        f"dataset.image_size={given.image_size}",
        "splits.n_repeats=0",
        f"learners.recipe.epochs={given.epochs}",
        "learners.recipe.momentum=0.9",
        "learners.recipe.selection=last",
        "attacks.models=[]",
        "ensemble.ensembles=[]",
        "poisoning.networks=[]",
        f"defences.networks=[{{learner: {given.learner}, augmentation: none}}]",
        f"defences.adversaries={json.dumps(adversaries)}",
        f"attacks.n_images={given.n_images}",
        f"attacks.pgd_steps={given.steps}",
        "defences.budgets=[1, 2, 4, 8]",
    )
    words = ["--dataset", given.dataset, "--profile", "report", "--store", str(given.store)]
    chosen = [word for one in settings for word in ("--set", one)]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "run", "attacks", *words, "--json", *chosen],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    study = json.loads(done.stdout)["stages"]
    [found] = [one for label, one in study.items() if label.startswith("defences of ")]
    path = given.store / found["stage"] / found["key"] / "result.json"
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
    given = parser.parse_args()
    given.store = given.store.resolve()
    given.dataset = str(Path(given.dataset).resolve())
    print_machine()
    for one in defended(given):
        n = one["n"]
        print(f"{one['name']}: clean {one['n_right'] / n:.3f}, refused {one['n_refused'] / n:.3f}")
        for name, key in (("unknown", "n_withstood_unaware"), ("known", "n_withstood")):
            shares = [
                f"{found['epsilon']:g}/255 {found[key] / n:.3f}"
                for found in one["worst"]
                if found[key] is not None
            ]
            if shares:
                print(f"  defence {name:8} {'  '.join(shares)}")
        for run in one["runs"]:
            print(
                f"    {run['view']}, {run['attack']} {run['epsilon']:g}/255: withstood "
                f"{run['n_withstood'] / n:.3f}, refused {run['n_refused'] / n:.3f}"
            )


if __name__ == "__main__":
    main()
