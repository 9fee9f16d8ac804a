"""Arrays of a file of sums (:mod:`kernelscope.features.sums_file`) as sums; ValueError where they fit none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.kernels.constancy import Constancy
from kernelscope.kernels.distance.column_grid import EMPTY, MOST_EXPONENT, Grid
from kernelscope.kernels.distance.layer_grid import LayerSums
from kernelscope.kernels.nystrom.class_sums import ClassSums
from kernelscope.kernels.rows import Key, Summed
from kernelscope.kernels.similarity.diagonals import Diagonals

if TYPE_CHECKING:
    from kernelscope.features.shard_sums import SummedLayer
    from kernelscope.kernels.rounding import Two


def layer_sums(outline: dict[str, Any], layers: tuple[SummedLayer, ...], arrays: dict[str, np.ndarray]) -> LayerSums:
    """Grams, cross products and column sums."""
    rows, lengths = tuple(map(int, outline["rows"])), arrays["lengths"]
    widths = {"teacher": 0, "student": 0}
    columns: dict[Key, slice] = {}
    for layer in layers:
        columns[layer.key] = slice(widths[layer.role], widths[layer.role] + layer.width)
        widths[layer.role] += layer.width
    total = sum(widths.values())
    wanted = {
        "cross": (2, 2, widths["student"], widths["teacher"]),
        "columns": (2, total),
        "extremes": (2, total),
        "products": (2, len(layers), len(layers)),
        "weighted": (2, len(layers), total),
        "lengths": (2, lengths.shape[1], len(layers), 2),
        **{f"own{i:04d}": (2, 2, layer.width, layer.width) for i, layer in enumerate(layers)},
    }
    if len(columns) < len(layers) or any(arrays[name].shape != shape for name, shape in wanted.items()):
        raise ValueError("arrays of another shape")
    parts = _parts(layers)
    return LayerSums(
        rows=(rows[0], rows[1]),
        own={layer.key: _halves(arrays[f"own{i:04d}"]) for i, layer in enumerate(layers)},
        sums={key: (arrays["columns"][0, at], arrays["columns"][1, at]) for key, at in parts.items()},
        cross=_halves(arrays["cross"]),
        columns=columns,
        same=frozenset((str(t), str(s)) for t, s in outline["same"]),
        row_errors=dict.fromkeys(columns, 0.0),
        constant={
            layer.key: Constancy(
                Summed((sum(rows), layer.width), layer.dtype),
                arrays["extremes"][:, parts[layer.key]],
                stated["constant"] is True,
            )
            for layer, stated in zip(layers, outline["layers"])
        },
        lengths={
            layer.key: [[(float(l), float(b)) for l, b in lengths[half, :, i]] for half in (0, 1)]
            for i, layer in enumerate(layers)
        },
        grid=_grid(arrays["grid"], parts) if outline["on_grid"] is True else None,
    )


def _grid(exponents: np.ndarray, parts: dict[Key, slice]) -> Grid:
    known = (exponents == EMPTY) | (np.abs(exponents) <= MOST_EXPONENT)
    if exponents.ndim != 1 or len(exponents) != max(at.stop for at in parts.values()) or not known.all():
        raise ValueError("a grid of another form")
    return Grid({key: exponents[at] for key, at in parts.items()})


def _parts(layers: tuple[SummedLayer, ...]) -> dict[Key, slice]:
    """Where each layer stands among all."""
    ends = np.cumsum([layer.width for layer in layers]).tolist()
    return {layer.key: slice(end - layer.width, end) for layer, end in zip(layers, ends)}


def _halves(array: np.ndarray) -> tuple[Two, Two]:
    return (array[0, 0], array[0, 1]), (array[1, 0], array[1, 1])


def diagonals(layers: tuple[SummedLayer, ...], arrays: dict[str, np.ndarray]) -> Diagonals:
    """Sums over squared row norms."""
    keys, products, weighted = tuple(layer.key for layer in layers), arrays["products"], arrays["weighted"]
    parts: dict[Key, Two] = {key: (weighted[0][:, at], weighted[1][:, at]) for key, at in _parts(layers).items()}
    return Diagonals(keys, (products[0], products[1]), parts)


def class_sums(layers: tuple[SummedLayer, ...], arrays: dict[str, np.ndarray]) -> ClassSums:
    """Sums by class."""
    labels, counts, sums = (arrays[name] for name in ("class_labels", "class_counts", "class_sums"))
    parts = _parts(layers)
    m = len(labels)
    fits = counts.shape == (m,) and sums.shape == (2, m, sum(x.width for x in layers)) and m > 0
    if not fits or arrays["class_squares"].shape != (2, len(layers), m) or not (np.diff(labels) > 0).all():
        raise ValueError("class sums of another shape")
    return ClassSums(
        labels,
        counts,
        {key: (sums[0][:, at], sums[1][:, at]) for key, at in parts.items()},
        {x.key: (arrays["class_squares"][0, i], arrays["class_squares"][1, i]) for i, x in enumerate(layers)},
    )
