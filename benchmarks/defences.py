"""Robust accuracy of a learner with defences: adversarial training, filters, a detector.

Every training is a stage of the study, on its clean split. A stopped script continues when it is
started again. The last epoch counts, so that no image chooses it.
"""

from measuring import options_of, results_of


def main() -> None:
    """Train and attack; print clean and robust accuracies."""
    options = options_of(
        __doc__,
        "dataset",
        "store",
        learner={"default": "baseline", "help": "a learner from scratch"},
        image_size={"default": 64, "help": "pixels a side"},
        epochs={"default": 15, "help": "of each training"},
        epsilon={"default": 4.0, "help": "trained against, in 255ths"},
        n_images={"default": 170, "help": "that are attacked"},
        steps={"default": 10, "help": "of PGD"},
    )
    adversaries = [{"attack": attack, "epsilon": options.epsilon} for attack in ("fgsm", "pgd")]
    settings = {
        "dataset.image_size": options.image_size,
        "splits.n_repeats": 0,
        "learners.recipe.epochs": options.epochs,
        "learners.recipe.momentum": 0.9,
        "learners.recipe.selection": "last",
        "attacks.models": [],
        "ensemble.ensembles": [],
        "poisoning.networks": [],
        "defences.networks": [{"learner": options.learner, "augmentation": "none"}],
        "defences.adversaries": adversaries,
        "attacks.n_images": options.n_images,
        "attacks.pgd_steps": options.steps,
        "defences.budgets": [1, 2, 4, 8],
    }
    [result] = results_of("attacks", settings, options, "defences of ")
    for defence in result["defences"]:
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
