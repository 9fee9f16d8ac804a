"""Which number of a pair's report needs which pass over the rows: the table that ``--plan`` prints.

``measure_pair`` goes through them in this order. What one pass gathers serves everything below it, and what needs no
rows at all (ladder, CKA, Procrustes distance, GULP, spectra) is made of the Gram sums.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from kernelscope.errors import in_bytes, in_seconds
from kernelscope.kernels.distance.plan import plan
from kernelscope.kernels.nystrom.choosing import landmarks_asked
from kernelscope.kernels.nystrom.landmarks import Landmarks
from kernelscope.kernels.rows import numpy_block
from kernelscope.kernels.similarity.class_blocks import MOST_CLASSES
from kernelscope.kernels.similarity.difference_eigenvectors import STRONGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kernelscope.measurement.layer_pairs import LayerPair, Match
    from kernelscope.measurement.rehearsal import Rates

NEIGHBOURS = 10
PER_ROW = 1e-6  #: seconds beside products, for a row in a pass
SIDES: tuple[tuple[Literal["teacher_layer", "student_layer"], str], ...] = (
    ("teacher_layer", "teacher"),
    ("student_layer", "student"),
)
DECOMPOSITIONS = 9  #: of p × p matrices, in those that rates are about: ladder, spectra, Procrustes, GULP
MOST_SEARCHED = 10_000  #: examples up to which neighbours are looked for without being asked for


@dataclass(frozen=True)
class Sizes:
    """Of one pair: examples, features, landmarks (None: as many as their file names), classes and neighbours.

    ``wide``: features of networks that have more than examples; n × n kernels are formed of these first, which then
    stand for n features (:mod:`kernelscope.kernels.distance.own_kernel`).
    """

    n: int
    d_student: int
    d_teacher: int
    landmarks: int | None
    classes: int = 0
    neighbours: int = 0
    wide: int = 0
    item_bytes: int = 4

    @property
    def bytes_read(self) -> int:
        """In one pass over both networks' rows."""
        return self.n * self.p * self.item_bytes

    @property
    def p(self) -> int:
        return self.d_student + self.d_teacher

    @classmethod
    def of(cls, pair: LayerPair, landmarks: str | Landmarks | None, neighbours: int | None) -> Sizes:
        """As ``measure_pair`` will find them, from what was asked for."""
        n = pair.teacher.shape[0]
        widths = [X.shape[1] for X in (pair.student, pair.teacher)]
        labels = pair.examples.labels
        asked = landmarks.m if isinstance(landmarks, Landmarks) else landmarks_asked(landmarks, n=n, labels=labels)
        classes = 0 if labels is None else len(np.unique(labels))
        wide = sum(d for d in widths if d > n)
        d_student, d_teacher = (min(n, d) for d in widths)
        item_bytes = max(numpy_block(X, 0, 0).itemsize for X in (pair.student, pair.teacher))
        return cls(n, d_student, d_teacher, asked, classes, neighbours_wanted(n, neighbours), wide, item_bytes)


def neighbours_wanted(n: int, asked: int | None) -> int:
    """As many as were asked for; by default 10 of up to 10,000 examples, since their cost grows with n²."""
    if asked is not None:
        return asked
    return min(NEIGHBOURS, n - 1) if n <= MOST_SEARCHED else 0


@dataclass(frozen=True)
class Pass:
    """One reading of both networks' rows.

    Attributes:
        name: what is gathered.
        gives: the report's fields that are made of it.
        multiply_adds: what it costs.
        wanted: whether this report needs it at all.
        rate: which of this machine's rates it goes at.
        weight: its time over that of its products alone, as measured.
    """

    name: str
    gives: str
    multiply_adds: Callable[[Sizes], float]
    wanted: Callable[[Sizes], bool] = lambda sizes: True
    rate: Literal["double", "single"] = "double"
    weight: float = 1.1

    def seconds(self, sizes: Sizes, rates: Rates) -> float:
        """Its products at this machine's rate, what each row costs beside them, and reading the rows once."""
        rate: float = getattr(rates, self.rate)
        products = self.weight * self.multiply_adds(sizes) / rate
        return products + PER_ROW * sizes.n + sizes.bytes_read / rates.read


