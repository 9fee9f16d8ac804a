"""Whole groups of examples, which resampling leaves out, of rows that are not kept (docs/theory.md 8.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernelscope.kernels.statistics.sampling import ROUNDING, LeaveOut, own_block

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kernelscope.kernels.distance.exact import ScaledSums
    from kernelscope.kernels.rows import Key, Rows
    from kernelscope.kernels.shares import Share

Products = tuple["Key", "Key"]  #: a layer by itself, or the student's layer and the teacher's


def _by_group(groups: np.ndarray) -> tuple[np.ndarray, Iterator[tuple[int, slice]]]:
    """An order in which rows of a group stand together, and each group with its place in it."""
    order = np.argsort(groups, kind="stable")
    present, firsts = np.unique(groups[order], return_index=True)
    ends = [*firsts[1:].tolist(), len(order)]
    return order, ((int(g), slice(first, last)) for g, first, last in zip(present, firsts.tolist(), ends))


class GroupGrams:
    """Every group's Grams: what :func:`kernelscope.kernels.distance.layer_grid.layer_sums` calls with blocks of rows.

    With Z = [X_S, X_T], J = diag(I, −I), G the Gram of all rows of Z and G_g that of one group's

        Σ_{i in g} ‖Δ_i‖² = ⟨J G_g J, G⟩,   ‖Δ_gg‖² = ⟨J G_g J, G_g⟩,

    so that one pass is enough, at the cost of a second Gram.

    Args:
        groups: the group of each example, shape ``(n,)``, any whole numbers.
        pairs: the teacher's and the student's layer of each pair.
    """

    def __init__(self, groups: np.ndarray, layers: Mapping[Key, Rows], pairs: Sequence[tuple[str, str]]) -> None:
        self._groups = np.unique(groups, return_inverse=True)[1]
        self.sizes = np.bincount(self._groups)
        self._grams = {
            (a, b): np.zeros((len(self.sizes), layers[a].shape[1], layers[b].shape[1])) for a, b in _products(pairs)
        }

    @staticmethod
    def memory_bytes(groups: np.ndarray, layers: Mapping[Key, Rows], pairs: Sequence[tuple[str, str]]) -> int:
        """What all Grams take."""
        each = sum(layers[a].shape[1] * layers[b].shape[1] for a, b in _products(pairs))
        return 8 * len(np.unique(groups)) * each

    def __call__(self, start: int, block: dict[Key, np.ndarray]) -> None:
        order, places = _by_group(self._groups[start : start + len(next(iter(block.values())))])
        rows = {key: X[order].astype(np.float64, copy=False) for key, X in block.items()}
        with np.errstate(over="ignore", invalid="ignore"):  # features that are not finite are named later
            for g, at in places:
                for (a, b), grams in self._grams.items():
                    grams[g] += rows[a][at].T @ rows[b][at]

    def take_in_others(self, share: Share) -> None:
        """What the other processes have seen."""
        self._grams = dict(zip(self._grams, share.summed(*self._grams.values())))

    def leave_out(self, scaled: ScaledSums, keys: tuple[Key, Key]) -> LeaveOut:
        """Of two layers with these sums, the student's first."""
        S, T = keys
        both = (((S, S), scaled.sums.G_SS), ((S, T), scaled.sums.G_ST), ((T, T), scaled.sums.G_TT))
        grams = [self._grams[names].reshape(len(self.sizes), -1) for names, _ in both]
        of_rows = [own @ G.reshape(-1) for own, (_, G) in zip(grams, both)]
        of_blocks = [np.einsum("gi,gi->g", own, own) for own in grams]
        difference, block = (np.maximum(s - 2 * c + t, 0.0) for s, c, t in (of_rows, of_blocks))
        roundoff = ROUNDING * float(of_rows[0].sum() + of_rows[2].sum())
        return LeaveOut(difference, block, of_rows[2], of_blocks[2], self.sizes, roundoff)


def _products(pairs: Sequence[tuple[str, str]]) -> list[Products]:
    """What is multiplied, each once."""
    found: dict[Products, None] = {}
    for teacher, student in pairs:
        S, T = ("student", student), ("teacher", teacher)
        found |= dict.fromkeys(((S, S), (S, T), (T, T)))
    return list(found)


class OpenGroups:
    """Rows of each group until its last has passed, and then the squared norms of its own blocks of Δ and K_T.

    Args:
        groups: the group of each example, shape ``(n,)``, any whole numbers.
        widths: of the student's and of the teacher's features.
        share: the rows that this process sees.
    """

    def __init__(self, groups: np.ndarray, widths: tuple[int, int], share: Share) -> None:
        self.numbers, first, last = _spans(groups)[:3]
        self._last, self._widths, self._share = last, widths, share
        self._seen_whole = first >= share.start
        self._open: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        self._blocks = np.zeros((2, len(last)))

    @staticmethod
    def most_open(groups: np.ndarray) -> int:
        """No more rows than these are held at a time; twice as many by each of several processes."""
        _, first, last, sizes = _spans(groups)
        change = np.zeros(len(groups) + 1, np.int64)
        np.add.at(change, first, sizes)
        np.subtract.at(change, last + 1, sizes)
        return int(np.cumsum(change).max())

    def add(self, start: int, X_S: np.ndarray, X_T: np.ndarray) -> None:
        """Take in float64 rows from row ``start``."""
        stop = start + len(X_S)
        order, places = _by_group(self.numbers[start:stop])
        S, T = X_S[order], X_T[order]
        for g, at in places:
            self._open.setdefault(g, []).append((S[at].copy(), T[at].copy()))
            if self._last[g] < stop and self._seen_whole[g]:
                self._blocks[:, g] = own_block(*map(np.concatenate, zip(*self._open.pop(g))))

    def blocks(self) -> np.ndarray:
        """Of Δ and of K_T, shape ``(2, G)``, once every process has added its share."""
        (found,) = self._share.summed(self._blocks)
        if self._share.parts == 1:
            return found
        left = [(np.full(len(S), g), S, T) for g, parts in self._open.items() for S, T in parts]
        none = np.empty(0, np.int64), *(np.empty((0, width)) for width in self._widths)
        numbers, S, T = self._share.gathered(*map(np.concatenate, zip(none, *left)))
        for g in np.unique(numbers):
            found[:, g] = own_block(S[numbers == g], T[numbers == g])
        return found


def _spans(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Each row's group as a number from 0 on, and each group's first row, last row, and size."""
    _, first, numbers, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    from_the_end = np.unique(groups[::-1], return_index=True)[1]
    return numbers, first, len(groups) - 1 - from_the_end, sizes
