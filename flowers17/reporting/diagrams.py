"""Boxes and arrows of the forward passes."""

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from flowers17.reporting.drawing import LINE, MUTED, SOFT


def box(axes: Axes, x: float, y: float, width: float, height: float, *, face: str = SOFT) -> None:
    """Draw a rounded box from its top left corner."""
    style = "round,pad=0,rounding_size=5"
    axes.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=face, edgecolor=LINE, lw=1)
    )


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow between two points."""
    style = {"arrowstyle": "-|>", "color": MUTED, "lw": 1, "mutation_scale": 8}
    axes.annotate("", end, start, arrowprops={**style, "shrinkA": 2, "shrinkB": 2})
