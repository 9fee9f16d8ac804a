"""What K_S − K_T is made of: its spectrum, and the examples at the ends of its strongest eigenvectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernelscope.kernels.distance.tsqr import r_factor
from kernelscope.kernels.nystrom.spectrum import Decomposition, DifferenceSpectrum, decomposed, decomposed_gram
from kernelscope.kernels.similarity.difference_eigenvectors import difference_eigenvectors
from kernelscope.measurement.attribution import identity_of
from kernelscope.report import fields
from kernelscope.report.eigenvector_fields import DifferenceEigenvector, EndExample
from kernelscope.report.notes import ROWS_TELL

if TYPE_CHECKING:
    from kernelscope.kernels.distance.answers import TransferLoss
    from kernelscope.kernels.distance.exact import ScaledSums
    from kernelscope.kernels.similarity.difference_eigenvectors import Eigenspace, End
    from kernelscope.measurement.layer_pairs import Examples

GRAM_SHOWS_SPECTRUM = 1e-3  #: below this loss eigenvalues of K_S − K_T need the R-factor (docs/theory.md 3.1)


def difference_fields(
    scaled: ScaledSums, loss: TransferLoss, examples: Examples
) -> tuple[dict[str, Any], dict[str, fields.Interval]]:
    """The fields of a :class:`PairReport`, and the intervals of two of them."""
    decomposition = _decomposition(scaled, loss)
    spectrum = decomposition.spectrum()
    eigenvectors: tuple[DifferenceEigenvector, ...] | None = () if scaled.same else None
    if not scaled.same and loss.value > ROWS_TELL:  # else single rows drown in rounding
        eigenvectors = eigenvector_fields(difference_eigenvectors(scaled, decomposition), scaled, loss, examples)
    found = {
        "difference_spectrum": spectrum_fields(spectrum, scaled.unit),
        "difference_eigenvectors": eigenvectors,
    }
    return found, spectrum_intervals(spectrum, scaled.unit)


def _decomposition(scaled: ScaledSums, loss: TransferLoss) -> Decomposition:
    sums = scaled.sums
    if loss.value >= GRAM_SHOWS_SPECTRUM:
        return decomposed_gram(sums.gram, sums.d_student)
    return decomposed(r_factor(scaled.student, scaled.teacher), sums.d_student)


def spectrum_fields(found: DifferenceSpectrum, unit: float) -> fields.DifferenceSpectrum:
    """In the units of the features as given."""
    return fields.DifferenceSpectrum(
        eigenvalues=tuple(value * unit for value in found.eigenvalues),
        spectral_norm=found.spectral_norm * unit,
        nuclear_norm=found.nuclear_norm * unit,
        positive=found.positive,
        negative=found.negative,
    )


def spectrum_intervals(found: DifferenceSpectrum, unit: float) -> dict[str, fields.Interval]:
    """Estimated intervals of the difference's spectral and nuclear norm, by dotted field."""
    both = (
        ("spectral_norm", found.spectral_norm, found.spectral_error),
        ("nuclear_norm", found.nuclear_norm, found.nuclear_error),
    )
    return {
        f"difference_spectrum.{name}": (max(0.0, value - error) * unit, (value + error) * unit)
        for name, value, error in both
    }


def eigenvector_fields(
    found: list[Eigenspace], scaled: ScaledSums, loss: TransferLoss, examples: Examples
) -> tuple[DifferenceEigenvector, ...]:
    """As a report has them."""
    squared = (loss.norm_difference / scaled.unit) ** 2
    return tuple(
        DifferenceEigenvector(
            eigenvalue=each.eigenvalue * scaled.unit,
            interval=(each.low * scaled.unit, each.high * scaled.unit),
            share=min(1.0, each.squares / squared),
            dimension=each.dimension,
            positive=_examples(each.positive, examples, 1),
            negative=_examples(each.negative, examples, -1),
        )
        for each in found
    )


def _examples(end: End, examples: Examples, sign: int) -> tuple[EndExample, ...]:
    return tuple(
        EndExample(**identity_of(examples, row), entry=sign * entry)
        for row, entry in zip(end.rows.tolist(), end.entries.tolist())
    )
