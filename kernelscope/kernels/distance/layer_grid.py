"""Gram sums of all pairs of layers in one pass: every layer's Gram once, every cross product once.

T × S pairs taken one by one read each layer as often as the other network has layers, and form its Gram as often.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import exchange
from kernelscope.errors import DegenerateKernel
from kernelscope.kernels.constancy import Constancy
from kernelscope.kernels.distance.accumulate import side_by_side_gram, summation_chain
from kernelscope.kernels.distance.gram import COMFORTABLE, ZERO_TEACHER, GramSums
from kernelscope.kernels.distance.gram_errors import BlockErrors, spectral_norm_bound, summation_errors, with_row_errors
from kernelscope.kernels.distance.layer_halves import PlainHalf, SlicedHalf
from kernelscope.kernels.distance.order_free import OrderFreeHalf
from kernelscope.kernels.distance.slices import slice_error
from kernelscope.kernels.halves import are_uneven, halves_of
from kernelscope.kernels.rounding import Two, added, frobenius, gamma, two_sum
from kernelscope.kernels.rows import (
    BLOCK_ROWS,
    Key,
    Rows,
    entry_error,
    numpy_block,
    require_finite,
    require_same_examples,
)
from kernelscope.kernels.shares import Share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernelscope.kernels.distance.column_grid import Grid
    from kernelscope.kernels.halves import Second

Onlooker = Callable[[int, dict[Key, np.ndarray]], None]  #: sees the number of a block's first row, and the block


@dataclass(frozen=True, eq=False)
class LayerSums:
    """Grams and column sums of every layer, and the cross products of every pair, each for even and for odd rows.

    ``rows``: how many are even and odd, n in all; of several passes each counts its own. ``lengths``: by layer and
    half, the lengths of slices that bound errors, where rows were sliced; ``same``: the (teacher, student) layers that
    hold the same numbers; ``constant``: whether a layer is the same for all examples; ``merges``: how often sums in
    one part were added to others; ``grid``: that rows were rounded to, whose sums are then exact, and halves no longer
    those of even and of odd rows.
    """

    rows: tuple[int, int]
    own: dict[Key, tuple[Two, Two]]
    sums: dict[Key, Two]
    cross: tuple[Two, Two]
    columns: dict[Key, slice]
    same: frozenset[Key]
    row_errors: dict[Key, float]
    constant: dict[Key, Constancy]
    lengths: dict[Key, list[list[tuple[float, float]]]] = field(default_factory=dict)
    merges: int = 0
    grid: Grid | None = None

    @property
    def n(self) -> int:
        return sum(self.rows)

    @property
    def zero(self) -> frozenset[Key]:
        """Layers that are all zero."""
        return frozenset(key for key, seen in self.constant.items() if seen.zero)

    def pair(self, teacher_layer: str, student_layer: str) -> GramSums:
        """What :func:`kernelscope.kernels.distance.gram.gram_sums` gives for these two layers, halves included."""
        keys: tuple[Key, Key] = (("student", student_layer), ("teacher", teacher_layer))
        S, T = (self.own[key] for key in keys)
        rows, columns = (self.columns[key] for key in keys)
        halves, rests = [], []
        for h in (0, 1):
            G_ST, rest_ST = self.cross[h]
            halves.append(side_by_side_gram(S[h][0], T[h][0], G_ST[rows, columns]))
            rest_S, rest_T = S[h][1], T[h][1]
            if rest_S is not None and rest_T is not None and rest_ST is not None:
                rests.append(side_by_side_gram(rest_S, rest_T, rest_ST[rows, columns]))
        gram, lost = two_sum(halves[0], halves[1])
        rest = lost + rests[0] + rests[1] if rests else None
        chain = summation_chain(self.n, BLOCK_ROWS) + 1 + self.merges
        plain = GramSums(
            self.n,
            len(S[0][0]),
            gram,
            np.concatenate([self.sums[key][0] for key in keys]),
            summation_errors(gram, len(S[0][0]), chain) if rest is None else self._slice_errors(*keys, gram, chain),
            sums_error=1.01 * gamma(chain + 2) if rest is None else 4 * gamma(4),
            rest=rest,
            # halves of many small passes may be of quite different sizes, and then none is to be fitted on
            halves=None if are_uneven(*self.rows, len(S[0][0])) else (halves[0], halves[1]),
        )
        found = plain.with_row_errors(*(self.row_errors[key] for key in keys))
        return found if self.grid is None else self._on_grid(found, [self.grid.row_error(key, self.n) for key in keys])

    def _on_grid(self, sums: GramSums, rows: list[float]) -> GramSums:
        """The same for rows that were rounded to the grid, by ``rows`` of the student and of the teacher."""
        lengths = math.sqrt(sums.trace_student), math.sqrt(sums.trace_teacher)
        means = max(error / length for error, length in zip(rows, lengths) if length > 0)
        largest = spectral_norm_bound(sums.G_SS), spectral_norm_bound(sums.G_TT)
        errors = with_row_errors(
            sums.errors, norm_student=largest[0], norm_teacher=largest[1], rows_S=rows[0], rows_T=rows[1]
        )
        return replace(sums, errors=errors, sums_error=sums.sums_error + 1.01 * means)

    def _slice_errors(self, student: Key, teacher: Key, gram: np.ndarray, chain: int) -> BlockErrors:
        if self.grid is not None:  # whole numbers, whose sums are exact
            return summation_errors(gram, len(self.own[student][0][0]), 0)
        S, T = self.lengths[student], self.lengths[teacher]

        def error(first: list[list[tuple[float, float]]], second: list[list[tuple[float, float]]]) -> float:
            return math.fsum(slice_error(chain, a, b) for a, b in zip(first, second))

        return BlockErrors(error(S, S), error(T, T), error(S, T))

    @property
    def comfortable(self) -> bool:
        """Whether every layer's kernel norm is far from over- and underflow, so that no layer needs rescaling."""
        norms = (frobenius(even[0] + odd[0]) for key, (even, odd) in self.own.items() if key not in self.zero)
        return all(COMFORTABLE[0] < norm < COMFORTABLE[1] for norm in norms)


