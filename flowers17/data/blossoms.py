"""The seventeen flowers, drawn on a canvas: one function each, telling by shape and colour.

Each function draws one flower (or one head of small ones) about `pose.origin`, of radius 1 in the
frame of the pose. Longer than most modules because each flower needs its own few lines.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from flowers17.data.canvas import Canvas, Colour, Surface, Vector, rotation, vector

GREEN: Colour = (0.30, 0.50, 0.18)
PALE_GREEN: Colour = (0.55, 0.68, 0.30)
YELLOW: Colour = (0.97, 0.82, 0.12)
ORANGE: Colour = (0.96, 0.52, 0.08)
WHITE: Colour = (0.96, 0.96, 0.93)


@dataclass(frozen=True)
class Pose:
    """Position, size and orientation of a flower.

    frame: matrix (2, 2) from the flower's plane, radius 1, to the canvas: turned and tilted.
    upright: matrix from a side view (x right, y down) to the canvas: swayed, not tilted.
    """

    origin: Vector
    frame: np.ndarray
    upright: np.ndarray


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


def _ring(
    canvas: Canvas,
    rng: np.random.Generator,
    origin: Vector,
    frame: np.ndarray,
    surface: Surface,
    *,
    n: int,
    length: float,
    width: float,
    start: float = 0.0,
    inner: float = 0.05,
    jitter: float = 0.08,
) -> None:
    """Draw n petals around a point, each a little different."""
    for k in rng.permutation(n).tolist():
        angle = start + 2 * np.pi * (k + rng.normal(0, jitter)) / n
        reach = length * (1 + rng.normal(0, jitter))
        turn = frame @ rotation(angle)
        canvas.blade(
            origin + turn @ vector(inner, 0),
            turn @ vector(reach, 0),
            turn @ vector(0, width * (1 + rng.normal(0, jitter / 2))),
            surface.variant(bend=surface.bend + rng.normal(0, jitter * 0.6)),
        )


def _stamens(
    canvas: Canvas,
    rng: np.random.Generator,
    origin: Vector,
    frame: np.ndarray,
    colour: Colour,
    *,
    n: int,
    reach: float,
    dot: float = 0.035,
    thread: Colour | None = None,
) -> None:
    for k in range(n):
        turn = frame @ rotation(2 * np.pi * k / n + rng.normal(0, 0.15))
        end = turn @ vector(reach * rng.uniform(0.75, 1.1), 0)
        if thread:
            canvas.blade(
                origin,
                end,
                turn @ vector(0, 0.018),
                Surface(thread, thread, belly=0, point=0, veins=(0, 0)),
            )
        canvas.disc(origin + end, frame * dot, colour)


def _hanging(
    canvas: Canvas, origin: Vector, frame: np.ndarray, surface: Surface, *, flare: float = 0.3
) -> None:
    """Draw a bell of three petals, hanging from `origin` along the frame's y."""
    for sway, width in ((-flare, 0.34), (flare, 0.34), (0.0, 0.42)):
        along = frame @ vector(sway, 1)
        canvas.blade(origin, along, frame @ vector(width, 0), surface.variant(bend=-sway * 0.3))


