"""Every teacher layer against every student layer by their n × n kernels, where examples are few.

A layer's kernel, its centred kernel, their spectra, moments and bases are each computed once, however many layers of
the other network it meets. What is left to a pair are sums over n² entries, and one decomposition of ``X_Sᵀ X_T``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import DegenerateKernel, ResourceError
from kernelscope.kernels.distance.exact import ATOL
from kernelscope.kernels.distance.gram import COMFORTABLE
from kernelscope.kernels.distance.kernel_pair import KernelPair
from kernelscope.kernels.distance.own_kernel import OwnKernel, own_kernel
from kernelscope.kernels.distance.plan import few_examples
from kernelscope.kernels.rows import largest_entry, storage_roundoff
from kernelscope.kernels.similarity.kernel_ladder import HeadStart, kernel_rungs
from kernelscope.kernels.similarity.procrustes import procrustes_of_kernels
from kernelscope.kernels.statistics.best_of_many import Searched, best_of_drawings
from kernelscope.kernels.statistics.moments import Moments, moments
from kernelscope.kernels.statistics.permutations import centred_kernel, shuffled
from kernelscope.measurement.chance_numbers import null_of_norms
from kernelscope.measurement.pair_numbers import (
    Measured,
    PairSettings,
    companion_fields,
    identity_fields,
    ladder_intervals,
    loss_fields,
    loss_intervals,
)
from kernelscope.measurement.similarity_numbers import spectrum_fields_of
from kernelscope.measurement.warnings import head_cautions
from kernelscope.report import fields
from kernelscope.report.notes import ONE_PASS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kernelscope.kernels.rows import Rows
    from kernelscope.measurement.layer_pairs import LayerPair

KEPT = 6  #: n × n matrices kept of a layer


@dataclass(frozen=True, eq=False)
class Layer:
    """What belongs to a layer, each part computed where a pair asks for it first."""

    own: OwnKernel
    memory_bytes: int

    @cached_property
    def centred(self) -> OwnKernel:
        return self.own.centred(self.memory_bytes)

    @cached_property
    def spectrum(self) -> fields.FeatureSpectrum:
        roundoff = storage_roundoff(self.own.X)
        return spectrum_fields_of(self.own.spectrum, self.centred.spectrum, len(self.own.K), roundoff)

    @cached_property
    def moments(self) -> Moments | None:
        return None if self.centred.norm == 0 else moments(self.centred.rows, self.centred.gram)

    def drawn(self, examples: np.ndarray) -> np.ndarray | None:
        """The kernel of these examples, centred over them and of norm 1; None if nothing is left of it."""
        K, norm = self.centred.K, self.centred.norm
        if norm == 0:
            return None
        drawn = K[np.ix_(examples, examples)]
        return drawn / norm if len(drawn) == len(K) else centred_kernel(drawn)

    @cached_property
    def head_start(self) -> HeadStart:
        return HeadStart(self.own)


Layers = dict[tuple[str, str], Layer]  #: by role (``teacher`` or ``student``) and name


def kernels_serve_better(teacher: Mapping[str, Rows], student: Mapping[str, Rows], memory_bytes: int) -> bool:
    """Whether layers go by kernels: there are no more examples than features, and kernels fit in the memory.

    Raises:
        ResourceError: kernels that do not fit, of layers whose Grams are larger yet.
    """
    n, sides = next(iter(teacher.values())).shape[0], (teacher, student)
    if not few_examples(n, sum(max(X.shape[1] for X in side.values()) for side in sides)):
        return False
    layers = len(teacher) + len(student)
    needed = 8 * KEPT * n * n * layers
    if needed > memory_bytes and needed < _bytes_of_grams(teacher, student):
        raise ResourceError(
            f"kernels of {n} examples of {layers} layers take {needed:,} bytes; raise --max-memory, or name "
            "fewer --layers"
        )
    return needed <= memory_bytes


def layers_by_kernels(teacher: Mapping[str, Rows], student: Mapping[str, Rows], memory_bytes: int) -> Layers | None:
    """Every layer's kernel; None where squares leave float64."""
    sides = {"teacher": teacher, "student": student}
    found = {}
    for (role, name), X in (((role, name), X) for role, side in sides.items() for name, X in side.items()):
        try:
            own = own_kernel(X, f"{role} features of layer {name}", memory_bytes)
        except DegenerateKernel:  # overflow, which each pair is then rescaled for
            return None
        zero = role == "student" and own.norm == 0 and largest_entry(X) == 0
        if not (COMFORTABLE[0] < own.norm < COMFORTABLE[1] or zero):
            return None
        found[role, name] = Layer(own, memory_bytes)
    return found


def _bytes_of_grams(*sides: Mapping[str, Rows]) -> int:
    """What :class:`kernelscope.kernels.distance.layer_grid.LayerSums` would take, of even and of odd rows."""
    teacher, student = ([X.shape[1] for X in side.values()] for side in sides)
    return 2 * 8 * (sum(d * d for d in (*teacher, *student)) + sum(teacher) * sum(student))


def measure_by_kernels(
    pairs: Mapping[tuple[str, str], LayerPair], layers: Layers, settings: PairSettings
) -> Iterator[Measured]:
    """What :func:`kernelscope.measurement.grid.measure_grid` says of each two layers."""
    searched = best_of_drawings(
        teacher={name: layer.drawn for (role, name), layer in layers.items() if role == "teacher"},
        student={name: layer.drawn for (role, name), layer in layers.items() if role == "student"},
        n=next(iter(pairs.values())).teacher.shape[0],
        seed=settings.seed,
        groups=next(iter(pairs.values())).examples.groups,
    )
    for (t, s), pair in pairs.items():
        yield _measure(pair, layers["teacher", t], layers["student", s], settings, searched.get((t, s)))


def _measure(
    pair: LayerPair, teacher: Layer, student: Layer, settings: PairSettings, searched: Searched | None
) -> Measured:
    both = KernelPair.of(student=student.own, teacher=teacher.own)
    centred = KernelPair(student.centred, teacher.centred, both.same)
    loss = both.loss(settings.rtol, ATOL)
    rungs = kernel_rungs(both, centred, student.head_start)
    S, T = student.moments, teacher.moments
    own = None if S is None or T is None else (S, T)
    null, on_chance = null_of_norms(
        both,
        centred,
        own,
        lambda: shuffled(teacher=pair.teacher, student=pair.student, seed=settings.seed, groups=pair.examples.groups),
        searched,
        in_groups=pair.examples.groups is not None,
    )
    spectra = fields.FeatureSpectra(teacher.spectrum, student.spectrum)
    report = fields.PairReport(
        **identity_fields(pair, pair.kernel),
        **loss_fields(loss),
        **companion_fields(loss, both, centred, own, rungs, null, spectra),
        procrustes=procrustes_of_kernels(centred),
        intervals=loss_intervals(loss) | ladder_intervals(rungs),
        warnings=(*pair.warnings, *head_cautions(both.n, both.d_student, rungs.head)),
        notes=(*pair.notes, ONE_PASS, *on_chance),
    )
    return Measured(report, None)
