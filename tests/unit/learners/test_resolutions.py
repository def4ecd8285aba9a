"""The size of the images of each epoch."""

import pytest

from flowers17.config import RecipeSettings
from flowers17.learners.images import resolution


@pytest.mark.parametrize("epochs", [1, 2, 3, 7])
def test_the_last_epoch_is_trained_at_full_size(epochs: int) -> None:
    recipe = RecipeSettings(epochs=epochs, resolutions=(0.5, 0.75, 1.0))
    shares = [resolution(recipe, number) for number in range(1, epochs + 1)]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
