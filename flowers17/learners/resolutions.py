"""Which part of the image size each epoch of a training sees; nothing here imports Keras."""

from flowers17.config import RecipeSettings


def resolution(recipe: RecipeSettings, epoch: int) -> float:
    """Return the part of the image size that an epoch, from 1, is trained at.

    With fewer epochs than resolutions, the first ones are left out.

    >>> two = RecipeSettings(epochs=3, resolutions=(0.5, 1.0))
    >>> [resolution(two, epoch) for epoch in (1, 2, 3)]
    [0.5, 0.5, 1.0]
    """
    parts = recipe.resolutions[-recipe.epochs :]
    return parts[(epoch - 1) * len(parts) // recipe.epochs]
