"""Landmark strategies: functions returning :class:`Landmarks`, and :func:`parse` for their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import Mismatch, UsageError
from kernelscope.kernels.nystrom.clusters import lloyd, nearest
from kernelscope.kernels.nystrom.landmarks import Landmarks
from kernelscope.kernels.nystrom.spectrum import gram_tolerance
from kernelscope.kernels.rows import Features, Rows, as_rows, require_finite, row_blocks, shared_rows, storage_roundoff
from kernelscope.kernels.shares import Share
from kernelscope.masked import require_unmasked

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

CLUSTERED_ROWS = 5000  #: rows that k-means is run on before the one pass that assigns all
GATHERED_BYTES = 256 * 2**20  #: what the rows of several classes may take while they are clustered
SPECS = "class-means[:k], kmeans:m, uniform:m, leverage:m or a file of row indices"


def class_means(
    labels: ArrayLike, centres_per_class: int = 1, teacher: Features | None = None, seed: int | None = None
) -> Landmarks:
    """One group per class, or k per class: the landmarks of the paper (equation 3, Figure 7).

    Args:
        labels: shape ``(n,)``; negative integers mean no class.
        centres_per_class: with k > 1 each class is split by k-means in the *teacher's* space, one partition that
            serves both networks; cells that stay empty are dropped.
        teacher: the teacher's features, needed for k > 1.

    Raises:
        Mismatch: no example has a label, or features and labels differ in number.
    """
    classes = _compact_classes(labels)
    if centres_per_class == 1:
        return Landmarks("class-means", len(classes), int(classes.max()) + 1, assignment=classes)
    if centres_per_class < 1:
        raise UsageError(f"{centres_per_class} centres per class; ask for at least one")
    rows = _teacher_rows(teacher, f"class-means:{centres_per_class}")
    if rows.shape[0] != len(classes):
        raise Mismatch(f"{len(classes)} labels for {rows.shape[0]} rows of teacher features; give one label per row")
    seed = seed or 0
    centres, owners = _centres_within(rows, classes, centres_per_class, np.random.default_rng(seed))
    _require_usable(centres, [rows])
    share, parts = Share.of(len(classes)), []
    for start, block in row_blocks(rows, share=share):
        own = classes[start : start + len(block)]
        found = nearest(block, centres, allowed=own[:, None] == owners)
        parts.append(np.where(own >= 0, found, -1))
    assignment, m = _without_empty(*share.gathered(np.concatenate(parts)))
    return Landmarks(f"class-means:{centres_per_class}", len(classes), m, seed, assignment=assignment)


def uniform(n: int, m: int, seed: int = 0) -> Landmarks:
    """m distinct rows, uniformly: those of scikit-learn's ``Nystroem(n_components=m, random_state=seed)``."""
    _require_enough(n, m)
    # the old generator: the rows must be those that scikit-learn draws
    permutation = np.random.RandomState(seed).permutation(n)
    return Landmarks("uniform", n, m, seed, indices=permutation[:m])


def kmeans(teacher: Features | None, m: int, seed: int = 0, student: Features | None = None) -> Landmarks:
    """Cells of k-means in the teacher's space: Lloyd on at most 5,000 seeded rows, then one pass that assigns all.

    With ``student`` the clusters are sought in the joint space, each network scaled to the same norm. Cells that
    stay empty are dropped, so collapsed features give fewer than m.

    Raises:
        Mismatch: m exceeds the number of rows.
    """
    spaces = [_teacher_rows(teacher, f"kmeans:{m}")] + ([] if student is None else [as_rows(student)])
    n = spaces[0].shape[0]
    _require_enough(n, m)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(n, min(n, max(CLUSTERED_ROWS, m)), replace=False))
    samples = [shared_rows(X, chosen) for X in spaces]
    norms = [float(np.linalg.norm(sample)) if student is not None else 1.0 for sample in samples]
    weights = [1 / norm if norm > 0 else 1.0 for norm in norms]
    centres = lloyd(_joint(samples, weights), m, rng)
    _require_usable(centres, spaces)
    share = Share.of(n)
    parts = [
        nearest(_joint([block for _, block in blocks], weights), centres)
        for blocks in zip(*(row_blocks(X, share=share) for X in spaces))
    ]
    assignment, m = _without_empty(*share.gathered(np.concatenate(parts)))
    return Landmarks("kmeans", n, m, seed, assignment=assignment)