PASSES = (
    Pass(
        "kernels of wide features",
        "all passes that follow",
        lambda s: s.n**2 * s.wide / 2,
        lambda s: s.wide > 0,
    ),
    Pass(
        "Gram sums",
        "transfer_loss, norms, ladder, cka, procrustes, gulp, feature_spectrum, difference_spectrum",
        lambda s: s.n * s.p**2 / 2,
    ),
    Pass(
        "groups of landmarks",
        "landmarks, landmark_spectrum, within_class_cka",
        lambda s: s.n * (s.p + s.d_teacher * (0 if s.classes else s.landmarks or 0)),
    ),
    Pass(
        "row by row",
        "sampling_interval, population_loss, worst, outliers, null, cka_debiased",
        lambda s: s.n * (s.d_student**2 / 2 + s.d_student * s.d_teacher + s.d_teacher**2 / 2),
    ),
    Pass("strongest eigenvectors", "difference_eigenvectors", lambda s: 2 * s.n * s.p * STRONGEST),
    Pass("rows by landmarks", "nystrom, anova, paper", lambda s: s.n * s.p * (s.landmarks or 0)),
    Pass(
        "class by class",
        "classes",
        lambda s: s.n * s.p**2 / 2 + (s.classes * s.p) ** 2 / 4,
        lambda s: 0 < s.classes <= MOST_CLASSES,
        weight=1.8,
    ),
    Pass(
        "nearest rows",
        "neighbours",
        lambda s: s.n**2 * (s.d_student + s.d_teacher * (3 if s.d_student == s.d_teacher else 2)),
        lambda s: s.neighbours > 0,
        rate="single",
        weight=2.2,
    ),
)


SECOND_RUN = tuple(each for each in PASSES if each.name in ("row by row", "rows by landmarks"))


def planned_second_run(pairs: Sequence[Sizes], rates: Rates) -> tuple[str, float]:
    """A line about what networks run again for, and the seconds that it takes beside their running."""
    adds = sum(each.multiply_adds(sizes) for sizes in pairs for each in SECOND_RUN)
    seconds = sum(each.seconds(sizes, rates) for sizes in pairs for each in SECOND_RUN)
    gives = ", ".join(each.gives for each in SECOND_RUN)
    return f"  second run: {adds:.2g} multiply-adds, {in_seconds(seconds)}, for {gives}, outputs", seconds


def seconds_of_pair(sizes: Sizes, rates: Rates) -> float:
    """Of all passes and of what is made of their sums."""
    passes = sum(each.seconds(sizes, rates) for each in PASSES if each.wanted(sizes))
    return passes + (DECOMPOSITIONS * sizes.p**3 + 4 * (sizes.landmarks or 0) ** 3) / rates.decompositions


def planned(sizes: Sizes, route: str, rates: Rates | None = None) -> Iterator[str]:
    """A line about the loss, and one for each pass of the report, with seconds where this machine's rates are known."""
    first = "gram" if route == "auto" else route
    ahead = plan(n=sizes.n, d_student=sizes.d_student, d_teacher=sizes.d_teacher, route=first)
    yield str(replace(ahead, why="the report needs these sums") if route == "auto" else ahead)
    wanted = [each for each in PASSES if each.wanted(sizes)]
    for number, each in enumerate(wanted, start=1):
        time = "" if rates is None else f", {in_seconds(each.seconds(sizes, rates))},"
        yield f"  pass {number}, {each.name}: {each.multiply_adds(sizes):.2g} multiply-adds{time} for {each.gives}"
    yield (
        f"  all passes: {sum(each.multiply_adds(sizes) for each in wanted):.2g} multiply-adds, "
        f"{in_bytes(len(wanted) * sizes.bytes_read)} read"
    )


def grid_widths(match: Match) -> tuple[list[int], list[int]]:
    """Of the teacher's layers and of the student's, each once."""
    teacher, student = (
        [X.shape[1] for X in {pair.names[key]: getattr(pair, side) for pair in match.pairs()}.values()]
        for key, side in SIDES
    )
    return teacher, student


def seconds_of_grid(n: int, teacher: Sequence[int], student: Sequence[int], rates: Rates) -> float:
    """Of one pass over all layers and of what is made of the sums of each two."""
    products = n * (sum(d * d for d in (*teacher, *student)) / 2 + sum(teacher) * sum(student))
    small = sum((t + s) ** 3 for t in teacher for s in student)
    return products / rates.double + DECOMPOSITIONS / 2 * small / rates.decompositions + PER_ROW * n


def planned_grid(n: int, teacher: Sequence[int], student: Sequence[int], *, by_kernels: bool) -> str:
    """A line about all pairs of layers, from the layers' widths."""
    T, S = sum(teacher), sum(student)
    grams = n * (sum(d * d for d in (*teacher, *student)) / 2 + T * S)
    own, pairs = n * n * (T + S) / 2, len(teacher) * len(student)
    if by_kernels:
        ways = f"n x n kernels, each layer's once: {own:.2g} multiply-adds, and {pairs * n * n:.2g} between them"
    else:
        ways = f"each layer's Gram and each product of two layers, one pass: {grams:.2g} multiply-adds"
    return f"{len(teacher)} x {len(student)} layers, {pairs} pairs by {ways}"


def planned_kernel(n: int, p: int, kernel: str, *, by_blocks: bool) -> str:
    """A line about a pair under a kernel that has no features."""
    if not by_blocks:
        return f"{kernel} kernel from drawn pairs of {n:,} examples, at a cost that hardly grows with them"
    return f"{kernel} kernel, all {n:,} x {n:,} entries: {n**2 * p / 2:.2g} multiply-adds"
