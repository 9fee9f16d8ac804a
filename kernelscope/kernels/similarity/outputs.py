"""Agreement of logits: same class, same top k, KL divergence, flips and calibration (docs/theory.md 6.6).

A kernel tracks how many answers change (flips) far better than it tracks accuracy: answers that go from right to wrong
and from wrong to right cancel in accuracy, and both are flips. Where several classes are tied for the largest logit,
the answer is one of them drawn at random; both networks draw alike where they can.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kernelscope.errors import Mismatch
from kernelscope.kernels.nystrom.clusters import sum_by_group
from kernelscope.kernels.rows import BLOCK_ROWS, Rows, row_blocks
from kernelscope.kernels.shares import Share

TOP = 5  #: classes or tokens compared as the few most likely ones
BINS = 15  #: equal-width bins of confidence
MOST_NUMBERS = 2**22  #: of a block of logits: vocabularies are wide
Z_95 = 1.959963984540054  #: two-sided 95 % point of the normal distribution


@dataclass(frozen=True)
class TopK:
    """``overlap``: share of each row's k largest logits that both networks name; ``chance`` = k / classes."""

    k: int
    overlap: float
    chance: float


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error of both networks: mean gap of confidence and accuracy over ``bins`` of confidence."""

    bins: int
    teacher: float
    student: float


@dataclass(frozen=True)
class ClassFlips:
    """:class:`Flips` among the n examples of one class; ``interval`` of the difference in accuracy."""

    name: str
    n: int
    changed: float
    right_to_wrong: float
    wrong_to_right: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Flips:
    """Shares of examples that the teacher answers right and the student wrong, and the other way round.

    ``accuracy_difference``, student's minus teacher's, with its 95 % interval for paired proportions; a report has no
    interval where examples come in groups, and no ``classes`` where there are more than 200.
    """

    right_to_wrong: float
    wrong_to_right: float
    accuracy_difference: float
    accuracy_interval: tuple[float, float] | None
    classes: tuple[ClassFlips, ...] | None


@dataclass(frozen=True)
class Outputs:
    """``agreement``: share of examples that both networks put in the same class (a tie counts as its share).

    ``changed`` = 1 − agreement; ``kl``: mean Kullback–Leibler divergence of the student's softmax from the teacher's,
    in nats, at temperature 1.

    ``top_k`` None for so few classes that k are most of them; ``flips`` and ``calibration`` None without labels.
    """

    agreement: float
    kl: float
    changed: float
    top_k: TopK | None
    flips: Flips | None
    calibration: Calibration | None


def outputs(*, teacher: Rows, student: Rows, labels: np.ndarray | None = None) -> Outputs:
    """Agreement of two networks' logits; one pass.

    Args:
        teacher, student: logits ``(n, classes)``; rows are examples, or positions of a text.
        labels: the right class of each row, 0 … classes − 1, shape ``(n,)``; None where it is not known.

    Raises:
        Mismatch: different numbers of classes, or labels that are not among them.
    """
    if teacher.shape != student.shape:
        raise Mismatch(f"logits have shapes {tuple(teacher.shape)} and {tuple(student.shape)}; compare equal classes")
    running, share = RunningOutputs(teacher.shape, labels), Share.of(teacher.shape[0])
    for (start, Z_T), (_, Z_S) in zip(
        row_blocks(teacher, running.step, share), row_blocks(student, running.step, share)
    ):
        running.add(start, Z_T, Z_S)
    return running.result(share)


class RunningOutputs:
    """The same, a block of at most ``step`` rows at a time.

    Args:
        shape: ``(n, classes)`` of either network's logits.
        labels: see :func:`outputs`.

    Raises:
        Mismatch: labels that are not among the classes.
    """

    def __init__(self, shape: tuple[int, ...], labels: np.ndarray | None = None) -> None:
        n, classes = shape
        if labels is not None and not are_classes(labels, n, classes):
            raise Mismatch(
                f"labels are not {n} whole numbers from 0 to {classes - 1}, the logits' classes; leave them out"
            )
        self.n, self.classes, self.labels = n, classes, labels
        self.step = max(16, min(BLOCK_ROWS, MOST_NUMBERS // classes))
        self._k = TOP if classes >= 2 * TOP else 0
        self._divergence = self._shared = 0.0
        self._same, self._right = np.zeros(n), (np.zeros(n), np.zeros(n))
        self._reliability = _Reliability(), _Reliability()

    def add(self, start: int, Z_T: np.ndarray, Z_S: np.ndarray) -> None:
        """Take in float64 logits from row ``start``."""
        rows = slice(start, start + len(Z_T))
        best = [Z.max(axis=1, keepdims=True) == Z for Z in (Z_T, Z_S)]
        self._same[rows] = (best[0] & best[1]).sum(axis=1) / np.maximum(*(b.sum(axis=1) for b in best))
        log_T, log_S = _log_softmax(Z_T), _log_softmax(Z_S)
        self._divergence += float(np.sum(np.exp(log_T) * (log_T - log_S)))
        if self._k:
            self._shared += float(np.minimum(_places(Z_T, self._k), _places(Z_S, self._k)).sum())
        if self.labels is not None:
            own = np.arange(len(Z_T)), self.labels[rows]
            for into, seen, b, log_p in zip(self._right, self._reliability, best, (log_T, log_S)):
                into[rows] = b[own] / b.sum(axis=1)
                seen.add(np.exp(log_p.max(axis=1)), into[rows])

    def result(self, share: Share) -> Outputs:
        """Of all rows, once every process has added its share."""
        n, k, labels = self.n, self._k, self.labels
        divergence, shared = share.numbers(self._divergence, self._shared)
        same, *right = share.summed(self._same, *self._right)  # 0 in the rows of others
        for seen in self._reliability:
            (seen.sums,) = share.summed(seen.sums)
        agreement = float(same.sum()) / n
        errors = [] if labels is None else [seen.error() for seen in self._reliability]
        return Outputs(
            agreement=agreement,
            kl=max(0.0, divergence / n),
            changed=1 - agreement,
            top_k=TopK(k, shared / (n * k), k / self.classes) if k else None,
            flips=None if labels is None else _flips(1 - same, right[0], right[1], labels),
            calibration=None if labels is None else Calibration(BINS, *errors),
        )


def are_classes(labels: np.ndarray, n: int, classes: int) -> bool:
    """Whether there is one label for each of n rows, each one of so many classes."""
    return labels.shape == (n,) and labels.dtype.kind in "iu" and bool(((labels >= 0) & (labels < classes)).all())


def _flips(changed: np.ndarray, right_T: np.ndarray, right_S: np.ndarray, labels: np.ndarray) -> Flips:
    """From how far each example's answer changed, and how far each network's is right."""
    to_wrong, to_right = np.maximum(right_T - right_S, 0), np.maximum(right_S - right_T, 0)
    present, groups, counts = np.unique(labels, return_inverse=True, return_counts=True)
    by_class = sum_by_group(np.stack([changed, to_wrong, to_right], axis=1), groups, len(present))
    n, all_lost, all_won = len(labels), float(to_wrong.sum()), float(to_right.sum())
    return Flips(
        all_lost / n,
        all_won / n,
        (all_won - all_lost) / n,
        paired_interval(n, all_lost, all_won),
        tuple(
            ClassFlips(str(label), m, changed / m, lost / m, won / m, paired_interval(m, lost, won))
            for label, m, (changed, lost, won) in zip(present.tolist(), counts.tolist(), by_class.tolist())
        ),
    )


def paired_interval(n: int, lost: float, won: float, z: float = Z_95) -> tuple[float, float]:
    """95 % interval of ``(won − lost) / n``, the difference of two paired proportions (Tango 1998).

    The differences that McNemar's score test does not reject: every δ with ``|won − lost − nδ| <= z s(δ)``, s the
    standard deviation of ``won − lost`` where δ is true and everything else is as likely as can be. Unlike Wald's
    interval it has a width where nothing changed, and stays inside −1 … 1.

    Args:
        n: examples. lost, won: how many went from right to wrong, and from wrong to right.
    """
    from scipy.optimize import brentq  # a third of a second, which no other number waits for

    def excess(delta: float) -> float:
        # likeliest share q of `lost` given δ: 2n q² + linear q − lost δ (1 − δ) = 0
        linear, rest = (2 * n - won + lost) * delta - lost - won, lost * delta * (1 - delta)
        root = math.sqrt(max(0.0, linear**2 + 8 * n * rest))
        q = 2 * rest / (root + linear) if linear > 0 else (root - linear) / (4 * n)
        return float((won - lost - n * delta) ** 2 - z * z * n * max(0.0, 2 * q + delta * (1 - delta)))

    middle, inside = (won - lost) / n, 1e-3 / n  # at the middle itself excess may be 0, which is not an end
    low = -1.0 if excess(-1.0) <= 0 else float(brentq(excess, -1.0, middle - inside, xtol=1e-14))
    high = 1.0 if excess(1.0) <= 0 else float(brentq(excess, middle + inside, 1.0, xtol=1e-14))
    return low, high


class _Reliability:
    """Rows, their confidence and how many are right, by bins (b / 15, (b + 1) / 15] of confidence."""

    def __init__(self) -> None:
        self.sums = np.zeros((3, BINS))

    def add(self, confidence: np.ndarray, right: np.ndarray) -> None:
        bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
        for total, weights in zip(self.sums, (np.ones_like(right), confidence, right)):
            total += np.bincount(bins, weights, BINS)

    def error(self) -> float:
        rows, confidence, right = self.sums
        return float(np.abs(confidence - right).sum() / rows.sum())


def _places(Z: np.ndarray, k: int) -> np.ndarray:
    """What share of a place among the k largest each entry of a row has; those tied at the k-th share what is left."""
    kth = -np.partition(-Z, k - 1, axis=1)[:, k - 1 : k]
    above, at = kth < Z, kth == Z
    left = (k - above.sum(axis=1)) / at.sum(axis=1)
    places: np.ndarray = above + at * left[:, None]
    return places


def _log_softmax(Z: np.ndarray) -> np.ndarray:
    Z = Z - Z.max(axis=1, keepdims=True)
    shifted: np.ndarray = Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))
    return shifted
