"""A report's fields, of a pair of layers and of a network: frozen values, one field per key of the JSON.

Every field is always present; what does not exist for a pair is None and the pair's ``notes`` say why. Meanings,
directions and ranges stand in docs/report.md. Where the mathematics gives a frozen value with the very fields of the
JSON, the report holds that value: renaming a field there renames a key of the report.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kernelscope.kernels.nystrom import spectrum
from kernelscope.kernels.nystrom.anova import Shares
from kernelscope.kernels.nystrom.intervals import Theorem2
from kernelscope.kernels.nystrom.spectrum import LandmarkSpectrum as LandmarkSpectrum
from kernelscope.kernels.similarity.neighbours import Neighbours
from kernelscope.kernels.similarity.within_class import WithinClass
from kernelscope.report.eigenvector_fields import DifferenceEigenvector
from kernelscope.report.similarity_fields import Gulp, Outputs, Prefix

Interval = tuple[float, float]
#: marks a field that the first reports of this version lacked: read without its key, it is its default. Every new field
#: of a pair carries it, so that reports that were saved before it stay readable.
LATER = {"later": True}


@dataclass(frozen=True)
class Ladder:
    """What remains of the loss after each fix; every rung in units of its own ‖K_T‖_F (docs/theory.md 5.2)."""

    raw: float
    scaled: float
    centred: float | None
    head: float | None
    head_held_out: float | None
    width_floor: float | None


@dataclass(frozen=True)
class Null:
    """Chance: the same two networks with the student's examples shuffled (docs/theory.md 7).

    ``p_corrected``: where the pair is one of a grid, the p-value of having searched it (see
    :mod:`kernelscope.kernels.statistics.best_of_many`).
    """

    transfer_loss: float | None
    cka_mean: float | None
    cka_sd: float | None
    cka_skewness: float | None
    p_value: float | None
    above_chance: float | None
    p_corrected: float | None = None


@dataclass(frozen=True)
class LandmarkChoice:
    """How landmarks were chosen: the specification, their number, the seed if they were drawn."""

    strategy: str
    m: int
    seed: int | None


@dataclass(frozen=True)
class Nystrom:
    """The partial matrices ``C`` of both networks against one another, and what Nyström leaves of each kernel."""

    partial_norm: float
    partial_ratio: float | None
    expanded_estimate: float | None
    residual_teacher: float
    residual_student: float
    tail_teacher: float
    tail_student: float


@dataclass(frozen=True)
class LandmarkSpectra:
    """Of ``W_T`` and ``W_S``."""

    teacher: LandmarkSpectrum
    student: LandmarkSpectrum


@dataclass(frozen=True)
class FeatureSpectrum(spectrum.FeatureSpectrum):
    """Of one network's features.

    Attributes:
        mean_share: of ‖X‖², what the mean carries.
        centred_effective_rank: without the mean; 0 for features that are constant.
        row_length: of all rows, to a thousandth; None where they differ.
    """

    mean_share: float | None = None
    centred_effective_rank: float | None = None
    row_length: float | None = None


@dataclass(frozen=True)
class FeatureSpectra:
    """Of both networks."""

    teacher: FeatureSpectrum
    student: FeatureSpectrum


@dataclass(frozen=True)
class DifferenceSpectrum:
    """Of ``K_S − K_T``: its largest eigenvalues by size, its norms, and how many are positive and negative."""

    eigenvalues: tuple[float, ...]
    spectral_norm: float
    nuclear_norm: float
    positive: int
    negative: int


@dataclass(frozen=True)
class Classes:
    """Shares of ``‖K_S − K_T‖²`` by class of row and class of column."""

    names: tuple[str, ...]
    loss: tuple[tuple[float, ...], ...]
    sizes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class WorstExample:
    """One example and the share of ``‖K_S − K_T‖²`` in its row.

    ``thumbnail``: of an image, a small PNG as a data URI; None where there is none.
    """

    id: str
    index: int
    label: str | None
    share: float
    thumbnail: str | None = None


@dataclass(frozen=True)
class Outliers:
    """Few examples that carry most of ‖K_T‖².

    ``count`` of them carry half of it; ``loss_without`` is the loss without the ``left_out`` heaviest.
    """

    count: int
    left_out: int
    loss_without: float | None


@dataclass(frozen=True)
class BoundValue:
    """A bound on this pair, in the units of ``norm_difference``."""

    value: float
    over_truth: float | None
    holds: bool
    vacuous: bool
    assumption: str | None


@dataclass(frozen=True)
class Paper:
    """The paper's own quantities: Figure 4's estimate, Theorem 2's terms, every bound by name."""

    estimate: float
    theorem2: Theorem2 | None
    bounds: dict[str, BoundValue | None]


