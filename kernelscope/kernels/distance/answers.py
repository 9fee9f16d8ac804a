"""Results: ‖K_S − K_T‖_F by one route with its interval, and the transfer loss that follows from it."""

from __future__ import annotations

from dataclasses import dataclass

from kernelscope.errors import NumericalError

OUTWARD = 2.0**-50  #: relative, by which the ends of an interval are moved apart for the roundings of forming them


@dataclass(frozen=True)
class TransferLoss:
    """The loss, with the interval in which the exact value for the features as stored lies.

    ``certified``: the interval is proved, not estimated. ``resolved``: its half-width is at most
    ``max(rtol · value, atol)``. ``storage_floor``: what storing the features in less than float64 may already
    have cost, in the same units.

    Examples:
        >>> import numpy as np, kernelscope as ks
        >>> X = np.eye(10)
        >>> loss = ks.transfer_loss(teacher=X, student=2 * X)  # K_S = 4 K_T
        >>> loss.value, loss.interval[0] <= 3 <= loss.interval[1], loss.certified
        (3.0, True, True)
    """

    value: float
    interval: tuple[float, float]
    certified: bool
    resolved: bool
    route: str
    norm_teacher: float
    norm_student: float
    norm_difference: float
    norm_difference_interval: tuple[float, float]
    storage_floor: float

    def __float__(self) -> float:
        return self.value


@dataclass(frozen=True)
class Answer:
    """‖K_S − K_T‖_F by one route, the interval ``low .. high`` it lies in, and what turns it into a ratio.

    ``teacher_error`` bounds the error of ``norm_teacher``; ``floor`` is what storage may have cost; ``unit`` what a
    norm of rescaled features is worth.
    """

    route: str
    value: float
    low: float
    high: float
    certified: bool
    norm_teacher: float
    norm_student: float
    teacher_error: float
    floor: float
    unit: float = 1.0

    def loss(self, rtol: float, atol: float) -> TransferLoss:
        """The ratio to ‖K_T‖_F.

        Raises:
            NumericalError: the teacher's norm is no larger than its error.
        """
        b, error = self.norm_teacher, self.teacher_error
        if not b > error:
            raise NumericalError("rounding may be all there is of the teacher's kernel; give features in float64")
        # outward, for the roundings of these very lines
        low, high = self.low / (b + error) * (1 - OUTWARD), self.high / (b - error) * (1 + OUTWARD)
        value = min(max(self.value / b, low), high)
        return TransferLoss(
            value=value,
            interval=(low, high),
            certified=self.certified,
            resolved=(high - low) / 2 <= max(rtol * value, atol),
            route=self.route,
            norm_teacher=b * self.unit,
            norm_student=self.norm_student * self.unit,
            norm_difference=min(max(self.value, self.low), self.high) * self.unit,
            norm_difference_interval=(
                self.low * self.unit * (1 - OUTWARD),
                self.high * self.unit * (1 + OUTWARD),
            ),
            storage_floor=self.floor / b,
        )
