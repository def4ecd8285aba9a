"""The seventeen flowers, drawn with brushes: one function each, telling by shape and colour.

Each function draws one flower (or one head of small ones) of radius 1: what is seen from above
with the brush `face`, which is turned and tilted, what is seen from the side (x right, y down)
with the brush `side`, which only sways. Long because each flower needs its own few lines.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flowers17.data.canvas import Canvas, Colour, Surface, Vector, rotation, vector

GREEN: Colour = (0.30, 0.50, 0.18)
PALE_GREEN: Colour = (0.55, 0.68, 0.30)
YELLOW: Colour = (0.97, 0.82, 0.12)
ORANGE: Colour = (0.96, 0.52, 0.08)
WHITE: Colour = (0.96, 0.96, 0.93)

Point = tuple[float, float]


@dataclass(frozen=True)
class Brush:
    """Draws on a canvas in coordinates of its own.

    origin: their zero; frame: matrix (2, 2) that takes them to the canvas.
    """

    canvas: Canvas
    rng: np.random.Generator
    origin: Vector
    frame: np.ndarray

    def at(self, x: float, y: float, turn: float = 0.0) -> "Brush":
        """The brush moved to a point, then turned by an angle in radians."""
        frame = self.frame @ rotation(turn) if turn else self.frame
        return replace(self, origin=self.origin + self.frame @ vector(x, y), frame=frame)

    def scaled(self, size: float | Point) -> "Brush":
        """The brush with units so many times as long, along both axes or along each."""
        return replace(self, frame=self.frame * np.asarray(size))

    def blade(self, start: Point, along: Point, across: Point, surface: Surface) -> None:
        """Draw a petal, leaf or stem from `start` by `along`, half as wide as `across`."""
        points = [self.frame @ vector(*point) for point in (start, along, across)]
        self.canvas.blade(self.origin + points[0], points[1], points[2], surface)

    def disc(
        self, size: float | Point, colour: Colour, centre: Colour | None = None, **form: Any
    ) -> None:
        """Draw a disc about the origin; `form` as `Canvas.disc` takes it."""
        frame = self.frame * np.asarray(size)
        self.canvas.disc(self.origin, frame, colour, centre, rng=self.rng, **form)

    def ring(
        self,
        surface: Surface,
        *,
        n: int,
        length: float,
        width: float,
        start: float = 0.0,
        inner: float = 0.05,
        jitter: float = 0.08,
    ) -> None:
        """Draw n petals around the origin, each a little different."""
        rng = self.rng
        for k in rng.permutation(n).tolist():
            petal = self.at(0, 0, start + 2 * np.pi * (k + rng.normal(0, jitter)) / n)
            reach = length * (1 + rng.normal(0, jitter))
            across = (0, width * (1 + rng.normal(0, jitter / 2)))
            bent = surface.variant(bend=surface.bend + rng.normal(0, jitter * 0.6))
            petal.blade((inner, 0), (reach, 0), across, bent)

    def stamens(
        self,
        colour: Colour,
        *,
        n: int,
        reach: float,
        dot: float = 0.035,
        thread: Colour | None = None,
    ) -> None:
        """Draw n dots about the origin, on threads if these have a colour."""
        for k in range(n):
            turned = self.at(0, 0, 2 * np.pi * k / n + self.rng.normal(0, 0.15))
            end = (reach * self.rng.uniform(0.75, 1.1), 0)
            if thread:
                turned.blade((0, 0), end, (0, 0.018), _band(thread))
            replace(turned.at(*end), frame=self.frame).disc(dot, colour)

    def bell(self, surface: Surface, flare: float) -> None:
        """Draw a bell of three petals that hangs from the origin along y."""
        for sway, width in ((-flare, 0.34), (flare, 0.34), (0.0, 0.42)):
            self.blade((0, 0), (sway, 1), (width, 0), surface.variant(bend=-sway * 0.3))

    def spike(
        self, blossom: Callable[["Brush", float], None], *, n: int, bow: float, stem: Colour
    ) -> None:
        """Draw a bowed stem with n blossoms of given sizes along it, the largest lowest."""
        foot, rise = (
            self.origin + self.frame @ vector(-bow * 0.4, 1.3),
            self.frame @ vector(0, -2.2),
        )
        side = self.frame @ vector(1, 0)
        self.canvas.blade(foot, rise, side * 0.035, _band(stem, bend=bow * 0.6))
        length = float(np.hypot(*rise))
        for k in range(n):
            u = 0.4 + 0.6 * k / (n - 1)
            origin = foot + rise * u + side / np.hypot(*side) * (bow * 0.6 * length * u * u)
            lean = (0.55 if k % 2 else -0.55) * (1.1 - u) + bow * 0.5 + self.rng.normal(0, 0.12)
            size = 0.42 * (1.25 - 0.55 * u) * self.rng.uniform(0.9, 1.1)
            blossom(replace(self, origin=origin, frame=self.frame @ rotation(-lean)), size)


def _tinted(rng: np.random.Generator, colour: Colour, spread: float = 0.06) -> Colour:
    """Return a colour near another one."""
    shift = rng.normal(0, spread / 2, 3) + rng.normal(0, spread)
    red, green, blue = np.clip(np.array(colour) + shift, 0, 1).tolist()
    return red, green, blue


def _random_tint(rng: np.random.Generator, colours: Sequence[Colour]) -> Colour:
    """A colour near one of several, drawn at random."""
    return _tinted(rng, colours[int(rng.integers(len(colours)))])


def _darker(colour: Colour, factor: float) -> Colour:
    red, green, blue = colour
    return red * factor, green * factor, blue * factor


def _band(base: Colour, tip: Colour | None = None, **shape: Any) -> Surface:
    """Surface of a stem or thread, as wide at its end as at its foot."""
    return Surface(base, tip or base, belly=0, point=0, **{"veins": (0, 0), **shape})


def daffodil(face: Brush, side: Brush, rng: np.random.Generator) -> None:
    """Six pale petals and a ruffled trumpet."""
    petal = _random_tint(rng, [(0.98, 0.93, 0.45), (0.98, 0.95, 0.80), (0.98, 0.86, 0.25)])
    trumpet = _random_tint(rng, [ORANGE, (0.97, 0.72, 0.10)])
    surface = Surface(_darker(petal, 0.85), petal, belly=0.55, point=0.55)
    for start in (0.0, np.pi / 3):
        face.ring(surface, n=3, length=0.95, width=0.36, start=start, jitter=0.04)
    face.disc(0.40, trumpet, _darker(trumpet, 0.8), ruffle=(0.07, 11), dome=-0.1)
    throat = face.at(0.0, 0.06)
    throat.disc(0.27, _darker(trumpet, 0.75), _darker(trumpet, 0.45))
    throat.stamens(YELLOW, n=6, reach=0.1)


def snowdrop(face: Brush, side: Brush, rng: np.random.Generator) -> None:
    """A small white drop hanging from a bent stem, green at its inner tips."""
    white = _tinted(rng, WHITE, 0.02)
    top = side.at(0.0, -0.75)
    spread = rng.uniform(0.15, 0.5)
    inner = Surface(white, (0.35, 0.6, 0.2), belly=0.6, point=0.3, blend=3)
    top.blade((0, 0.3), (0, 0.75), (0.26, 0), inner)
    surface = Surface((0.80, 0.84, 0.78), white, belly=0.9, point=0.45, veins=(0.04, 4), rim=0.3)
    for sway in (-spread, spread, rng.normal(0, 0.08)):
        bent = surface.variant(bend=-sway * 0.35)
        top.blade((0, 0.2), (sway * 1.7, 1.15), (0.3, 0), bent)
    top.at(0, 0.16).disc((0.13, 0.17), (0.30, 0.48, 0.16))
    stem = _band(GREEN, bend=-0.3, veins=(0.05, 5))
    top.blade((0, 0.08), (0.35, -0.35), (0.03, 0.03), stem)


def lily_of_the_valley(face: Brush, side: Brush, rng: np.random.Generator) -> None:
    """Many little white globes along a bowed stem, broad leaves behind."""
    white = _tinted(rng, WHITE, 0.02)
    for sway in (-0.6, 0.45):
        leaf = _tinted(rng, (0.22, 0.46, 0.16))
        surface = Surface(_darker(leaf, 0.7), leaf, veins=(0.08, 9))
        side.blade((sway * 0.4, 1.5), (sway, -2.3), (0.36, 0.1), surface)

    def globe(brush: Brush, size: float) -> None:
        brush.blade((0, 0), (0, size * 0.55), (0.02, 0), _band(PALE_GREEN))
        middle = brush.at(0, size * 0.55).scaled(size)
        middle.disc((0.44, 0.42), _darker(white, 0.92), white)
        for sway in (-0.28, 0.0, 0.28):
            middle.at(sway, 0.36).disc(0.15, white)

    n, bow = int(rng.integers(8, 12)), rng.uniform(0.15, 0.5) * rng.choice([-1, 1])
    side.spike(globe, n=n, bow=bow, stem=PALE_GREEN)


def bluebell(face: Brush, side: Brush, rng: np.random.Generator) -> None:
    """Narrow violet-blue bells nodding to one side of a bowed stem."""
    blue = _random_tint(rng, [(0.38, 0.38, 0.82), (0.48, 0.42, 0.85), (0.30, 0.36, 0.75)])
    dark, tip = _darker(blue, 0.7), _tinted(rng, blue)
    surface = Surface(dark, tip, belly=0.25, point=0.22, veins=(0.10, 3))

    def nodding(brush: Brush, size: float) -> None:
        bell = brush.scaled(size)
        bell.scaled(1.25).bell(surface, flare=0.3)
        for sway in (-0.42, 0.0, 0.42):
            start = (sway * 0.85 * 1.25, 0.95 * 1.25)
            bell.blade(start, (sway * 0.8, 0.22), (0.13, 0), Surface(blue, (0.72, 0.70, 0.96)))

    n, bow = int(rng.integers(6, 10)), rng.uniform(0.3, 0.7) * rng.choice([-1, 1])
    side.spike(nodding, n=n, bow=bow, stem=(0.30, 0.34, 0.30))


def crocus(face: Brush, side: Brush, rng: np.random.Generator) -> None:
    """A goblet of six petals on a pale tube, orange threads within."""
    petal = _random_tint(
        rng, [(0.55, 0.32, 0.75), (0.72, 0.60, 0.88), (0.95, 0.93, 0.95), (0.96, 0.75, 0.15)]
    )
    foot, open_by = side.at(0, 0.85), rng.uniform(0.25, 0.65)
    tube = _band(_darker(petal, 0.95), (0.85, 0.85, 0.78), veins=(0.05, 5))
    foot.blade((0, -0.1), (0, 1.2), (0.11, 0), tube)
    dark, pale = _darker(petal, 0.55), _darker(petal, 0.9)
    back = Surface(dark, pale, belly=0.75, point=0.4, veins=(0.12, 6))
    for sway in (-open_by, 0.0, open_by):
        foot.blade((0, 0), (sway * 1.4, -1.65), (0.42, 0), back.variant(bend=-sway * 0.2))
    thread = Surface(ORANGE, (0.98, 0.45, 0.05), belly=0.5, point=0.2, veins=(0, 0))
    for sway in (-0.12, 0.0, 0.12):
        foot.blade((0, 0), (sway * 2, -1.4), (0.05, 0), thread)
    front = back.variant(base=_darker(petal, 0.75), tip=petal)
    for sway in (-open_by * 0.8, open_by * 0.8, rng.normal(0, 0.05)):
        along = (sway * 1.5, -1.4 if abs(sway) > 0.15 else -1.2)
        foot.blade((0, 0), along, (0.40, 0), front.variant(bend=-sway * 0.3))


def iris(face: Brush, side: Brush, rng: np.random.Generator) -> None:
    """Three standards upright, three falls hanging with a yellow signal."""
    violet = _random_tint(
        rng, [(0.36, 0.22, 0.70), (0.52, 0.42, 0.85), (0.62, 0.50, 0.80), (0.90, 0.82, 0.45)]
    )
    standard = Surface(_darker(violet, 0.7), violet, belly=0.7, point=0.3, veins=(0.12, 7))
    for sway in (-0.42, 0.42, 0.0):
        side.blade((0, 0), (sway * 1.2, -1.05), (0.36, 0), standard.variant(bend=-sway * 0.5))
    dark, pale = _darker(violet, 0.8), _darker(violet, 0.95)
    fall = Surface(dark, pale, belly=0.9, point=0.28, veins=(0.2, 9), shade=0.1)
    for sway in (-0.95, 0.95, rng.normal(0, 0.1)):
        drop = 0.78 if abs(sway) > 0.5 else 1.0
        turn = rotation(np.arctan2(-sway, 0.9)) @ vector(0.36, 0)
        side.blade((0, 0), (sway, drop), (turn[0], turn[1]), fall.variant(bend=sway * 0.22))
        signal = Surface(YELLOW, (0.95, 0.9, 0.75), bend=sway * 0.1, veins=(0.3, 5))
        across = (turn[0] * 0.28, turn[1] * 0.28)
        side.blade((sway * 0.1, drop * 0.1), (sway * 0.42, drop * 0.42), across, signal)


def tigerlily(face: Brush, side: Brush, rng: np.random.Generator) -> None:
    """Six recurved orange petals with dark spots, long stamens with dark anthers."""
    orange = _random_tint(rng, [(0.95, 0.42, 0.06), (0.92, 0.33, 0.10), (0.96, 0.52, 0.12)])
    spots: dict[str, Any] = {"spots": rng.uniform(0.45, 0.7), "spot": (0.25, 0.07, 0.03)}
    surface = Surface(_darker(orange, 0.85), orange, belly=0.75, point=0.75, **spots)
    for start, width in ((0.0, 0.21), (np.pi / 3, 0.27)):
        bent = surface.variant(bend=rng.normal(0, 0.15))
        face.ring(bent, n=3, length=1.05, width=width, start=start, jitter=0.05)
    face.disc(0.1, (0.55, 0.6, 0.15))
    stamens = face.at(0.0, 0.12)
    stamens.stamens((0.35, 0.12, 0.05), n=6, reach=0.62, dot=0.075, thread=(0.9, 0.6, 0.25))


def tulip(face: Brush, side: Brush, rng: np.random.Generator) -> None:
    """A closed cup of broad petals on a straight stem."""
    reds = [(0.85, 0.12, 0.15), (0.95, 0.45, 0.60), (0.97, 0.78, 0.15), (0.93, 0.40, 0.12)]
    petal = _random_tint(rng, [*reds, (0.95, 0.92, 0.88), (0.50, 0.12, 0.40)])
    tip = _random_tint(rng, [petal, (0.98, 0.85, 0.35), _darker(petal, 1.15)])
    foot = side.at(0, 0.9)
    stem = _band(PALE_GREEN, GREEN, veins=(0.05, 5))
    foot.blade((0, 0), (rng.normal(0, 0.1), 1.6), (0.07, 0), stem)
    spread = rng.uniform(0.15, 0.4)
    back = Surface(_darker(petal, 0.6), _darker(tip, 0.8), belly=0.45, point=0.4, veins=(0.05, 7))
    for sway in (-spread, spread):
        foot.blade((0, 0), (sway, -1.75), (0.45, 0), back.variant(bend=sway * 0.1))
    shape: dict[str, Any] = {"belly": 0.45, "point": 0.38, "blend": 2.0, "rim": 0.35}
    front = Surface(_darker(petal, 0.85), tip, veins=(0.06, 8), **shape)
    for sway in (-spread - 0.12, spread + 0.12):
        foot.blade((0, 0), (sway * 1.1, -1.6), (0.44, 0), front.variant(bend=-sway * 0.3))
    foot.blade((0, 0), (rng.normal(0, 0.05), -1.5), (0.5, 0), front)


def fritillary(face: Brush, side: Brush, rng: np.random.Generator) -> None:
    """A broad chequered bell hanging from a hooked stem."""
    purple = _random_tint(rng, [(0.62, 0.25, 0.42), (0.52, 0.22, 0.38), (0.70, 0.38, 0.52)])
    checks: dict[str, Any] = {
        "spots": 0.9,
        "spot": _tinted(rng, (0.88, 0.72, 0.80)),
        "checks": True,
    }
    top = side.at(0, -0.75)
    top.blade((0, 0.05), (0.75, 1.9), (0.04, 0), _band(GREEN, bend=0.45))
    shape: dict[str, Any] = {"belly": 0.36, "point": 0.12, "rim": 0.45}
    surface = Surface(_darker(purple, 0.8), purple, veins=(0, 0), **shape, **checks)
    for sway, width in ((-0.36, 0.38), (0.36, 0.38), (0.0, 0.46)):
        along = (sway, 1.5 if sway else 1.6)
        top.blade((0, 0), along, (width, 0), surface.variant(bend=-sway * 0.3))
    top.at(0, 0.05).disc((0.24, 0.13), _darker(purple, 0.6))


def sunflower(face: Brush, side: Brush, rng: np.random.Generator) -> None:
    """Two rows of pointed yellow rays about a large dark disc."""
    ray = _random_tint(rng, [YELLOW, (0.96, 0.70, 0.06)])
    surface = Surface(_darker(ray, 0.75), ray, belly=0.5, point=0.8, veins=(0.08, 3))
    n = int(rng.integers(18, 25))
    for start, shade in ((0.0, 0.85), (np.pi / n, 1.0)):
        row = surface.variant(base=_darker(ray, 0.7 * shade), tip=_darker(ray, shade))
        face.ring(row, n=n, length=0.6, width=0.105, start=start, inner=0.42, jitter=0.12)
    brown = _random_tint(rng, [(0.30, 0.17, 0.07), (0.42, 0.27, 0.08)])
    face.disc(0.52, (0.45, 0.30, 0.08), brown, grain=0.5)
    face.disc(0.3, _darker(brown, 0.7), _tinted(rng, (0.35, 0.30, 0.1)), grain=0.6)


def daisy(face: Brush, side: Brush, rng: np.random.Generator) -> None:
    """Many narrow white rays about a small yellow disc."""
    white = _random_tint(rng, [WHITE, (0.95, 0.90, 0.94)])
    surface = Surface(_darker(white, 0.85), white, belly=0.3, point=0.22, veins=(0.04, 3), rim=0.3)
    n = int(rng.integers(14, 26))
    for start in (0.0, np.pi / n):
        face.ring(surface, n=n, length=0.74, width=1.4 / n, start=start, inner=0.22, jitter=0.12)
    yellow = _tinted(rng, (0.95, 0.76, 0.10))
    face.disc(0.29, _darker(yellow, 0.85), yellow, grain=0.35)


def coltsfoot(face: Brush, side: Brush, rng: np.random.Generator) -> None:
    """Thread-thin yellow rays about a broad golden disc, on a scaly reddish stem."""
    yellow = _tinted(rng, (0.97, 0.80, 0.10))
    scales = {"spots": 0.8, "spot": (0.40, 0.20, 0.22), "checks": True, "veins": (0.05, 5)}
    stem = _band((0.55, 0.42, 0.30), (0.45, 0.32, 0.25), **scales)
    side.blade((0, 0), (rng.normal(0, 0.1), 1.9), (0.11, 0), stem)
    surface = Surface(_darker(yellow, 0.85), yellow, belly=0.2, point=0.3, veins=(0, 0), rim=0.15)
    for start, reach in ((0.0, 0.62), (0.05, 0.52)):
        face.ring(surface, n=34, length=reach, width=0.034, start=start, inner=0.34, jitter=0.25)
    face.disc(0.40, (0.92, 0.66, 0.05), (0.80, 0.55, 0.06), grain=0.4)
    face.stamens((0.99, 0.86, 0.3), n=9, reach=0.27, dot=0.045)


def dandelion(face: Brush, side: Brush, rng: np.random.Generator) -> None:
    """Layer upon layer of blunt yellow rays, full to the middle."""
    yellow = _random_tint(rng, [(0.98, 0.83, 0.08), (0.97, 0.76, 0.05)])
    shape: dict[str, Any] = {"belly": 0.25, "point": 0.12, "rim": 0.3, "shade": 0.35}
    for layer in range(5):
        depth, n = layer / 4, 30 - 5 * layer
        tip = _darker(yellow, 0.82 + 0.18 * depth)
        surface = Surface(_darker(yellow, 0.62), tip, veins=(0, 0), **shape)
        size = {"length": 0.95 - 0.72 * depth, "width": 0.075, "inner": 0.04}
        face.ring(surface, n=n, start=layer * 0.9, jitter=0.15, **size)


def cowslip(face: Brush, side: Brush, rng: np.random.Generator) -> None:
    """An umbel of small nodding yellow cups on pale calyces."""
    yellow = _random_tint(rng, [(0.97, 0.84, 0.15), (0.98, 0.75, 0.12)])
    hub = side.at(0, -0.75)
    hub.blade((0, 0), (rng.normal(0, 0.15), 2.2), (0.06, 0), _band(PALE_GREEN, GREEN))
    calyx = Surface(PALE_GREEN, (0.74, 0.80, 0.45), belly=0.9, point=0.3, veins=(0.15, 4))
    cup = Surface(_darker(yellow, 0.8), yellow, belly=0.7, point=0.3, veins=(0, 0))
    n = int(rng.integers(6, 10))
    lean = rng.normal(0, 0.3)
    for k in rng.permutation(n).tolist():
        turned = hub.at(0, 0, -(lean + (k / (n - 1) - 0.5) * 2.9 + rng.normal(0, 0.1)))
        reach = rng.uniform(0.55, 0.85)
        turned.blade((0, 0), (0, reach), (0.13, 0), calyx)
        blossom = turned.at(0, reach * 0.95).scaled((1.0, rng.uniform(0.45, 0.8)))
        blossom = blossom.scaled(rng.uniform(0.32, 0.42))
        blossom.ring(cup, n=5, length=0.9, width=0.42, start=rng.uniform(0, 6))
        blossom.disc(0.24, ORANGE, _darker(ORANGE, 0.7))


def buttercup(face: Brush, side: Brush, rng: np.random.Generator) -> None:
    """Five broad glossy yellow petals, a green heart and a ring of stamens."""
    yellow = _random_tint(rng, [(0.98, 0.86, 0.05), (0.96, 0.80, 0.08)])
    shape: dict[str, Any] = {"belly": 0.75, "point": 0.22, "sheen": 0.16}
    surface = Surface(_darker(yellow, 0.72), yellow, veins=(0.05, 9), **shape)
    face.ring(surface, n=5, length=0.95, width=0.55, inner=0.0, jitter=0.05)
    face.stamens((0.93, 0.72, 0.05), n=14, reach=0.3, dot=0.05)
    face.disc(0.17, (0.55, 0.62, 0.10), (0.66, 0.74, 0.2), grain=0.3)


def windflower(face: Brush, side: Brush, rng: np.random.Generator) -> None:
    """Six to eight rounded petals, white to violet, a dark or green heart ringed by stamens."""
    petal = _random_tint(
        rng, [(0.95, 0.94, 0.95), (0.62, 0.55, 0.88), (0.90, 0.55, 0.70), (0.42, 0.35, 0.80)]
    )
    n = int(rng.integers(6, 10))
    surface = Surface(_darker(petal, 0.9), petal, belly=0.6, point=0.32, veins=(0.07, 7))
    face.ring(surface, n=n, length=0.95, width=2.1 / n, jitter=0.07)
    heart = _random_tint(rng, [(0.45, 0.55, 0.15), (0.15, 0.12, 0.22)])
    face.stamens(
        _random_tint(rng, [(0.95, 0.82, 0.3), (0.25, 0.2, 0.4)]), n=18, reach=0.27, dot=0.04
    )
    face.disc(0.15, heart, grain=0.3)


def pansy(face: Brush, side: Brush, rng: np.random.Generator) -> None:
    """Five overlapping round petals, two up and three down, with a dark face and yellow eye."""
    violets = [(0.42, 0.20, 0.62), (0.30, 0.18, 0.55), (0.93, 0.80, 0.20), (0.60, 0.12, 0.25)]
    upper = _random_tint(rng, [*violets, (0.92, 0.88, 0.92)])
    lower = _random_tint(rng, [upper, (0.95, 0.82, 0.18), (0.60, 0.45, 0.85)])
    blotch = _tinted(rng, (0.16, 0.05, 0.16), 0.02)
    turned = side.at(0, 0, rng.normal(0, 0.15))
    shape: dict[str, Any] = {"belly": 0.6, "point": 0.22}
    back = Surface(_darker(upper, 0.6), upper, veins=(0.05, 9), **shape)
    front = Surface(blotch, lower, blend=1.1, veins=(0.18, 9), shade=0.0, **shape)
    for x, y, width, surface in (
        (-0.45, -0.85, 0.52, back),
        (0.45, -0.85, 0.52, back),
        (-0.88, 0.02, 0.48, front),
        (0.88, 0.02, 0.48, front),
        (0.0, 0.92, 0.62, front),
    ):
        across = rotation(np.arctan2(-x, y)) @ vector(width, 0)
        bent = surface.variant(bend=rng.normal(0, 0.06))
        turned.blade((0, 0), (x, y), (across[0], across[1]), bent)
    side.disc(0.12, YELLOW, (0.6, 0.7, 0.2))


Blossom = Callable[[Brush, Brush, np.random.Generator], None]
BLOSSOMS: dict[str, Blossom] = {
    "daffodil": daffodil,
    "snowdrop": snowdrop,
    "lily of the valley": lily_of_the_valley,
    "bluebell": bluebell,
    "crocus": crocus,
    "iris": iris,
    "tigerlily": tigerlily,
    "tulip": tulip,
    "fritillary": fritillary,
    "sunflower": sunflower,
    "daisy": daisy,
    "coltsfoot": coltsfoot,
    "dandelion": dandelion,
    "cowslip": cowslip,
    "buttercup": buttercup,
    "windflower": windflower,
    "pansy": pansy,
}