@dataclass(frozen=True)
class Reference:
    """A baseline, to read the student's loss by: another network against the same teacher, untrained or reseeded.

    ``intervals``: rounding intervals of the first three numbers, by their names.
    """

    name: str
    transfer_loss: float
    scaled: float
    head: float | None
    cka: float | None
    intervals: dict[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True)
class Warning:
    """A caution with a code that programs can match."""

    code: str
    text: str


@dataclass(frozen=True, kw_only=True)
class PairReport:
    """One teacher layer against one student layer.

    ``intervals``: by dotted field (``ladder.head``), where the exact value for the features as stored lies, of fields
    other than the loss that rest on a difference of kernels.

    Examples:
        >>> import numpy as np, kernelscope as ks
        >>> X = np.random.default_rng(0).standard_normal((100, 8))
        >>> (pair,) = ks.measure(teacher=X, student=2 * X)
        >>> round(pair.transfer_loss, 6), round(pair.ladder.scaled, 6), round(pair.cka, 6)
        (3.0, 0.0, 1.0)
    """

    teacher: str
    student: str
    teacher_layer: str
    student_layer: str
    pool: str | None
    split: str | None
    unit: str
    n: int
    d_teacher: int
    d_student: int
    order_sha256: str | None
    kernel: str
    transfer_loss: float
    rounding_interval: Interval
    rounding_certified: bool
    resolved: bool
    storage_floor: float
    sampling_interval: Interval | None = None
    population_loss: float | None = field(default=None, metadata=LATER)
    route: str
    norm_teacher: float
    norm_student: float
    norm_difference: float
    alignment: float | None = None
    scale_ratio: float
    optimal_scale: float | None = None
    cka: float | None = None
    cka_debiased: float | None = None
    within_class_cka: WithinClass | None = field(default=None, metadata=LATER)
    procrustes: float | None = field(default=None, metadata=LATER)
    gulp: Gulp | None = field(default=None, metadata=LATER)
    centred_scale_ratio: float | None = field(default=None, metadata=LATER)
    ladder: Ladder
    null: Null
    landmarks: LandmarkChoice | None = None
    nystrom: Nystrom | None = None
    landmark_spectrum: LandmarkSpectra | None = None
    feature_spectrum: FeatureSpectra | None = None
    difference_spectrum: DifferenceSpectrum | None = None
    difference_eigenvectors: tuple[DifferenceEigenvector, ...] | None = field(default=None, metadata=LATER)
    anova: Shares | None = None
    classes: Classes | None = None
    worst: tuple[WorstExample, ...] | None = None
    paper: Paper | None = None
    neighbours: Neighbours | None = field(default=None, metadata=LATER)
    outputs: Outputs | None = field(default=None, metadata=LATER)
    prefixes: tuple[Prefix, ...] | None = field(default=None, metadata=LATER)
    references: tuple[Reference, ...] = field(default=(), metadata=LATER)
    outliers: Outliers | None = field(default=None, metadata=LATER)
    intervals: dict[str, Interval] = field(default_factory=dict, metadata=LATER)
    verdict: str | None = field(default=None, metadata=LATER)
    warnings: tuple[Warning, ...] = ()
    notes: tuple[str, ...] = ()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """In IPython and Jupyter: which pair it is, its loss and its sentence; the rest by name."""
        layers = f"{self.student_layer} against {self.teacher}, {self.teacher_layer}"
        printer.text(f"<PairReport {self.student}, {layers}: loss {self.transfer_loss:.4g}; {self.verdict}>")


@dataclass(frozen=True)
class Comparison:
    """Loss of ``first`` minus that of ``second`` at the same layers and on the same examples, 95 % over examples.

    ``difference`` is that of their ``population_loss``. The paired interval is narrower than the two students' own:
    what examples do to both cancels.
    ``rounding_interval`` is where the exact difference of the two losses lies on these examples. ``decided``: which of
    them is lower holds when all comparisons at these layers are judged together (Holm's procedure at 5 %).
    """

    teacher_layer: str
    student_layer: str
    first: str
    second: str
    difference: float
    interval: Interval
    rounding_interval: Interval | None = None
    decided: bool = False


@dataclass(frozen=True)
class NetworkReport:
    """A network that took part: where it came from and how it was trained, as far as its file states it."""

    name: str
    sha256: str | None
    arch: str | None
    top1: float | None
    history: list[dict[str, object]] | None = None
    trajectory: list[dict[str, object]] | None = None
