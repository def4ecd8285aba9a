"""The real images, decoded once for all tests that need them."""

import pytest

from flowers17.data.images import ImageSet, image_set
from flowers17.data.source import source_from
from tests.support.image_files import REAL_ARCHIVE, REAL_REASON


@pytest.fixture(scope="session")
def real_images() -> ImageSet:
    """Return the images of the real archive at 128 pixels, or skip the test without it."""
    if not REAL_ARCHIVE.is_file():
        pytest.skip(REAL_REASON)
    return image_set(source_from(str(REAL_ARCHIVE)), size=128)
