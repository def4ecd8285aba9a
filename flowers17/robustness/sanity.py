"""Checks of attacks by their own numbers: does what must hold of a sound evaluation hold?

Source: Carlini et al. 2019, arXiv:1902.06705, section 3, the checklist.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

SLACK = 0.02  # the share of the images by which randomness may make an attack come off worse


@dataclass(frozen=True)
class Check:
    """What must hold, what was measured, and whether it holds.

    value: the share or count that decides, which must be at most `most`.
    """

    name: str
    measured: str
    value: float
    most: float

    @property
    def holds(self) -> bool:
        """Whether the value is within what is allowed."""
        return self.value <= self.most


def grows(robust: Sequence[float], attack: str) -> Check:
    """Return the check that success grows with the budget.

    robust: the attack's robust accuracies, by ascending budget, from that of no budget on.
    """
    rises = [later - sooner for sooner, later in pairwise(robust)]
    worst = max([0.0, *rises])
    text = f"robust accuracy rises by {worst:.3f} at most from one budget to the next"
    return Check(f"{attack}: success grows with the budget", text, worst, SLACK)


def reaches_all(robust: Sequence[float], budget: float, attack: str) -> Check:
    """Return the check that a large enough budget fools the model on every image."""
    text = f"robust accuracy {robust[-1]:.3f} at {budget:g}/255"
    return Check(f"{attack}: success reaches 1", text, robust[-1], 0.0)


def at_least_as_strong(
    stronger: Sequence[float], weaker: Sequence[float], names: tuple[str, str]
) -> Check:
    """Return the check that one attack leaves no more right than another, budget by budget.

    stronger, weaker: their robust accuracies on the same images. names: of the two.
    """
    worst = max(one - other for one, other in zip(stronger, weaker, strict=True))
    text = f"robust accuracy under {names[0]} minus that under {names[1]} is {worst:+.3f} at most"
    return Check(f"{names[0]} beats {names[1]}", text, worst, SLACK)


def beats_transfer(own: float, transferred: Mapping[str, float]) -> Check:
    """Return the check that gradients of the model itself do more than those of another.

    own: robust accuracy under PGD; transferred: under images made on others, by their names.
    """
    best = min(transferred, key=lambda name: transferred[name])
    worst = own - transferred[best]
    text = (
        f"robust accuracy {own:.3f}; under images made on others at least {transferred[best]:.3f}"
    )
    return Check("white box beats transfer", f"{text} ({best})", worst, SLACK)


def beats_black_box(white: float, black: float) -> Check:
    """Return the check that an attack with gradients does more than one without.

    white, black: robust accuracies on the same images, under PGD at its largest budget and under
    the one-pixel attack.
    """
    text = (
        f"robust accuracy {white:.3f} under PGD at its largest budget, {black:.3f} under one pixel"
    )
    return Check("white box beats black box", text, white - black, SLACK)


def no_zero_gradients(n_zero: int, n: int) -> Check:
    """Return the check that no image's gradient is zero, which would hide the model's weakness."""
    return Check("no gradient is zero", f"{n_zero} of {n} images", n_zero, 0)


def converged(share: float, budget: float) -> Check:
    """Return the check that twice the iterations change nothing.

    share: of the images, how many more fall, at the budget where that are most.
    """
    text = f"{share:.3f} of the images fall in addition, at {budget:g}/255"
    return Check("PGD: doubling the steps changes nothing", text, share, SLACK)