def _joint(parts: list[np.ndarray], weights: list[float]) -> np.ndarray:
    """Several networks' rows of the same examples side by side, each times its weight; one network's as they are."""
    return parts[0] if len(parts) == 1 else np.hstack([w * part for w, part in zip(weights, parts)])


def leverage(teacher: Features | None, m: int, seed: int = 0) -> Landmarks:
    """m distinct rows, drawn with probabilities proportional to their leverage in the teacher's space.

    Raises:
        Mismatch: m exceeds the number of rows, or of rows with any leverage.
    """
    rows = _teacher_rows(teacher, f"leverage:{m}")
    _require_enough(rows.shape[0], m)
    scores = leverage_scores(rows)
    if m > np.count_nonzero(scores):
        raise Mismatch(
            f"{m} landmarks asked for, but only {np.count_nonzero(scores)} teacher rows are not zero; ask for fewer"
        )
    chosen = np.random.default_rng(seed).choice(len(scores), m, replace=False, p=scores / scores.sum())
    return Landmarks("leverage", len(scores), m, seed, indices=chosen)


def leverage_scores(X: Rows) -> np.ndarray:
    """``x_iᵀ (XᵀX)⁺ x_i``, shape ``(n,)``, each in [0, 1], their sum the numerical rank of X. Two passes."""
    gram, share = np.zeros((X.shape[1], X.shape[1])), Share.of(X.shape[0])
    for _, block in row_blocks(X, share=share):
        gram += block.T @ block
    (gram,) = share.summed(gram)
    _require_usable(gram, [X])
    values, vectors = np.linalg.eigh(gram)
    kept = values > gram_tolerance(values[-1], len(gram), X.shape[0], storage_roundoff(X))
    whitening = vectors[:, kept] / np.sqrt(values[kept])
    scores = [np.square(block @ whitening).sum(axis=1) for _, block in row_blocks(X, share=share)]
    return share.gathered(np.concatenate(scores))[0]


def given(indices: ArrayLike, n: int) -> Landmarks:
    """The rows at ``indices``, of n examples.

    Raises:
        Mismatch: not a list of whole numbers, or one of them is out of range.
    """
    require_unmasked(indices, "landmark rows")
    rows = np.asarray(indices)
    if rows.ndim != 1 or rows.size == 0 or rows.dtype.kind not in "iu":
        raise Mismatch(
            f"landmark rows have shape {rows.shape} and type {rows.dtype}, expected a list of whole numbers; give (m,)"
        )
    low, high = int(rows.min()), int(rows.max())
    if low < 0 or high >= n:
        raise Mismatch(f"landmark row {low if low < 0 else high} is out of range; {n} examples have rows 0 to {n - 1}")
    return Landmarks("given", n, len(rows), indices=rows.astype(np.int64))


def parse(
    spec: str | None,
    *,
    n: int,
    labels: ArrayLike | None = None,
    teacher: Features | None = None,
    seed: int = 0,
    read_rows: Callable[[str], ArrayLike] | None = None,
) -> Landmarks:
    """Landmarks from a word: ``class-means[:k]``, ``kmeans:m``, ``uniform:m``, ``leverage:m``, ``FILE.npy``.

    Args:
        spec: None for ``class-means`` where labels are known, else ``kmeans:max(1, min(100, n // 10))``.
        n: number of examples.
        labels, teacher: what the strategy may need.
        read_rows: reads the row indices of a file; kernels read no files themselves.

    Raises:
        UsageError: not one of these, or labels or features it needs are not there.
        Mismatch: more landmarks than examples, or a row out of range.
    """
    spec = _default(n, labels) if spec is None else spec
    name, _, count = spec.partition(":")
    match name:
        case "class-means":
            if labels is None:
                raise UsageError("class-means need labels; give them with --labels, or choose kmeans:m")
            if len(np.asarray(labels)) != n:
                raise Mismatch(f"{len(np.asarray(labels))} labels for {n} examples; give one label per example")
            return class_means(labels, _positive(count or "1", spec), teacher, seed)
        case "kmeans":
            return kmeans(teacher, _positive(count, spec), seed)
        case "uniform":
            return uniform(n, _positive(count, spec), seed)
        case "leverage":
            return leverage(teacher, _positive(count, spec), seed)
    if not spec.endswith(".npy") or read_rows is None:
        raise UsageError(f"unknown landmarks {spec[:60]!r}; choose {SPECS}")
    return given(read_rows(spec), n)