def layer_sums(
    *,
    teacher: Mapping[str, Rows],
    student: Mapping[str, Rows],
    once: bool = False,
    beside: Sequence[Onlooker] = (),
    grid: Grid | None = None,
    second: Second | None = None,
) -> LayerSums:
    """One pass over all layers of both networks.

    Args:
        teacher, student: features ``(n, d)`` by layer name, of the same n examples in the same order.
        once: rows cannot be read again, so that the sums have to be sharp enough for small losses too: about four
            times the cost, see :mod:`kernelscope.kernels.distance.slices`.
        beside: called with the number of its first row, and every block of rows by layer, as it is summed.
        grid: what rows are rounded to, so that their sums are exact, and the same bits in any order of rows.
        second: which rows make the second half; by default the odd ones, and with a grid none.

    Raises:
        Mismatch: different numbers of rows, or an entry beyond the grid.
        NumericalError: NaN or infinite features, with their layer.
        DegenerateKernel: an all-zero teacher layer.
    """
    layers: dict[Key, Rows] = {("teacher", name): X for name, X in teacher.items()}
    layers |= {("student", name): X for name, X in student.items()}
    n = max(require_same_examples(T, S) for T in teacher.values() for S in student.values())
    columns, widths = _columns(layers)
    halves = tuple(_half(layers, widths, once, grid) for _ in range(2))
    counts = [0, 0]
    same = {(t, s) for t in teacher for s in student if teacher[t].shape == student[s].shape}
    constant = {key: Constancy(X) for key, X in layers.items()}
    share = Share.of(n)
    for start, stop in share.steps(BLOCK_ROWS):
        block = {key: numpy_block(X, start, stop) for key, X in layers.items()}
        same = {(t, s) for t, s in same if np.array_equal(block["teacher", t], block["student", s])}
        for key, part in block.items():
            constant[key].see(part)
        if grid is not None:
            block = {key: grid.rounded(key, part) for key, part in block.items()}
        for onlooker in beside:
            onlooker(start, block)
        for number, (rows, half) in enumerate(zip(_halves(start, stop, grid, second), halves)):
            parts = {key: np.ascontiguousarray(part[rows], np.float64) for key, part in block.items()}
            counts[number] += len(next(iter(parts.values())))
            half.add(parts)
    own = {key: (halves[0].own(key), halves[1].own(key)) for key in layers}
    lengths = {key: math.sqrt(float(np.trace(even[0]) + np.trace(odd[0]))) for key, (even, odd) in own.items()}
    sums = LayerSums(
        rows=(counts[0], counts[1]),
        own=own,
        sums={key: added(halves[0].sums(key), halves[1].sums(key)) for key in layers},
        cross=(halves[0].cross(), halves[1].cross()),
        columns=columns,
        same=frozenset(same),
        row_errors={key: entry_error(layers[key], length) for key, length in lengths.items()},
        constant=constant,
        lengths={key: [half.lengths(key) for half in halves] for key in layers} if once else {},
        grid=grid,
    )
    if share.parts > 1:
        sums = functools.reduce(both_sums, (_filled(sums, arrays) for arrays in exchange.in_turn(_arrays(sums))))
    _require_usable(layers, sums.own, sums.zero)
    return sums


