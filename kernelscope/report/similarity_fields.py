"""Fields of a report beside the loss and its ladder: other measures of similarity, and what two networks answer."""

from __future__ import annotations

from dataclasses import dataclass

Interval = tuple[float, float]


def key_of(name: str) -> str:
    """A field's key in JSON: its name, without the underscore that a word of Python's own needs."""
    return name.removesuffix("_")


@dataclass(frozen=True)
class WithinClass:
    """CKA with every class's mean taken off, and its mean over permutations inside classes (docs/theory.md 6.2)."""

    value: float
    chance: float


@dataclass(frozen=True)
class Gulp:
    """``‖H_S − H_T‖_F``, what any ridge probe would notice; ``lambda_`` over each network's mean eigenvalue of Σ."""

    value: float
    lambda_: float


@dataclass(frozen=True)
class Prefix:
    """The first ``dims`` features of both networks; numbers are None where the teacher's are all 0."""

    dims: int
    transfer_loss: float | None
    interval: Interval | None
    scaled: float | None
    cka: float | None


@dataclass(frozen=True)
class TopK:
    k: int
    overlap: float
    chance: float


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error of both networks."""

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
    interval: Interval | None


@dataclass(frozen=True)
class Flips:
    """Shares of examples whose answer became wrong, and right; ``accuracy_interval``: 95 % of the difference, paired.

    ``classes`` None where there are more than 200.
    """

    right_to_wrong: float
    wrong_to_right: float
    accuracy_difference: float
    accuracy_interval: Interval | None
    classes: tuple[ClassFlips, ...] | None


@dataclass(frozen=True)
class Outputs:
    """Two networks' logits: share of rows put in the same class, and KL divergence of the student in nats.

    See :class:`kernelscope.kernels.similarity.outputs.Outputs`.
    """

    agreement: float
    kl: float
    changed: float | None = None
    top_k: TopK | None = None
    flips: Flips | None = None
    calibration: Calibration | None = None
