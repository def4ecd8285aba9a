"""Facts about Oxford Flowers-17: classes, addresses, digests, near-duplicates."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from flowers17.errors import ChecksumMismatch, InvalidInput

CLASS_NAMES = tuple((files("flowers17.data") / "known" / "classes.txt").read_text().splitlines())
IMAGES_PER_CLASS = 80
N_IMAGES = len(CLASS_NAMES) * IMAGES_PER_CLASS

ARCHIVE_URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/17/17flowers.tgz"
SPLITS_URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/17/datasplits.mat"
SPLITS_NAME = "datasplits.mat"
ARCHIVE_SHA256 = "fe38a60f8b4a95e657551247d3e7d799a3fafcdbc595be504b12839967823d70"
ARCHIVE_BYTES = 60_270_631

# Pinned here so that other package data is noticed, and counts as other code in a stage's key.
IMAGE_LIST_SHA256 = "fe585a7f39843f415c72badb85e46b8cfb697a26f08f4aef6868e92cd891ef66"
NEAR_DUPLICATES_SHA256 = "1a11578938e383e56ff95064c6ea175ee919349a688e977d65bb3a1d1ec1f87c"


def image_name(number: int) -> str:
    """Return the name of an image in the archive.

    >>> image_name(1)
    'jpg/image_0001.jpg'
    """
    return f"jpg/image_{number:04d}.jpg"


def _package_text(name: str, sha256: str) -> str:
    data = (files("flowers17.data") / "known" / name).read_bytes()
    actual = hashlib.sha256(data).hexdigest()
    if actual != sha256:
        raise ChecksumMismatch(
            f"package data {name}: expected sha256 {sha256[:12]}…, got {actual[:12]}…; "
            "install flowers17 again"
        )
    return data.decode()


@cache
def known_image_digests() -> Mapping[str, str]:
    """Return the SHA-256 of each of the 1,360 images by its name in the archive."""
    lines = _package_text("17flowers.sha256", IMAGE_LIST_SHA256).splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


@cache
def known_near_duplicates() -> tuple[tuple[int, int], ...]:
    """Return the pairs of image numbers, 1..1360, that show the same scene."""
    lines = _package_text("near_duplicates.csv", NEAR_DUPLICATES_SHA256).splitlines()
    rows = [line.split(",") for line in lines if line[:1].isdigit()]
    return tuple((int(first), int(second)) for first, second in rows)


def is_verified(digests: Mapping[str, str], *, required: bool) -> bool:
    """Whether images are the official ones, by name and SHA-256.

    digests: SHA-256 of each of the 1,360 images by its name in the archive.
    Raises ChecksumMismatch if `required` and an image differs; InvalidInput if an official image
    lies under another's name, because labels come from names.
    """
    known = known_image_digests()
    differing = [name for name in sorted(known) if digests.get(name) != known[name]]
    if not differing:
        return True
    official_name = {digest: name for name, digest in known.items()}
    renamed = [name for name in differing if digests.get(name) in official_name]
    if renamed:
        name = renamed[0]
        raise InvalidInput(
            f"archive member {name}: expected an image of its own, got the official "
            f"{official_name[digests[name]]} ({len(renamed)} renamed images); labels come from "
            "names, so fetch the archive again"
        )
    if required:
        raise ChecksumMismatch(
            f"Flowers-17: expected the official {N_IMAGES} images, got others as "
            f"{', '.join(differing[:5])}{' …' if len(differing) > 5 else ''} "
            f"({len(differing)} differ); delete the archive and run `flowers17 run dataset` again"
        )
    return False
