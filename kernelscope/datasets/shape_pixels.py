"""From what an image of :mod:`kernelscope.datasets.shapes` looks like to its pixels, in float64 throughout.

In float32 other processors would round other pixels up, and an image's identity is its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

SHAPES, TEXTURES, ORIENTATIONS = 8, 4, 4
PERIODS = 2.0  #: of a texture per unit of the shape's radius

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Field = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True)
class Appearance:
    """One image: colours from 0 to 1, places in [-1, 1]², angles in radians.

    Attributes:
        contrast: of light and dark in the texture.
        slope: of the background's light, across and down.
        blobs: one row per distractor: its place, its colour, its size.
        noise: added at the end, shape ``(3, size, size)``.
    """

    shape: int
    texture: int
    angle: float
    hue: float
    saturation: float
    value: float
    contrast: float
    phase: Floats
    centre: Floats
    radius: float
    background: Floats
    slope: Floats
    blobs: Floats
    noise: Floats


def render(drawn: Sequence[Appearance], size: int) -> np.ndarray:
    """The images, shape ``(b, 3, size, size)`` uint8."""
    steps = (2 * np.arange(size) + 1) / size - 1
    x, y = steps[None, :], steps[:, None]
    images = np.empty((len(drawn), 3, size, size), np.uint8)
    for image, a in zip(images, drawn):
        image[:] = np.clip(np.rint(255 * (_light(a, x, y, size) + a.noise)), 0, 255)
    return images


def _light(a: Appearance, x: Floats, y: Floats, size: int) -> Floats:
    """The image before noise, shape ``(3, size, size)``."""
    canvas = a.background[:, None, None] + a.slope[0] * x + a.slope[1] * y
    for blob in a.blobs:
        width = 0.12 + 0.06 * blob[5]
        inside = width - np.hypot(x - blob[0], y - blob[1])
        canvas = _painted(canvas, 0.5 + 0.4 * blob[2:5, None, None], inside * size / 2)
    cosine, sine = np.cos(a.angle), np.sin(a.angle)
    right, down = (x - a.centre[0]) / a.radius, (y - a.centre[1]) / a.radius
    u, v = cosine * right + sine * down, cosine * down - sine * right
    colour = _rgb(a.hue, a.saturation, a.value)[:, None, None]
    shade = 1 - a.contrast * (1 - _texture(a.texture, u, v, a.phase)) / 2
    return _painted(canvas, colour * shade, _SHAPES[a.shape](u, v) * a.radius * size / 2)


def _painted(canvas: Floats, colour: Floats, inside: Floats) -> Floats:
    """``colour`` laid over where ``inside``, in pixels from the edge, is positive; edges half a pixel soft."""
    cover = np.clip(inside + 0.5, 0, 1)
    return canvas + cover * (colour - canvas)


def _texture(kind: int, u: Floats, v: Floats, phase: Floats) -> Floats:
    """Light (1) and dark (-1): plain, stripes, checks, dots."""
    across, along = 2 * np.pi * PERIODS * u + phase[0], 2 * np.pi * PERIODS * v + phase[1]
    light: Floats
    match kind:
        case 0:
            light = np.ones_like(u)
        case 1:
            light = np.tanh(3 * np.sin(along))
        case 2:
            light = np.tanh(3 * np.sin(across) * np.sin(along))
        case _:
            light = -np.tanh(3 * (np.cos(across) + np.cos(along) - 0.9))
    return light


def _rgb(hue: float, saturation: float, value: float) -> Floats:
    """Hue (any number, whole turns), saturation and value as red, green, blue."""
    sector = np.abs(6 * ((hue + np.array([0, 2 / 3, 1 / 3])) % 1) - 3)
    colour: Floats = value * (1 - saturation * (1 - np.clip(sector - 1, 0, 1)))
    return colour


def _box(u: Floats, v: Floats, left: float, right: float, low: float, high: float) -> Floats:
    return np.minimum(np.minimum(u - left, right - u), np.minimum(v - low, high - v))


def _disc(u: Floats, v: Floats, centre: float = 0.0, radius: float = 0.9) -> Floats:
    return radius - np.hypot(u - centre, v)


# Distance inside the edge, in units of the radius. None looks the same after a turn by less than a whole one.
_SHAPES: tuple[Field, ...] = (
    lambda u, v: np.minimum(v + 0.8, 0.93 * (0.4 * (0.95 - v) - np.abs(u))),  # narrow triangle
    lambda u, v: np.minimum(_disc(u, v), v + 0.05),  # half disc
    lambda u, v: np.maximum(_box(u, v, -0.6, -0.1, -0.9, 0.9), _box(u, v, -0.6, 0.7, -0.9, -0.4)),  # L
    lambda u, v: np.maximum(_box(u, v, -0.8, 0.8, 0.35, 0.9), _box(u, v, -0.25, 0.25, -0.9, 0.9)),  # T
    lambda u, v: np.maximum(
        np.minimum(v, 0.78 * (0.85 * (0.95 - v) - np.abs(u))), _box(u, v, -0.2, 0.2, -0.9, 0.2)
    ),  # arrow
    lambda u, v: np.minimum(_disc(u, v), -_disc(u, v, 0.4, 0.6)),  # crescent
    lambda u, v: np.minimum(_disc(u, v), 0.75 * (0.9 * np.abs(v) - u)),  # disc with a wedge cut out
    lambda u, v: np.maximum(
        _box(u, v, -0.6, -0.2, -0.9, 0.9),
        np.maximum(_box(u, v, -0.6, 0.7, 0.5, 0.9), _box(u, v, -0.6, 0.4, -0.2, 0.15)),
    ),  # F
)