def daffodil(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """Six pale petals and a ruffled trumpet."""
    petal = _random_tint(rng, [(0.98, 0.93, 0.45), (0.98, 0.95, 0.80), (0.98, 0.86, 0.25)])
    trumpet = _random_tint(rng, [ORANGE, (0.97, 0.72, 0.10)])
    surface = Surface(_darker(petal, 0.85), petal, belly=0.55, point=0.55)
    for start in (0.0, np.pi / 3):
        _ring(
            canvas,
            rng,
            pose.origin,
            pose.frame,
            surface,
            n=3,
            length=0.95,
            width=0.36,
            start=start,
            jitter=0.04,
        )
    lift = pose.frame @ vector(0.0, 0.06)
    canvas.disc(
        pose.origin, pose.frame * 0.40, trumpet, _darker(trumpet, 0.8), ruffle=(0.07, 11), dome=-0.1
    )
    canvas.disc(
        pose.origin + lift, pose.frame * 0.27, _darker(trumpet, 0.75), _darker(trumpet, 0.45)
    )
    _stamens(canvas, rng, pose.origin + lift, pose.frame, YELLOW, n=6, reach=0.1)


def snowdrop(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """A small white drop hanging from a bent stem, green at its inner tips."""
    white = _tinted(rng, WHITE, 0.02)
    frame, top = pose.upright, pose.origin - pose.upright @ vector(0.0, 0.75)
    spread = rng.uniform(0.15, 0.5)
    canvas.blade(
        top + frame @ vector(0.0, 0.3),
        frame @ vector(0, 0.75),
        frame @ vector(0.26, 0),
        Surface(white, (0.35, 0.6, 0.2), belly=0.6, point=0.3, blend=3),
    )
    surface = Surface((0.80, 0.84, 0.78), white, belly=0.9, point=0.45, veins=(0.04, 4), rim=0.3)
    for sway in (-spread, spread, rng.normal(0, 0.08)):
        canvas.blade(
            top + frame @ vector(0, 0.2),
            frame @ vector(sway * 1.7, 1.15),
            frame @ vector(0.3, 0),
            surface.variant(bend=-sway * 0.35),
        )
    canvas.disc(top + frame @ vector(0, 0.16), frame @ np.diag([0.13, 0.17]), (0.30, 0.48, 0.16))
    canvas.blade(
        top + frame @ vector(0, 0.08),
        frame @ vector(0.35, -0.35),
        frame @ vector(0.03, 0.03),
        Surface(GREEN, GREEN, belly=0, point=0, bend=-0.3),
    )


def _spike(
    canvas: Canvas,
    pose: Pose,
    rng: np.random.Generator,
    bell: Callable[[Vector, np.ndarray, float], None],
    *,
    n: int,
    bow: float,
    stem: Colour,
) -> None:
    """Draw a bowed stem with n bells along its upper part, the largest lowest."""
    frame = pose.upright
    foot, rise = pose.origin + frame @ vector(-bow * 0.4, 1.3), frame @ vector(0, -2.2)
    side = frame @ vector(1, 0)
    canvas.blade(
        foot,
        rise,
        side * 0.035,
        Surface(stem, stem, belly=0, point=0, bend=bow * 0.6, veins=(0, 0)),
    )
    length = float(np.hypot(*rise))
    for k in range(n):
        u = 0.4 + 0.6 * k / (n - 1)
        position = foot + rise * u + side / np.hypot(*side) * (bow * 0.6 * length * u * u)
        lean = (0.55 if k % 2 else -0.55) * (1.1 - u) + bow * 0.5 + rng.normal(0, 0.12)
        bell(position, frame @ rotation(-lean), 0.42 * (1.25 - 0.55 * u) * rng.uniform(0.9, 1.1))


def lily_of_the_valley(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """Many little white globes along a bowed stem, broad leaves behind."""
    white = _tinted(rng, WHITE, 0.02)
    for sway in (-0.6, 0.45):
        leaf = _tinted(rng, (0.22, 0.46, 0.16))
        canvas.blade(
            pose.origin + pose.upright @ vector(sway * 0.4, 1.5),
            pose.upright @ vector(sway, -2.3),
            pose.upright @ vector(0.36, 0.1),
            Surface(_darker(leaf, 0.7), leaf, veins=(0.08, 9)),
        )

    def globe(position: Vector, frame: np.ndarray, size: float) -> None:
        middle = position + frame @ vector(0, size * 0.55)
        canvas.blade(
            position,
            middle - position,
            frame @ vector(0.02, 0),
            Surface(PALE_GREEN, PALE_GREEN, belly=0, point=0, veins=(0, 0)),
        )
        canvas.disc(middle, frame @ np.diag([0.44, 0.42]) * size, _darker(white, 0.92), white)
        for sway in (-0.28, 0.0, 0.28):
            canvas.disc(middle + frame @ vector(sway, 0.36) * size, frame * size * 0.15, white)

    _spike(
        canvas,
        pose,
        rng,
        globe,
        n=int(rng.integers(8, 12)),
        bow=rng.uniform(0.15, 0.5) * rng.choice([-1, 1]),
        stem=PALE_GREEN,
    )


def bluebell(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """Narrow violet-blue bells nodding to one side of a bowed stem."""
    blue = _random_tint(rng, [(0.38, 0.38, 0.82), (0.48, 0.42, 0.85), (0.30, 0.36, 0.75)])
    surface = Surface(
        _darker(blue, 0.7), _tinted(rng, blue), belly=0.25, point=0.22, veins=(0.10, 3)
    )

    def bell(position: Vector, frame: np.ndarray, size: float) -> None:
        _hanging(canvas, position, frame * size * 1.25, surface, flare=0.3)
        for sway in (-0.42, 0.0, 0.42):
            start = position + frame @ vector(sway * 0.85, 0.95) * size * 1.25
            canvas.blade(
                start,
                frame @ vector(sway * 0.8, 0.22) * size,
                frame @ vector(0.13, 0) * size,
                Surface(blue, (0.72, 0.70, 0.96)),
            )

    _spike(
        canvas,
        pose,
        rng,
        bell,
        n=int(rng.integers(6, 10)),
        bow=rng.uniform(0.3, 0.7) * rng.choice([-1, 1]),
        stem=(0.30, 0.34, 0.30),
    )


def crocus(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """A goblet of six petals on a pale tube, orange threads within."""
    petal = _random_tint(
        rng, [(0.55, 0.32, 0.75), (0.72, 0.60, 0.88), (0.95, 0.93, 0.95), (0.96, 0.75, 0.15)]
    )
    frame, foot = pose.upright, pose.origin + pose.upright @ vector(0, 0.85)
    open_by = rng.uniform(0.25, 0.65)
    canvas.blade(
        foot + frame @ vector(0, -0.1),
        frame @ vector(0, 1.2),
        frame @ vector(0.11, 0),
        Surface(_darker(petal, 0.95), (0.85, 0.85, 0.78), belly=0, point=0),
    )
    back = Surface(
        _darker(petal, 0.55), _darker(petal, 0.9), belly=0.75, point=0.4, veins=(0.12, 6)
    )
    for sway in (-open_by, 0.0, open_by):
        canvas.blade(
            foot,
            frame @ vector(sway * 1.4, -1.65),
            frame @ vector(0.42, 0),
            back.variant(bend=-sway * 0.2),
        )
    for sway in (-0.12, 0.0, 0.12):
        canvas.blade(
            foot,
            frame @ vector(sway * 2, -1.4),
            frame @ vector(0.05, 0),
            Surface(ORANGE, (0.98, 0.45, 0.05), belly=0.5, point=0.2, veins=(0, 0)),
        )
    front = back.variant(base=_darker(petal, 0.75), tip=petal)
    for sway in (-open_by * 0.8, open_by * 0.8, rng.normal(0, 0.05)):
        reach = -1.4 if abs(sway) > 0.15 else -1.2
        canvas.blade(
            foot,
            frame @ vector(sway * 1.5, reach),
            frame @ vector(0.40, 0),
            front.variant(bend=-sway * 0.3),
        )


def iris(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """Three standards upright, three falls hanging with a yellow signal."""
    violet = _random_tint(
        rng, [(0.36, 0.22, 0.70), (0.52, 0.42, 0.85), (0.62, 0.50, 0.80), (0.90, 0.82, 0.45)]
    )
    frame, heart = pose.upright, pose.origin
    standard = Surface(_darker(violet, 0.7), violet, belly=0.7, point=0.3, veins=(0.12, 7))
    for sway in (-0.42, 0.42, 0.0):
        canvas.blade(
            heart,
            frame @ vector(sway * 1.2, -1.05),
            frame @ vector(0.36, 0),
            standard.variant(bend=-sway * 0.5),
        )
    fall = Surface(
        _darker(violet, 0.8),
        _darker(violet, 0.95),
        belly=0.9,
        point=0.28,
        veins=(0.2, 9),
        shade=0.1,
    )
    for sway in (-0.95, 0.95, rng.normal(0, 0.1)):
        along = frame @ vector(sway, 0.78 if abs(sway) > 0.5 else 1.0)
        across = frame @ rotation(np.arctan2(-sway, 0.9)) @ vector(0.36, 0)
        canvas.blade(heart, along, across, fall.variant(bend=sway * 0.22))
        canvas.blade(
            heart + along * 0.1,
            along * 0.42,
            across * 0.28,
            Surface(YELLOW, (0.95, 0.9, 0.75), bend=sway * 0.1, veins=(0.3, 5)),
        )


def tigerlily(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """Six recurved orange petals with dark spots, long stamens with dark anthers."""
    orange = _random_tint(rng, [(0.95, 0.42, 0.06), (0.92, 0.33, 0.10), (0.96, 0.52, 0.12)])
    surface = Surface(
        _darker(orange, 0.85),
        orange,
        belly=0.75,
        point=0.75,
        spots=rng.uniform(0.45, 0.7),
        spot=(0.25, 0.07, 0.03),
    )
    for start, width in ((0.0, 0.21), (np.pi / 3, 0.27)):
        _ring(
            canvas,
            rng,
            pose.origin,
            pose.frame,
            surface.variant(bend=rng.normal(0, 0.15)),
            n=3,
            length=1.05,
            width=width,
            start=start,
            jitter=0.05,
        )
    canvas.disc(pose.origin, pose.frame * 0.1, (0.55, 0.6, 0.15))
    shift = pose.frame @ vector(0.0, 0.12)
    _stamens(
        canvas,
        rng,
        pose.origin + shift,
        pose.frame,
        (0.35, 0.12, 0.05),
        n=6,
        reach=0.62,
        dot=0.075,
        thread=(0.9, 0.6, 0.25),
    )


def tulip(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """A closed cup of broad petals on a straight stem."""
    petal = _random_tint(
        rng,
        [
            (0.85, 0.12, 0.15),
            (0.95, 0.45, 0.60),
            (0.97, 0.78, 0.15),
            (0.93, 0.40, 0.12),
            (0.95, 0.92, 0.88),
            (0.50, 0.12, 0.40),
        ],
    )
    tip = _random_tint(rng, [petal, (0.98, 0.85, 0.35), _darker(petal, 1.15)])
    frame, foot = pose.upright, pose.origin + pose.upright @ vector(0, 0.9)
    canvas.blade(
        foot,
        frame @ vector(rng.normal(0, 0.1), 1.6),
        frame @ vector(0.07, 0),
        Surface(PALE_GREEN, GREEN, belly=0, point=0),
    )
    spread = rng.uniform(0.15, 0.4)
    back = Surface(_darker(petal, 0.6), _darker(tip, 0.8), belly=0.45, point=0.4, veins=(0.05, 7))
    for sway in (-spread, spread):
        canvas.blade(
            foot,
            frame @ vector(sway, -1.75),
            frame @ vector(0.45, 0),
            back.variant(bend=sway * 0.1),
        )
    front = Surface(
        _darker(petal, 0.85), tip, belly=0.45, point=0.38, blend=2.0, veins=(0.06, 8), rim=0.35
    )
    for sway in (-spread - 0.12, spread + 0.12):
        canvas.blade(
            foot,
            frame @ vector(sway * 1.1, -1.6),
            frame @ vector(0.44, 0),
            front.variant(bend=-sway * 0.3),
        )
    canvas.blade(foot, frame @ vector(rng.normal(0, 0.05), -1.5), frame @ vector(0.5, 0), front)


def fritillary(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """A broad chequered bell hanging from a hooked stem."""
    purple = _random_tint(rng, [(0.62, 0.25, 0.42), (0.52, 0.22, 0.38), (0.70, 0.38, 0.52)])
    pale = _tinted(rng, (0.88, 0.72, 0.80))
    frame, top = pose.upright, pose.origin - pose.upright @ vector(0, 0.75)
    canvas.blade(
        top + frame @ vector(0, 0.05),
        frame @ vector(0.75, 1.9),
        frame @ vector(0.04, 0),
        Surface(GREEN, GREEN, belly=0, point=0, bend=0.45, veins=(0, 0)),
    )
    surface = Surface(
        _darker(purple, 0.8),
        purple,
        belly=0.36,
        point=0.12,
        veins=(0, 0),
        rim=0.45,
        spots=0.9,
        spot=pale,
        checks=True,
    )
    for sway, width in ((-0.36, 0.38), (0.36, 0.38), (0.0, 0.46)):
        canvas.blade(
            top,
            frame @ vector(sway, 1.5 if sway else 1.6),
            frame @ vector(width, 0),
            surface.variant(bend=-sway * 0.3),
        )
    canvas.disc(top + frame @ vector(0, 0.05), frame @ np.diag([0.24, 0.13]), _darker(purple, 0.6))


def sunflower(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """Two rows of pointed yellow rays about a large dark disc."""
    ray = _random_tint(rng, [YELLOW, (0.96, 0.70, 0.06)])
    surface = Surface(_darker(ray, 0.75), ray, belly=0.5, point=0.8, veins=(0.08, 3))
    n = int(rng.integers(18, 25))
    for start, shade in ((0.0, 0.85), (np.pi / n, 1.0)):
        _ring(
            canvas,
            rng,
            pose.origin,
            pose.frame,
            surface.variant(base=_darker(ray, 0.7 * shade), tip=_darker(ray, shade)),
            n=n,
            length=0.6,
            width=0.105,
            start=start,
            inner=0.42,
            jitter=0.12,
        )
    brown = _random_tint(rng, [(0.30, 0.17, 0.07), (0.42, 0.27, 0.08)])
    canvas.disc(pose.origin, pose.frame * 0.52, (0.45, 0.30, 0.08), brown, grain=0.5, rng=rng)
    canvas.disc(
        pose.origin,
        pose.frame * 0.3,
        _darker(brown, 0.7),
        _tinted(rng, (0.35, 0.30, 0.1)),
        grain=0.6,
        rng=rng,
    )


def daisy(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """Many narrow white rays about a small yellow disc."""
    white = _random_tint(rng, [WHITE, (0.95, 0.90, 0.94)])
    surface = Surface(_darker(white, 0.85), white, belly=0.3, point=0.22, veins=(0.04, 3), rim=0.3)
    n = int(rng.integers(14, 26))
    for start in (0.0, np.pi / n):
        _ring(
            canvas,
            rng,
            pose.origin,
            pose.frame,
            surface,
            n=n,
            length=0.74,
            width=1.4 / n,
            start=start,
            inner=0.22,
            jitter=0.12,
        )
    yellow = _tinted(rng, (0.95, 0.76, 0.10))
    canvas.disc(pose.origin, pose.frame * 0.29, _darker(yellow, 0.85), yellow, grain=0.35, rng=rng)


def coltsfoot(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """Thread-thin yellow rays about a broad golden disc, on a scaly reddish stem."""
    yellow = _tinted(rng, (0.97, 0.80, 0.10))
    canvas.blade(
        pose.origin,
        pose.upright @ vector(rng.normal(0, 0.1), 1.9),
        pose.upright @ vector(0.11, 0),
        Surface(
            (0.55, 0.42, 0.30),
            (0.45, 0.32, 0.25),
            belly=0,
            point=0,
            spots=0.8,
            spot=(0.40, 0.20, 0.22),
            checks=True,
        ),
    )
    surface = Surface(_darker(yellow, 0.85), yellow, belly=0.2, point=0.3, veins=(0, 0), rim=0.15)
    for start, reach in ((0.0, 0.62), (0.05, 0.52)):
        _ring(
            canvas,
            rng,
            pose.origin,
            pose.frame,
            surface,
            n=34,
            length=reach,
            width=0.034,
            start=start,
            inner=0.34,
            jitter=0.25,
        )
    canvas.disc(
        pose.origin, pose.frame * 0.40, (0.92, 0.66, 0.05), (0.80, 0.55, 0.06), grain=0.4, rng=rng
    )
    _stamens(canvas, rng, pose.origin, pose.frame, (0.99, 0.86, 0.3), n=9, reach=0.27, dot=0.045)


def dandelion(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """Layer upon layer of blunt yellow rays, full to the middle."""
    yellow = _random_tint(rng, [(0.98, 0.83, 0.08), (0.97, 0.76, 0.05)])
    n_layers = 5
    for layer in range(n_layers):
        depth = layer / (n_layers - 1)
        surface = Surface(
            _darker(yellow, 0.62),
            _darker(yellow, 0.82 + 0.18 * depth),
            belly=0.25,
            point=0.12,
            veins=(0, 0),
            rim=0.3,
            shade=0.35,
        )
        _ring(
            canvas,
            rng,
            pose.origin,
            pose.frame,
            surface,
            n=30 - 5 * layer,
            length=0.95 - 0.72 * depth,
            width=0.075,
            start=layer * 0.9,
            inner=0.04,
            jitter=0.15,
        )


def cowslip(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """An umbel of small nodding yellow cups on pale calyces."""
    yellow = _random_tint(rng, [(0.97, 0.84, 0.15), (0.98, 0.75, 0.12)])
    frame, hub = pose.upright, pose.origin - pose.upright @ vector(0, 0.75)
    canvas.blade(
        hub,
        frame @ vector(rng.normal(0, 0.15), 2.2),
        frame @ vector(0.06, 0),
        Surface(PALE_GREEN, GREEN, belly=0, point=0, veins=(0, 0)),
    )
    n = int(rng.integers(6, 10))
    lean = rng.normal(0, 0.3)
    for k in rng.permutation(n).tolist():
        angle = lean + (k / (n - 1) - 0.5) * 2.9 + rng.normal(0, 0.1)
        turn = frame @ rotation(-angle)
        reach = rng.uniform(0.55, 0.85)
        canvas.blade(
            hub,
            turn @ vector(0, reach),
            turn @ vector(0.13, 0),
            Surface(PALE_GREEN, (0.74, 0.80, 0.45), belly=0.9, point=0.3, veins=(0.15, 4)),
        )
        position = hub + turn @ vector(0, reach * 0.95)
        face = turn @ np.diag([1.0, rng.uniform(0.45, 0.8)]) * rng.uniform(0.32, 0.42)
        _ring(
            canvas,
            rng,
            position,
            face,
            Surface(_darker(yellow, 0.8), yellow, belly=0.7, point=0.3, veins=(0, 0)),
            n=5,
            length=0.9,
            width=0.42,
            start=rng.uniform(0, 6),
        )
        canvas.disc(position, face * 0.24, ORANGE, _darker(ORANGE, 0.7))


def buttercup(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """Five broad glossy yellow petals, a green heart and a ring of stamens."""
    yellow = _random_tint(rng, [(0.98, 0.86, 0.05), (0.96, 0.80, 0.08)])
    surface = Surface(
        _darker(yellow, 0.72), yellow, belly=0.75, point=0.22, veins=(0.05, 9), sheen=0.16
    )
    _ring(
        canvas,
        rng,
        pose.origin,
        pose.frame,
        surface,
        n=5,
        length=0.95,
        width=0.55,
        inner=0.0,
        jitter=0.05,
    )
    _stamens(canvas, rng, pose.origin, pose.frame, (0.93, 0.72, 0.05), n=14, reach=0.3, dot=0.05)
    canvas.disc(
        pose.origin, pose.frame * 0.17, (0.55, 0.62, 0.10), (0.66, 0.74, 0.2), grain=0.3, rng=rng
    )


def windflower(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """Six to eight rounded petals, white to violet, a dark or green heart ringed by stamens."""
    petal = _random_tint(
        rng, [(0.95, 0.94, 0.95), (0.62, 0.55, 0.88), (0.90, 0.55, 0.70), (0.42, 0.35, 0.80)]
    )
    n = int(rng.integers(6, 10))
    surface = Surface(_darker(petal, 0.9), petal, belly=0.6, point=0.32, veins=(0.07, 7))
    _ring(
        canvas, rng, pose.origin, pose.frame, surface, n=n, length=0.95, width=2.1 / n, jitter=0.07
    )
    heart = _random_tint(rng, [(0.45, 0.55, 0.15), (0.15, 0.12, 0.22)])
    pollen = _random_tint(rng, [(0.95, 0.82, 0.3), (0.25, 0.2, 0.4)])
    _stamens(canvas, rng, pose.origin, pose.frame, pollen, n=18, reach=0.27, dot=0.04)
    canvas.disc(pose.origin, pose.frame * 0.15, heart, grain=0.3, rng=rng)


def pansy(canvas: Canvas, pose: Pose, rng: np.random.Generator) -> None:
    """Five overlapping round petals, two up and three down, with a dark face and yellow eye."""
    upper = _random_tint(
        rng,
        [
            (0.42, 0.20, 0.62),
            (0.30, 0.18, 0.55),
            (0.93, 0.80, 0.20),
            (0.60, 0.12, 0.25),
            (0.92, 0.88, 0.92),
        ],
    )
    lower = _random_tint(rng, [upper, (0.95, 0.82, 0.18), (0.60, 0.45, 0.85)])
    blotch = _tinted(rng, (0.16, 0.05, 0.16), 0.02)
    frame = pose.upright @ rotation(rng.normal(0, 0.15))
    back = Surface(_darker(upper, 0.6), upper, belly=0.6, point=0.22, veins=(0.05, 9))
    face = Surface(blotch, lower, belly=0.6, point=0.22, blend=1.1, veins=(0.18, 9), shade=0.0)
    petals = (
        (-0.45, -0.85, 0.52, back),
        (0.45, -0.85, 0.52, back),
        (-0.88, 0.02, 0.48, face),
        (0.88, 0.02, 0.48, face),
        (0.0, 0.92, 0.62, face),
    )
    for x, y, width, surface in petals:
        along = frame @ vector(x, y)
        across = frame @ rotation(np.arctan2(-x, y)) @ vector(width, 0)
        canvas.blade(pose.origin, along, across, surface.variant(bend=rng.normal(0, 0.06)))
    canvas.disc(pose.origin, pose.upright * 0.12, YELLOW, (0.6, 0.7, 0.2))


BLOSSOMS: dict[str, Callable[[Canvas, Pose, np.random.Generator], None]] = {
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
