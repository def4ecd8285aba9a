"""Sanity checks of an evaluation by its own numbers: properties that sound attacks have.

Source: Carlini et al. 2019, arXiv:1902.06705, section 3, the checklist.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

SLACK = 0.02  # share of the images by which an attack may do worse by chance


@dataclass(frozen=True)
class Check:
    """A property that must hold, the measurement, and the verdict.

    value: the share or count that decides; it must not exceed `limit`.
    """

    name: str
    measured: str
    value: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the value is within the limit."""
        return self.value <= self.limit


def grows(robust: Sequence[float], attack: str) -> Check:
    """Check that success grows with the budget.

    robust: robust accuracies by ascending budget, first that of budget 0.
    """
    rises = [later - sooner for sooner, later in pairwise(robust)]
    worst = max([0.0, *rises])
    text = f"robust accuracy rises by {worst:.3f} at most from one budget to the next"
    return Check(f"{attack}: success grows with the budget", text, worst, SLACK)


def reaches_all(robust: Sequence[float], budget: float, attack: str) -> Check:
    """Check that a large enough budget fools the model on every image."""
    text = f"robust accuracy {robust[-1]:.3f} at {budget:g}/255"
    return Check(f"{attack}: success reaches 1", text, robust[-1], 0.0)


def at_least_as_strong(
    stronger: Sequence[float], weaker: Sequence[float], names: tuple[str, str]
) -> Check:
    """Check that one attack leaves no higher robust accuracy than another, budget by budget.

    stronger, weaker: robust accuracies on the same images. names: of the two attacks.
    """
    worst = max(strong - weak for strong, weak in zip(stronger, weaker, strict=True))
    text = f"robust accuracy under {names[0]} minus that under {names[1]} is {worst:+.3f} at most"
    return Check(f"{names[0]} beats {names[1]}", text, worst, SLACK)


def beats_transfer(own: float, transferred: Mapping[str, float]) -> Check:
    """Check that gradients of the victim do more than those of a surrogate.

    own: robust accuracy under PGD; transferred: under images of surrogates, by name.
    """
    best = min(transferred, key=lambda name: transferred[name])
    worst = own - transferred[best]
    text = (
        f"robust accuracy {own:.3f}; under images made on others at least {transferred[best]:.3f}"
    )
    return Check("white box beats transfer", f"{text} ({best})", worst, SLACK)


def beats_black_box(white: float, black: float) -> Check:
    """Check that an attack with gradients does more than one without.

    white, black: robust accuracies on the same images, under PGD at its largest budget and under
    the one-pixel attack.
    """
    text = (
        f"robust accuracy {white:.3f} under PGD at its largest budget, {black:.3f} under one pixel"
    )
    return Check("white box beats black box", text, white - black, SLACK)


def no_zero_gradients(n_zero: int, n: int) -> Check:
    """Check that no image's gradient is zero: a masked gradient hides the model's weakness."""
    return Check("no gradient is zero", f"{n_zero} of {n} images", n_zero, 0)


def converged(share: float, budget: float) -> Check:
    """Check that twice the iterations change nothing.

    share: share of the images that are fooled in addition, at the budget where it is largest.
    """
    text = f"{share:.3f} of the images fall in addition, at {budget:g}/255"
    return Check("PGD: doubling the steps changes nothing", text, share, SLACK)
