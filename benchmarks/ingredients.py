"""The worth of each ingredient of the recipe `best`: trainings without it, at a reduced length.

Every training is a stage of the study, on its repeated clean splits. Stop the script at any time;
called again, it continues. Accuracy is that of the last epoch.
"""

from typing import Any

from measuring import options_of, results_of

CHANGES: dict[str, dict[str, Any]] = {  # of learners.best_recipe
    "nothing": {},
    "one-cycle rate (constant at a fifth)": {"schedule": "constant", "learning_rate": 0.006},
    "small batches (64 images, at 0.05)": {"batch_size": 64, "learning_rate": 0.05},
    "momentum": {"momentum": 0},
    "weight decay": {"weight_decay": 0},
    "label smoothing": {"label_smoothing": 0},
    "mixup": {"mixup": 0},
    "augmentation": {"augmentation": "none"},
    "growing resolution (full from the start)": {"resolutions": [1.0]},
    "mirrored images at test": {"flips_at_test": False},
}


def main() -> None:
    """Train with everything and without each ingredient; print accuracies and differences."""
    ingredients = tuple(CHANGES)[1:]
    options = options_of(
        __doc__,
        "dataset",
        "store",
        image_size={"default": 64, "help": "pixels a side"},
        epochs={"default": 12, "help": "instead of 80"},
        without={"nargs": "+", "choices": ingredients, "help": "these alone, not each one"},
        splits={"default": 2, "help": "repeated clean splits"},
    )
    full_share = 0.0
    for ingredient in ["nothing", *(options.without or ingredients)]:
        settings = {
            "dataset.image_size": options.image_size,
            "learners.plain": [],
            "learners.augmented": [],
            "learners.best": ["residual"],
            "learners.best_splits": options.splits,
            "learners.best_recipe.epochs": options.epochs,
        }
        for name, value in CHANGES[ingredient].items():
            group = "best_augmentation" if name == "augmentation" else f"best_recipe.{name}"
            settings[f"learners.{group}"] = value
        results = results_of("learners", settings, options, "residual best, ")
        share = sum(result["n_correct"] for result in results) / sum(
            result["n_validation"] for result in results
        )
        full_share = full_share or share
        each = " ".join(f"{result['accuracy']:.3f}" for result in results)
        difference = f"{share - full_share:+.3f}"
        print(f"without {ingredient:42} {share:.3f} {difference}   ({each})", flush=True)


if __name__ == "__main__":
    main()
