"""Plants drawn with Pillow: blades and discs, as a table describes them.

Coordinates run from -1 to 1 over the picture, x to the right and y downwards, whatever the number
of pixels, so that one scene can be drawn at any size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import ImageColor, ImageDraw

from flowers17.config.base import Model

Amount = float | tuple[float, float]  # a number, or the ends between which it is drawn
Palette = Mapping[str, np.ndarray]  # colours by name, float (3,) in 0..255

_ALONG, _ACROSS = 8, 4  # cells of a blade that have a colour each
_AROUND = np.linspace(0, 2 * np.pi, 36)


class Part(Model):
    """A part of a flower, drawn `n` times around a point, in a fan, or up a stem.

    shape: a blade, a disc, or further `parts`. view: `face` is seen from above, turned and tilted;
    `side` only sways. at: its point. n, turn: their number, and the direction of the middle one in
    degrees, 0 upwards; spread: degrees over which they are spread. climb: how far the last stands
    above the first; lean: degrees by which they turn to either side in turn; taper: share of the
    size that the last lacks; inner: distance from the point. jitter: share by which each differs.
    length, width: of a blade, half as wide, or of a disc along both axes. belly, point: exponents
    of a blade's width along it, u ** belly * (1 - u) ** point. bend: sideways, in lengths.
    colour, tip: names in a palette, at the base and the tip, or the rim and the centre. base, dark:
    factors of both. veins: contrast of the lines along it. spots: share of its cells that have the
    colour `spot`; checks: every second one has. lobes: of a disc's rim. grain: number of florets.
    """

    shape: Literal["blade", "disc", "parts"] = "blade"
    view: Literal["face", "side"] = "face"
    at: tuple[float, float] = (0, 0)
    n: Amount = 1
    turn: Amount = 0
    spread: float = 360
    climb: float = 0
    lean: float = 0
    taper: float = 0
    inner: Amount = 0
    jitter: float = 0.05
    length: Amount = 1
    width: Amount = 0.3
    belly: float = 0.6
    point: float = 0.5
    bend: Amount = 0
    colour: str = "green"
    tip: str = ""
    base: float = 0.85
    dark: float = 1
    veins: float = 0.05
    spots: float = 0
    spot: str = ""
    checks: bool = False
    lobes: int = 0
    grain: int = 0
    parts: tuple["Part", ...] = ()


def palette(rng: np.random.Generator, colours: Mapping[str, Sequence[str]]) -> Palette:
    """Colours by name: of each name one of several, drawn at random, and shifted a little."""
    drawn = {}
    for name, choices in colours.items():
        colour = np.array(ImageColor.getrgb(choices[int(rng.integers(len(choices)))]))
        drawn[name] = np.clip(colour + rng.normal(0, 6, 3) + rng.normal(0, 12), 0, 255)
    return drawn


@dataclass(frozen=True)
class Pen:
    """A pen with coordinates of its own: `origin` is their zero, `frame` (2, 2) takes them along.

    side: of the picture in pixels. light: direction that it comes from, a unit vector.
    """

    draw: ImageDraw.ImageDraw
    side: int
    rng: np.random.Generator
    origin: np.ndarray
    frame: np.ndarray
    light: np.ndarray

    def at(self, point: Sequence[float] | np.ndarray, turn: float = 0, size: float = 1) -> "Pen":
        """The pen moved to a point, turned clockwise by an angle in degrees, and scaled."""
        origin = self.origin + self.frame @ np.asarray(point)
        return replace(self, origin=origin, frame=self.frame @ rotation(turn) * size)

    def amount(self, amount: Amount) -> float:
        """A number, drawn if it is a range."""
        return float(self.rng.uniform(*amount)) if isinstance(amount, tuple) else amount

    def paint(self, part: Part, colours: Palette) -> None:
        """Draw a part as often as it is repeated."""
        n = round(self.amount(part.n))
        turn = self.amount(part.turn)
        step = part.spread / (n if part.spread == 360 else max(n - 1, 1))
        for k in range(n):
            place = k - (n - 1) / 2
            angle = turn + step * (place + self.rng.normal(0, part.jitter) * (n > 1))
            angle += part.lean * (-1) ** k
            rise = part.climb * k / max(n - 1, 1)
            size = (1 - part.taper * k / n) * (1 + self.rng.normal(0, part.jitter))
            pen = self.at((part.at[0], part.at[1] - rise), angle, size)
            pen = pen.at((0, -self.amount(part.inner)))
            for inner in part.parts:
                pen.paint(inner, colours)
            if part.shape == "blade":
                pen._blade(part, colours)
            elif part.shape == "disc":
                pen._disc(part, colours)

    def _blade(self, part: Part, colours: Palette) -> None:
        u, v = np.linspace(0, 1, _ALONG + 1)[:, None], np.linspace(-1, 1, _ACROSS + 1)
        widest = part.belly / (part.belly + part.point) if part.belly else 0
        most = widest**part.belly * (1 - widest) ** part.point
        length, width = self.amount(part.length), self.amount(part.width)
        x = width * v * u**part.belly * (1 - u) ** part.point / most
        x = x + self.amount(part.bend) * length * u**2
        corners = self._pixels(np.stack([x, np.broadcast_to(-length * u, x.shape)], axis=-1))
        u, v = u[1:] - 0.5 / _ALONG, v[1:] - 1 / _ACROSS
        lit = self.light @ self.frame @ (1, 0) / np.hypot(*(self.frame @ (1, 0)))
        bright = (1.05 - 0.3 * np.exp(-5 * u)) * (1 + 0.15 * lit * v - 0.2 * np.abs(v) ** 3)
        bright = bright * (1 + part.veins * (-1.0) ** np.arange(_ACROSS))
        base, tip = _ends(part, colours)
        fill = (base + u[..., None] * (tip - base)) * bright[..., None]
        if part.spot:
            chequer = np.add.outer(np.arange(_ALONG), np.arange(_ACROSS)) % 2 == 1
            is_spot = chequer if part.checks else self.rng.random(chequer.shape) < part.spots
            fill[is_spot] = colours[part.spot]
        ends = (corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1])
        self._polygons(np.stack(ends, axis=-2).reshape(-1, 8), fill.reshape(-1, 3))

    def _disc(self, part: Part, colours: Palette) -> None:
        rim, centre = _ends(part, colours)
        radius = 1 + 0.08 * np.cos(part.lobes * _AROUND) * bool(part.lobes)
        size = self.amount(part.length), self.amount(part.width)
        outline = np.stack([radius * np.cos(_AROUND), radius * np.sin(_AROUND)], axis=-1) * size
        shares = np.array([1, 0.85, 0.7, 0.5, 0.3])[:, None, None]
        domes = outline * shares - self.light * size * 0.15 * (1 - shares)
        self._polygons(self._pixels(domes), centre + shares[:, 0] ** 2 * (rim - centre))
        if part.grain:
            angles, distances, bright = self.rng.random((3, part.grain, 1))
            middles = np.hstack([np.cos(2 * np.pi * angles), np.sin(2 * np.pi * angles)])
            middles *= 0.9 * np.sqrt(distances) * size
            florets = outline[::5] * 0.11 + middles[:, None]
            self._polygons(self._pixels(florets), centre * (0.6 + 0.65 * bright))

    def _pixels(self, points: np.ndarray) -> np.ndarray:
        """Pixels of points of the pen, float (…, 2)."""
        return (self.origin + points @ self.frame.T + 1) / 2 * self.side

    def _polygons(self, corners: np.ndarray, colours: np.ndarray) -> None:
        """Fill polygons, their corners float (n, …), with colours (n, 3)."""
        fills = np.clip(colours, 0, 255).astype(int).tolist()
        for points, fill in zip(corners.reshape(len(fills), -1).tolist(), fills, strict=True):
            self.draw.polygon(points, fill=tuple(fill))


def _ends(part: Part, colours: Palette) -> tuple[np.ndarray, np.ndarray]:
    """Colours of a part at its base or rim, and at its tip or centre."""
    colour = part.dark * colours[part.colour]
    return part.base * colour, part.dark * colours[part.tip] if part.tip else colour


def rotation(degrees: float) -> np.ndarray:
    """Matrix (2, 2) that turns clockwise, as y runs downwards."""
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
