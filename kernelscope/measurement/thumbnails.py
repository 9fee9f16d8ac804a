"""Small images of the examples at the ends of eigenvectors, and of the worst ones, for the page."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from kernelscope.errors import KernelscopeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelscope.datasets.examples import Examples
    from kernelscope.measurement.layer_pairs import Match
    from kernelscope.measurement.pair_numbers import Measured
    from kernelscope.report.eigenvector_fields import EndExample
    from kernelscope.report.fields import WorstExample

    Example = TypeVar("Example", EndExample, WorstExample)

SIDE = 48  #: pixels of the longer side of a thumbnail
COLOURS = 64  #: of its palette, which makes it a third of the size
DARK = 16  #: bytes up to here are other numbers than brightness, as the digits' are
WORST = 8  #: of the examples that carry most of the difference, as many as a page shows


def with_thumbnails(match: Match, measured: Sequence[Measured]) -> list[Measured]:
    """The same with thumbnails at the ends and of the worst, where networks ran on images whose rows these are."""
    data = next((each.ran.examples for each in (match.teacher, match.student) if each.ran is not None), None)
    if data is None or getattr(data.inputs, "in_order", False):  # an iterable would have to begin anew
        return [*measured]
    images = data
    known: dict[int, str | None] = {}

    def shown(examples: tuple[Example, ...]) -> tuple[Example, ...]:
        for each in examples:
            if each.index not in known:
                known[each.index] = _thumbnail(images, each)
        return tuple(replace(each, thumbnail=known[each.index]) for each in examples)

    found = []
    for each in measured:
        vectors = each.report.difference_eigenvectors
        if vectors is not None:
            vectors = tuple(replace(v, positive=shown(v.positive), negative=shown(v.negative)) for v in vectors)
        worst = each.report.worst
        if worst is not None:
            worst = shown(worst[:WORST]) + worst[WORST:]
        found.append(replace(each, report=replace(each.report, difference_eigenvectors=vectors, worst=worst)))
    return found


def _thumbnail(data: Examples, example: EndExample | WorstExample) -> str | None:
    """A PNG as a data URI; None for what is no image, and where the row is no example of these, as that of a token."""
    if example.index >= data.n or data.ids[example.index].tobytes().hex() != example.id:
        return None
    try:
        raw = data.raw(np.array([example.index]))
    except KernelscopeError:  # of the numbers nothing is lost
        return None
    pixels = None if isinstance(raw, dict) else _pixels(np.asarray(raw[0]))
    if pixels is None:
        return None
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    (image if image.mode == "L" else image.quantize(COLOURS)).save(file, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _pixels(image: np.ndarray) -> np.ndarray | None:
    """Bytes ``(h, w)`` or ``(h, w, 3)`` of ``(c, h, w)``; other types, and dark bytes, are stretched to all of them."""
    if image.ndim != 3 or image.shape[0] not in (1, 3) or min(image.shape[1:]) < 2:
        return None
    if image.dtype != np.uint8 or image.max() <= DARK:
        values = image.astype(np.float64)
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all():
            return None
        image = np.round(255 * (values - low) / (high - low if high > low else 1.0)).astype(np.uint8)
    return image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
