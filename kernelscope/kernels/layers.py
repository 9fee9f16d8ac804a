"""All teacher layers against all student layers in one pass: every own Gram once, every cross product once.

T × S pairs taken one by one read each layer as often as the other network has layers, and form its Gram as often.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kernelscope.errors import DegenerateKernel
from kernelscope.kernels.accumulate import CrossSum, OwnSum
from kernelscope.kernels.gram import ZERO_TEACHER, GramSums, frobenius
from kernelscope.kernels.rows import BLOCK_ROWS, Rows, numpy_block, require_finite, require_same_examples

COMFORTABLE = (1e-100, 1e100)  #: kernel norms whose squares float64 holds in full


@dataclass(frozen=True, eq=False)
class LayerSums:
    """Grams and column sums of every layer, and the cross products of every pair, each for even and for odd rows.

    ``same``: the (teacher, student) layers that hold the same numbers.
    """

    n: int
    own: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]
    sums: dict[tuple[str, str], np.ndarray]
    cross: tuple[np.ndarray, np.ndarray]
    columns: dict[tuple[str, str], slice]
    same: frozenset[tuple[str, str]]

    def pair(self, teacher_layer: str, student_layer: str) -> GramSums:
        """What :func:`kernelscope.kernels.gram.gram_sums` gives for these two layers, halves included."""
        S, T = self.own["student", student_layer], self.own["teacher", teacher_layer]
        rows, columns = self.columns["student", student_layer], self.columns["teacher", teacher_layer]
        ST = [half[rows, columns] for half in self.cross]
        halves = [np.block([[S[h], ST[h]], [ST[h].T, T[h]]]) for h in (0, 1)]
        return GramSums(
            self.n,
            len(S[0]),
            halves[0] + halves[1],
            np.concatenate([self.sums["student", student_layer], self.sums["teacher", teacher_layer]]),
            chain=min(BLOCK_ROWS, self.n) + -(-self.n // BLOCK_ROWS) + 1,
            halves=(halves[0], halves[1]),
        )

    @property
    def comfortable(self) -> bool:
        """Whether every layer's kernel norm is far from over- and underflow, so that no layer needs rescaling."""
        norms = [frobenius(even + odd) for even, odd in self.own.values()]
        return all(COMFORTABLE[0] < norm < COMFORTABLE[1] for norm in norms)


def layer_sums(*, teacher: Mapping[str, Rows], student: Mapping[str, Rows]) -> LayerSums:
    """One pass over all layers of both networks.

    Args:
        teacher, student: features ``(n, d)`` by layer name, of the same n examples in the same order.

    Raises:
        Mismatch: different numbers of rows. NumericalError: NaN or infinite features, with their layer.
        DegenerateKernel: an all-zero teacher layer.
    """
    layers = {("teacher", name): X for name, X in teacher.items()} | {
        ("student", name): X for name, X in student.items()
    }
    n = max(require_same_examples(T, S) for T in teacher.values() for S in student.values())
    own = {key: (OwnSum(X.shape[1]), OwnSum(X.shape[1])) for key, X in layers.items()}
    columns, widths = _columns(layers)
    cross = CrossSum(*widths), CrossSum(*widths)
    same = {(t, s) for t in teacher for s in student if teacher[t].shape == student[s].shape}
    for start in range(0, n, BLOCK_ROWS):
        block = {key: numpy_block(X, start, min(start + BLOCK_ROWS, n)) for key, X in layers.items()}
        same = {(t, s) for t, s in same if np.array_equal(block["teacher", t], block["student", s])}
        for half in (0, 1):
            rows = {key: np.ascontiguousarray(part[half::2], np.float64) for key, part in block.items()}
            for key, part in rows.items():
                own[key][half].add(part.T)
            # one product of all layers side by side: larger ones are faster
            S, T = (
                np.hstack([part for (role, _), part in rows.items() if role == of]) for of in ("student", "teacher")
            )
            cross[half].add(S.T, T.T)
    grams = {key: (even.gram(), odd.gram()) for key, (even, odd) in own.items()}
    for (role, name), halves in grams.items():
        if not all(np.isfinite(G).all() for G in halves):
            require_finite(layers[role, name], f"{role} features of layer {name}")
            raise DegenerateKernel(f"{role} features of layer {name} overflow when multiplied; divide by a factor")
        if role == "teacher" and not any(G.any() for G in halves):
            raise DegenerateKernel(f"layer {name}: {ZERO_TEACHER}")
    return LayerSums(
        n,
        grams,
        {key: even.sums + odd.sums for key, (even, odd) in own.items()},
        (cross[0].total, cross[1].total),
        columns,
        frozenset(same),
    )


def _columns(layers: Mapping[tuple[str, str], Rows]) -> tuple[dict[tuple[str, str], slice], tuple[int, int]]:
    """Where each layer stands among its network's, and how wide all layers of student and teacher are."""
    widths, columns = {"student": 0, "teacher": 0}, {}
    for (role, name), X in layers.items():
        columns[role, name] = slice(widths[role], widths[role] + X.shape[1])
        widths[role] += X.shape[1]
    return columns, (widths["student"], widths["teacher"])