def landmarks_asked(spec: str | None, *, n: int, labels: ArrayLike | None = None) -> int | None:
    """How many landmarks a word of :func:`parse` asks for, before anything is read; None for those of a file."""
    spec = _default(n, labels) if spec is None else spec
    name, _, count = spec.partition(":")
    if spec.endswith(".npy"):
        return None
    if name == "class-means":
        return _positive(count or "1", spec) * (0 if labels is None else len(np.unique(labels)))
    return _positive(count, spec)


def _default(n: int, labels: ArrayLike | None) -> str:
    return "class-means" if labels is not None else f"kmeans:{max(1, min(100, n // 10))}"


def _positive(count: str, spec: str) -> int:
    if not (count.isascii() and count.isdigit() and int(count) > 0):
        raise UsageError(f"landmarks {spec[:60]!r} lack a positive whole number after the colon; choose {SPECS}")
    return int(count)


def _require_enough(n: int, m: int) -> None:
    if m < 1:
        raise UsageError(f"{m} landmarks asked for; ask for at least one")
    if m > n:
        raise Mismatch(f"{m} landmarks asked for, but there are {n} examples; ask for at most {n}")


def _require_usable(computed: np.ndarray, spaces: list[Rows]) -> None:
    """NaN and Inf show in what was computed, so looking for them costs no pass."""
    if not np.isfinite(computed).all():
        for X in spaces:
            require_finite(X, "features")


def _teacher_rows(teacher: Features | None, what: str) -> Rows:
    if teacher is None:
        raise UsageError(f"{what} landmarks are chosen in the teacher's space; give the teacher's features")
    return as_rows(teacher, "teacher features")


def _compact_classes(labels: ArrayLike) -> np.ndarray:
    """Labels as 0 … L − 1 in sorted order, −1 where there is none."""
    require_unmasked(labels, "labels")
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.size == 0:
        raise Mismatch(f"labels have shape {labels.shape}, expected (n,); give one label per example")
    known = labels >= 0 if labels.dtype.kind in "if" else np.ones(len(labels), bool)  # NaN means no label too
    if not known.any():
        raise Mismatch(f"none of the {len(labels)} examples has a label; choose kmeans:m landmarks")
    classes = np.full(len(labels), -1)
    classes[known] = np.unique(labels[known], return_inverse=True)[1]
    return classes


def _without_empty(assignment: np.ndarray) -> tuple[np.ndarray, int]:
    """The same groups numbered without gaps, and how many there are."""
    compact = _compact_classes(assignment)
    return compact, int(compact.max()) + 1


def _centres_within(X: Rows, classes: np.ndarray, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """At most k centres of each class, and the class of each; rows are gathered for several classes at a time."""
    members = [np.flatnonzero(classes == c) for c in range(int(classes.max()) + 1)]
    chosen = [
        rows if len(rows) <= CLUSTERED_ROWS else np.sort(rng.choice(rows, CLUSTERED_ROWS, replace=False))
        for rows in members
    ]
    at_a_time = max(1, GATHERED_BYTES // (8 * X.shape[1] * max(len(rows) for rows in chosen)))
    centres, owners = [], []
    for first in range(0, len(chosen), at_a_time):
        group = chosen[first : first + at_a_time]
        points = shared_rows(X, np.concatenate(group))
        for c, own in enumerate(np.split(points, np.cumsum([len(rows) for rows in group])[:-1]), start=first):
            found = lloyd(own, min(k, len(own)), rng)
            centres.append(found)
            owners.append(np.full(len(found), c))
    return np.concatenate(centres), np.concatenate(owners)
