"""Image resolution of each epoch of a training; imports no Keras."""

from flowers17.config import RecipeSettings


def resolution(recipe: RecipeSettings, epoch: int) -> float:
    """Share of the image size that an epoch, from 1, is trained at.

    With fewer epochs than resolutions, the first ones are skipped.

    >>> recipe = RecipeSettings(epochs=3, resolutions=(0.5, 1.0))
    >>> [resolution(recipe, epoch) for epoch in (1, 2, 3)]
    [0.5, 0.5, 1.0]
    """
    shares = recipe.resolutions[-recipe.epochs :]
    return shares[(epoch - 1) * len(shares) // recipe.epochs]