def both_sums(one: LayerSums, two: LayerSums) -> LayerSums:
    """Sums over the rows of both, of the same layers, in a new value."""

    def lengths(key: Key) -> list[list[tuple[float, float]]]:
        return [a + b for a, b in zip(one.lengths[key], two.lengths[key])]

    return LayerSums(
        rows=(one.rows[0] + two.rows[0], one.rows[1] + two.rows[1]),
        own={key: (added(a[0], two.own[key][0]), added(a[1], two.own[key][1])) for key, a in one.own.items()},
        sums={key: added(a, two.sums[key]) for key, a in one.sums.items()},
        cross=(added(one.cross[0], two.cross[0]), added(one.cross[1], two.cross[1])),
        columns=one.columns,
        same=one.same & two.same,
        row_errors={key: math.hypot(a, two.row_errors[key]) for key, a in one.row_errors.items()},
        constant={key: a.and_of(two.constant[key]) for key, a in one.constant.items()},
        lengths={key: lengths(key) for key in one.lengths},
        merges=0 if one.lengths else one.merges + two.merges + 1,
        grid=one.grid,
    )


def _arrays(sums: LayerSums) -> list[np.ndarray]:
    """What another process needs to add these sums to its own, in an order that :func:`_filled` reads."""
    two: list[Two] = [part for halves in sums.own.values() for part in halves]
    two += [*sums.sums.values(), *sums.cross]
    found = [part for high, low in two for part in (high, np.zeros(0) if low is None else low)]
    found += [np.array(sums.rows), np.array([*sums.row_errors.values()])]
    found += [np.array([pair in sums.same for pair in _pairs(sums)])]
    found += [np.array([seen.so_far for seen in sums.constant.values()])]
    found += [np.array(seen.extremes) for seen in sums.constant.values()]
    return found + [np.array(half).reshape(-1, 2) for halves in sums.lengths.values() for half in halves]


def _filled(like: LayerSums, arrays: list[np.ndarray]) -> LayerSums:
    """The sums of another process, of the same layers."""
    left = iter(arrays)

    def two() -> Two:
        high, low = next(left), next(left)
        return high, low if low.size else None

    own = {key: (two(), two()) for key in like.own}
    sums, cross = {key: two() for key in like.sums}, (two(), two())
    even, odd = next(left).tolist()
    row_errors = dict(zip(like.row_errors, next(left).tolist()))
    same = frozenset(pair for pair, alike in zip(_pairs(like), next(left)) if alike)
    so_far = next(left).tolist()
    constant = {key: seen.seen_as(so, next(left)) for (key, seen), so in zip(like.constant.items(), so_far)}
    lengths = {key: [[*map(tuple, next(left).tolist())] for _ in halves] for key, halves in like.lengths.items()}
    return LayerSums((even, odd), own, sums, cross, like.columns, same, row_errors, constant, lengths, grid=like.grid)


def _pairs(sums: LayerSums) -> list[Key]:
    """Every (teacher, student) pair of layers."""
    names = [[name for role, name in sums.columns if role == of] for of in ("teacher", "student")]
    return [(t, s) for t in names[0] for s in names[1]]


def _half(
    layers: Mapping[Key, Rows], widths: tuple[int, int], once: bool, grid: Grid | None
) -> PlainHalf | SlicedHalf | OrderFreeHalf:
    if grid is not None:
        return OrderFreeHalf(layers, widths, grid)
    return (SlicedHalf if once else PlainHalf)(layers, widths)


def _halves(start: int, stop: int, grid: Grid | None, second: Second | None) -> tuple[Any, Any]:
    """Which rows of a block go to which half."""
    if second is None and grid is not None:
        return slice(None), slice(0, 0)
    return halves_of(None if second is None else second(start, stop))


def _require_usable(layers: Mapping[Key, Rows], own: Mapping[Key, tuple[Two, Two]], zero: frozenset[Key]) -> None:
    """NaN and Inf show in the Grams, so looking for them costs no pass."""
    for (role, name), grams in own.items():
        if not all(np.isfinite(G).all() for G, _ in grams):
            require_finite(layers[role, name], f"{role} features of layer {name}")
            raise DegenerateKernel(
                f"{role} features of layer {name} are beyond 2^500, where products overflow; divide by a power of two"
            )
        if role == "teacher" and (role, name) in zero:
            raise DegenerateKernel(f"layer {name}: {ZERO_TEACHER}")


def _columns(layers: Mapping[Key, Rows]) -> tuple[dict[Key, slice], tuple[int, int]]:
    """Where each layer stands among its network's, and how wide all layers of student and teacher are."""
    widths, columns = {"student": 0, "teacher": 0}, {}
    for (role, name), X in layers.items():
        columns[role, name] = slice(widths[role], widths[role] + X.shape[1])
        widths[role] += X.shape[1]
    return columns, (widths["student"], widths["teacher"])
