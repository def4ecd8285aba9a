"""The form of each flow: what every form has, and the few settings of the flow that people change.

Untouched, a form is its profile. All further settings are lines of its field `set`.
"""

from flowers17.request import form

_WHOLE_STUDY = """
    dataset.image_size splits.n_repeats learners.recipe.epochs ensemble.n_folds attacks.n_images
"""
_SETTINGS = {
    "dataset": """
        dataset.image_size dataset.n_classes dataset.images_per_class
        splits.validation_fraction splits.n_repeats splits.near_duplicates
    """,
    "learners": """
        dataset.image_size learners.plain learners.augmented learners.best learners.recipe.epochs
        learners.augmented_epochs learners.best_recipe.epochs learners.best_splits
    """,
    "features": """
        dataset.image_size splits.n_repeats features.weights features.classifiers.names
    """,
    "finetune": """
        dataset.image_size features.weights fine_tuning.phase_a.epochs fine_tuning.phase_b.epochs
        fine_tuning.n_seeds fine_tuning.own_splits
    """,
    "ensemble": """
        dataset.image_size ensemble.splits ensemble.n_folds ensemble.meta_learners
    """,
    "attacks": """
        dataset.image_size attacks.attacks attacks.n_images
        attacks.budgets attacks.budget attacks.pgd_steps
    """,
    "report": _WHOLE_STUDY,
    "study": _WHOLE_STUDY,
    "sweep": "",
}
FORMS = {flow: form(flow, *settings.split()) for flow, settings in _SETTINGS.items()}
