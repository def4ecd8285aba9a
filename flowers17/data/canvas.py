"""A canvas for drawing plants: soft-edged, shaded blades, discs and blurred backgrounds.

Coordinates run from -1 to 1 in both directions, y downwards, whatever the number of pixels, so
that one scene can be drawn at any size.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image, ImageFilter

Colour = tuple[float, float, float]
Vector = np.ndarray


def vector(x: float, y: float) -> Vector:
    """Return a point or direction, float64 (2,)."""
    return np.array([x, y])


def rotation(angle: float) -> np.ndarray:
    """Return the matrix that turns by an angle in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


@dataclass(frozen=True)
class Surface:
    """Shape and colouring of a blade: a petal, leaf or stem.

    base, tip: colours along it, mixed by u ** blend. belly, point: exponents of the width along
    it, u ** belly * (1 - u) ** point; both 0 gives a band. bend: sideways, in lengths.
    veins: strength and number of lines along it. rim: darkening towards its edge.
    shade: darkening at its base. sheen: brightening along its middle. spots, spot: their share
    and colour; checks: whether they form a chequered pattern. notch: of the tip.
    """

    base: Colour
    tip: Colour
    belly: float = 0.6
    point: float = 0.5
    blend: float = 1.0
    bend: float = 0.0
    veins: tuple[float, int] = (0.05, 5)
    rim: float = 0.25
    shade: float = 0.3
    sheen: float = 0.1
    spots: float = 0.0
    spot: Colour = (0.2, 0.05, 0.1)
    checks: bool = False
    notch: float = 0.0

    def variant(self, **changes: object) -> "Surface":
        """Copy of the surface with some of its values changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass
class Canvas:
    """Float32 pixels (side, side, 3) in [0, 1] and a light from `light`, a unit vector."""

    pixels: np.ndarray
    light: Vector = field(default_factory=lambda: vector(-0.6, -0.8))

    @property
    def side(self) -> int:
        """Pixels a side."""
        return len(self.pixels)

    def _window(self, corners: np.ndarray) -> tuple[slice, slice] | None:
        """Return the rows and columns of the pixels that a convex shape can touch."""
        low = np.floor((corners.min(axis=0) + 1) / 2 * self.side).astype(int) - 1
        high = np.ceil((corners.max(axis=0) + 1) / 2 * self.side).astype(int) + 1
        low, high = np.clip(low, 0, self.side), np.clip(high, 0, self.side)
        if (low >= high).any():
            return None
        return slice(low[1], high[1]), slice(low[0], high[0])

    def _local(
        self, window: tuple[slice, slice], origin: Vector, along: Vector, across: Vector
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return each pixel's coordinates in the frame of two vectors, float32."""
        rows, columns = window
        y = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) * (2 / self.side) - 1
        x = (np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5) * (2 / self.side) - 1
        x, y = (x - np.float32(origin[0]))[None, :], (y - np.float32(origin[1]))[:, None]
        inverse = np.linalg.inv(np.column_stack([along, across])).astype(np.float32)
        return inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y

    def _paint(self, window: tuple[slice, slice], colour: np.ndarray, alpha: np.ndarray) -> None:
        under = self.pixels[window]
        under += alpha[..., None] * (colour - under)

    def blade(self, origin: Vector, along: Vector, across: Vector, surface: Surface) -> None:
        """Draw a petal, leaf, or stem from `origin` to `origin + along`, `across` half as wide."""
        if abs(along[0] * across[1] - along[1] * across[0]) < 1e-7:
            return
        half_width = float(np.hypot(*across))
        bend = surface.bend * float(np.hypot(*along)) / half_width
        bow = across / half_width * surface.bend * float(np.hypot(*along))
        tip = origin + along
        ends = np.array([origin, tip, tip + bow, origin + along / 2 + bow / 4])
        window = self._window(np.concatenate([ends + across, ends - across]))
        if window is None:
            return
        u, v = self._local(window, origin, along, across)
        inside = np.clip(u, 0, 1)
        v = v - bend * inside * inside
        width = _width(inside, surface)
        if surface.notch:
            width = width * np.clip((1 - inside + surface.notch * np.abs(v)) / surface.notch, 0, 1)
        pixel = self.side / 2
        edge = (width - np.abs(v)) * (half_width * pixel)
        length = float(np.hypot(*along)) * pixel
        edge = np.minimum(edge, np.minimum(u, 1 - u) * length + 0.5)
        alpha = np.clip(edge + 0.5, 0, 1)
        s = np.clip(v / np.maximum(width, 0.05), -1, 1)
        colour = _mixed(surface.base, surface.tip, inside**surface.blend)
        bright = 1 + surface.sheen * (1 - s * s) - surface.rim * np.abs(s) ** 3
        bright *= 1 - surface.shade * np.exp(-inside * 5)
        strength, number = surface.veins
        if strength:
            bright += strength * np.cos(s * (np.pi * number)) * (1 - inside)
        toward = across / half_width
        bright += 0.12 * float(toward @ self.light) * s
        bright *= 1 + 0.1 * float(along @ self.light) / float(np.hypot(*along))
        colour *= bright[..., None]
        if surface.spots:
            colour = _spotted(colour, inside, s, surface)
        self._paint(window, colour, alpha)

    def disc(
        self,
        origin: Vector,
        frame: np.ndarray,
        colour: Colour,
        centre: Colour | None = None,
        *,
        grain: float = 0.0,
        rng: np.random.Generator | None = None,
        ruffle: tuple[float, int] = (0.0, 0),
        dome: float = 0.35,
    ) -> None:
        """Draw a domed disc; frame: matrix (2, 2) that takes the unit circle to it.

        grain: strength of the florets drawn from `rng`; ruffle: depth and number of lobes.
        """
        first, second = frame[:, 0], frame[:, 1]
        around = 1.0 + abs(ruffle[0])
        window = self._window(
            np.array(
                [
                    origin + a * around * first + b * around * second
                    for a in (-1, 1)
                    for b in (-1, 1)
                ]
            )
        )
        if window is None or abs(np.linalg.det(frame)) < 1e-7:
            return
        u, v = self._local(window, origin, first, second)
        radius = np.sqrt(u * u + v * v)
        if ruffle[0]:
            radius = radius / (1 + ruffle[0] * np.cos(ruffle[1] * np.arctan2(v, u)))
        scale = float(np.sqrt(abs(np.linalg.det(frame)))) * self.side / 2
        alpha = np.clip((1 - radius) * scale + 0.5, 0, 1)
        inside = np.clip(radius, 0, 1)
        shaded = _mixed(centre or colour, colour, inside * inside)
        lit = np.linalg.inv(frame) @ self.light
        lit = lit / np.hypot(*lit)
        bright = 1 + 0.15 * (lit[0] * u + lit[1] * v) - dome * inside**4
        if grain and rng is not None:
            florets = rng.random((19, 19), dtype=np.float32) - np.float32(0.5)
            i = np.clip((u + 1) * 9.5, 0, 18).astype(np.int8)
            j = np.clip((v + 1) * 9.5, 0, 18).astype(np.int8)
            bright = bright + grain * florets[i, j]
        self._paint(window, shaded * bright[..., None], alpha)

    def blur(self, radius: float) -> None:
        """Blur the whole canvas; radius in canvas units."""
        image = Image.fromarray((np.clip(self.pixels, 0, 1) * 255).astype(np.uint8))
        blurred = image.filter(ImageFilter.GaussianBlur(radius * self.side / 2))
        self.pixels[:] = np.asarray(blurred, np.float32) / 255


def _width(u: np.ndarray, surface: Surface) -> np.ndarray:
    """Return the half width along a blade, at most 1."""
    a, b = surface.belly, surface.point
    if not a and not b:
        return np.ones_like(u)
    widest = a / (a + b)
    top = widest**a * (1 - widest) ** b
    return u**a * (1 - u) ** b / np.float32(top)


def _mixed(first: Colour, second: Colour, share: np.ndarray) -> np.ndarray:
    start, end = np.array(first, np.float32), np.array(second, np.float32)
    return start + share[..., None] * (end - start)


def _spotted(colour: np.ndarray, u: np.ndarray, s: np.ndarray, surface: Surface) -> np.ndarray:
    if surface.checks:
        pattern = np.sin(u * 22) * np.sin(s * 9) > 0
        strength = 0.7 * surface.spots * pattern
    else:
        pattern = np.sin(u * 31 + 2 * np.sin(s * 7)) * np.sin(s * 11 + 3 * np.sin(u * 9))
        strength = np.clip((pattern - 1 + surface.spots) * 6, 0, 0.9) * (u < 0.8)
    return colour + strength[..., None].astype(np.float32) * (
        np.array(surface.spot, np.float32) - colour
    )
