"""Fields of a report beside the loss and its ladder: other measures of similarity, and what two networks answer."""

from __future__ import annotations

from dataclasses import dataclass

from kernelscope.kernels.similarity.outputs import Calibration, Flips, TopK

Interval = tuple[float, float]


def key_of(name: str) -> str:
    """A field's key in JSON: its name, without the underscore that a word of Python's own needs."""
    return name.removesuffix("_")


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
class Outputs:
    """Two networks' logits: share of rows put in the same class, and KL divergence of the student in nats.

    See :class:`kernelscope.kernels.similarity.outputs.Outputs`. A twin of it for its defaults alone: the first reports
    had no more than the two numbers.
    """

    agreement: float
    kl: float
    changed: float | None = None
    top_k: TopK | None = None
    flips: Flips | None = None
    calibration: Calibration | None = None
