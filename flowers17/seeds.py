"""Seeds derived from the study's root seed and a role, so that no result depends on order."""

import hashlib

import numpy as np


def derived_seed(root: int, *role: str | int) -> int:
    """Return the seed of one role, in [0, 2**32), the range that NumPy and Keras accept.

    The same root and role give the same seed on every platform and in every process.

    >>> derived_seed(17, "split", "clean", 3) == derived_seed(17, "split/clean/3")
    True
    >>> derived_seed(17, "split") == derived_seed(18, "split")
    False
    """
    text = f"{root}/" + "/".join(str(part) for part in role)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def generator(root: int, *role: str | int) -> np.random.Generator:
    """Return a PCG64 generator seeded for one role."""
    return np.random.default_rng(derived_seed(root, *role))
