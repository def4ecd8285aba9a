"""Seeds depend on the root and the role, and on nothing else."""

import hashlib
import random

import numpy as np
import pytest

from flowers17.seeds import derived_seed, generator
from tests.support.processes import output_of

ROLES = [("split", "report"), ("split", "clean"), ("split", "repeat", 1), ("split", "repeat", 2)]


def test_are_the_first_four_bytes_of_the_digest_of_root_and_role() -> None:
    digest = hashlib.sha256(b"17/learner/mk-2/fold/3").digest()
    assert derived_seed(17, "learner", "mk-2", "fold", 3) == int.from_bytes(digest[:4], "big")


def test_are_pinned_once_for_all() -> None:
    # printf '17/split/report' | sha256sum | cut -c-8
    assert derived_seed(17, "split", "report") == 0x97D8D98B


@pytest.mark.parametrize("role", ROLES)
def test_are_in_the_range_that_numpy_and_keras_accept(role: tuple[str | int, ...]) -> None:
    assert 0 <= derived_seed(2**31 - 1, *role) < 2**32


def test_differ_between_roles_and_between_roots() -> None:
    seeds = {derived_seed(root, *role) for root in range(50) for role in ROLES}
    assert len(seeds) == 50 * len(ROLES)


def test_do_not_depend_on_what_was_drawn_before() -> None:
    first = generator(17, "split").random(3)
    generator(17, "other").random(1000)
    np.random.default_rng(0).random()
    random.random()
    np.testing.assert_array_equal(generator(17, "split").random(3), first, strict=True)


def test_leave_the_global_generators_alone() -> None:
    state, legacy = random.getstate(), np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    generator(17, "split").random(10)
    assert random.getstate() == state
    np.testing.assert_array_equal(np.random.get_state()[1], legacy)  # type: ignore[index]  # noqa: NPY002


def test_are_the_same_in_another_process_with_another_hash_seed() -> None:
    code = "from flowers17.seeds import generator; print(generator(17, 'a', 1).integers(2**32))"
    assert {int(output_of(code, env={"PYTHONHASHSEED": seed})) for seed in ("0", "99")} == {
        int(generator(17, "a", 1).integers(2**32))
    }
