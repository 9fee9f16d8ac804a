"""Measuring from sums: of shards that were added up elsewhere, of rows that are added up now, or of both.

A report has what one pass gives (:func:`kernelscope.measurement.grid.measure_summed`) and, of class means, what
class sums give without rows; the rest is null.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.errors import (
    DegenerateKernel,
    KernelscopeError,
    Mismatch,
    UnreadableInput,
    UsageError,
    one_line,
    shown,
)
from kernelscope.features.shard_sums import (
    RowFingerprint,
    Shard,
    ShardSums,
    SummedLayer,
    SummedNetwork,
    halves_by_id,
    kept_ids,
)
from kernelscope.features.sums_file import read_sums
from kernelscope.kernels.distance.column_grid import Grid
from kernelscope.kernels.distance.layer_grid import Onlooker, layer_sums
from kernelscope.kernels.distance.slices import LIMITS
from kernelscope.kernels.halves import by_rows
from kernelscope.kernels.nystrom.class_sums import ClassSummation
from kernelscope.kernels.nystrom.from_sums import LandmarkRows
from kernelscope.kernels.one_thread import one_thread
from kernelscope.kernels.rounding import frobenius
from kernelscope.kernels.rows import Key, Rows, Summed, storage_roundoff
from kernelscope.kernels.shares import Share
from kernelscope.kernels.similarity.diagonals import DiagonalSummation
from kernelscope.measurement import students
from kernelscope.measurement.grid import measure_summed, read_together
from kernelscope.measurement.layer_pairs import Examples, LayerNames, LayerPair
from kernelscope.measurement.summed_numbers import beside_grams, class_mean_fields, landmark_row_fields
from kernelscope.report.fields import NetworkReport

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from kernelscope.kernels.distance.layer_grid import LayerSums
    from kernelscope.kernels.nystrom.landmarks import Landmarks
    from kernelscope.measurement.layer_pairs import Match
    from kernelscope.measurement.pair_numbers import Measured, PairSettings

ON_GRID = "rounded to 30 bits of each column, inside the intervals: the same bits in any order of rows and shards"


@dataclass(frozen=True)
class Summation:
    """How rows are added up: ``reproducible``, on a grid, which is that of the files ``grid`` where some are given."""

    sums_out: str | os.PathLike[str] | None = None
    reproducible: bool = False
    grid: Any = None

    def grid_for(self, rows: Mapping[Key, Rows], before: ShardSums | None) -> Grid | None:
        """The grid of sums that exist already, or of files, or of these rows; None for sums on none.

        Raises:
            Mismatch: files without a grid, or of other layers.
        """
        if not self.reproducible:
            return None
        known = before if self.grid is None else sums_in(self.grid, as_grids=True)
        if known is None:
            return Grid.of(rows)
        if (found := known.sums.grid) is None:
            raise Mismatch(f"{shown(known.origin)} was summed without --reproducible and has no grid; sum it so")
        widths = {key: len(exponents) for key, exponents in found.exponents.items()}
        if widths != {key: X.shape[1] for key, X in rows.items()}:
            raise Mismatch(f"{shown(known.origin)} has the grid of other layers; give sums of the same")
        return found


def summed(matched: Sequence[Match] | None, *, given: Any, how: Summation) -> ShardSums:
    """The sums of all files that were ``given``, and of the rows of a teacher and a student where there are some.

    Raises:
        UsageError: several students. UnreadableInput: a file that is damaged, or none that matches a pattern.
        Mismatch: sums that do not add. DegenerateKernel: rows of a size of which sums leave double precision.
    """
    if matched is not None and len(matched) > 1:
        raise UsageError(f"sums are of one student, and {len(matched)} were given; sum each to a file of its own")
    found = sums_in(given)
    if matched is not None:
        own = sums_of(matched[0], how, found)
        require_moderate(own.sums)
        found = own if found is None else found.added(own)
    if found is None:
        raise UsageError("no sums given; pass one file at least")
    return found


def sums_in(given: Any, *, as_grids: bool = False) -> ShardSums | None:
    """All files of sums that were given, or that a pattern stands for, added up; None for none.

    ``as_grids``: the first of them, on the finest grid that has room for all.
    """
    listed = given if isinstance(given, (list, tuple)) else [given]
    found: ShardSums | None = None
    for path in (path for each in listed if each is not None for path in students.matched(each)):
        read = read_sums(path)
        if found is not None and as_grids:
            read = found.on_grid_with(read)
        elif found is not None:
            read = found.added(read)
        found = read
    return found


def sums_of(
    match: Match,
    how: Summation,
    before: ShardSums | None = None,
    landmarks: Landmarks | None = None,
    *,
    once: bool = True,
    onlookers: Sequence[Onlooker] = (),
) -> ShardSums:
    """One pass over the rows of a teacher and a student, after one for their grid.

    ``before``: what they are added to; ``landmarks``: single rows, to be caught as they pass; ``once``: as of
    :func:`kernelscope.kernels.distance.layer_grid.layer_sums`, which sums that are to be added to others need;
    ``onlookers``: see every block of rows too.

    Raises:
        Mismatch: an entry beyond the grid. NumericalError: NaN or infinite features.
    """
    pairs = list(match.pairs())
    rows = rows_by_layer(pairs)
    teacher, student = ({name: X for (of, name), X in rows.items() if of == role} for role in ("teacher", "student"))
    streams = read_together(match)
    grid = how.grid_for(rows, before)
    examples, digest, diagonals = match.examples, RowFingerprint(), DiagonalSummation(rows, grid)
    by_class = None if examples.labels is None else ClassSummation(examples.labels, rows, grid)
    order = examples.order_sha256
    caught = None if landmarks is None else LandmarkRows(landmarks, rows)
    wanted = (diagonals, None if order else digest, by_class, caught)
    beside: list[Onlooker] = [*onlookers, *(each for each in wanted if each is not None)]
    second = by_rows(examples.second_half) if grid is None else halves_by_id(examples.ids)
    sums = layer_sums(teacher=teacher, student=student, once=once, beside=beside, grid=grid, second=second)
    share = Share.of(sums.n)
    for stream in streams:
        stream.take_in_others()
    if caught is not None:
        caught.take_in_others(share)
    fingerprint = f"ids:{order}" if order else f"rows:{digest.of_all(share)}"
    ran = match.student.ran is not None and how.sums_out is not None
    name = Path(how.sums_out).name if ran and how.sums_out is not None else match.student.name
    sides = {"teacher": match.teacher, "student": match.student}
    return ShardSums(
        origin=name,
        teacher=_network(match.teacher.report),
        student=_network(match.student.report),
        layers=tuple(
            SummedLayer(role, layer, X.shape[1], stored_type(X, grid), sides[role].features.pool(layer))
            for (role, layer), X in rows.items()
        ),
        pairs=match.layers,
        unit=match.unit(match.layers[0][1]),
        split=examples.split,
        classes=examples.classes if by_class is not None else (),
        shards=(Shard(name, sums.n, fingerprint, kept_ids(examples.ids)),),
        sums=sums,
        diagonals=diagonals.total().of_all(share),
        by_class=None if by_class is None else by_class.total().of_all(share),
        notes=pairs[0].notes,
        caught=caught,
    )


def rows_by_layer(pairs: Sequence[LayerPair]) -> dict[Key, Rows]:
    """Every layer's rows once, by role and name: the teacher's first, each network's by name."""
    teacher = {("teacher", pair.names["teacher_layer"]): pair.teacher for pair in pairs}
    student = {("student", pair.names["student_layer"]): pair.student for pair in pairs}
    return dict(sorted(teacher.items())) | dict(sorted(student.items()))


def _network(report: NetworkReport) -> SummedNetwork:
    return SummedNetwork(report.name, report.sha256, report.arch, report.top1)


def stored_type(X: Rows, grid: Grid | None = None) -> str:
    """By which :func:`storage_roundoff` of rows that are gone is that of these rows; on a grid they lose as float32."""
    kinds = ("float64", "float32", "float16", "bfloat16")
    kind = next(kind for kind in kinds if storage_roundoff(Summed((0, 0), kind)) == storage_roundoff(X))
    return "float32" if grid is not None and kind == "float64" else kind


def require_moderate(sums: LayerSums) -> None:
    """Files are added without knowing one another, so that no common factor can be chosen for them."""
    for (role, name), norm in immoderate(sums).items():
        raise DegenerateKernel(
            f"{role} layer {name} has a kernel of norm {norm:.2g}, and sums hold {LIMITS[0]:g} to {LIMITS[1]:g}; "
            "multiply the features of all shards by one power of two"
        )


def immoderate(sums: LayerSums) -> dict[Key, float]:
    """Layers of a size of which sums of products leave double precision, with the norms of their kernels."""
    norms = {key: frobenius(even[0] + odd[0]) for key, (even, odd) in sums.own.items() if key not in sums.zero}
    return {key: norm for key, norm in norms.items() if not LIMITS[0] < norm < LIMITS[1]}


def report_of(sums: ShardSums, settings: PairSettings) -> tuple[list[Measured], tuple[NetworkReport, NetworkReport]]:
    """Every pair of layers that was asked for, and the two networks.

    Raises:
        UnreadableInput: numbers that no rows have, as of a file that was changed on purpose.
    """
    networks = tuple(
        NetworkReport(each.name, each.sha256, each.arch, each.top1) for each in (sums.teacher, sums.student)
    )
    threads = contextlib.nullcontext() if sums.sums.grid is None else one_thread()
    try:
        with threads as one, np.errstate(invalid="raise", divide="raise", over="raise"):
            note: tuple[str, ...] = () if one is None else (ON_GRID if one else f"{ON_GRID}, on as many threads",)
            found = [_measured(sums, t, s, settings, note) for t, s in sums.pairs]
    except KernelscopeError:
        raise
    except (ArithmeticError, ValueError, np.linalg.LinAlgError) as error:
        raise UnreadableInput(
            f"{shown(sums.origin)} holds sums that no rows have ({one_line(str(error), 50)}); sum the shards again"
        ) from error
    return found, (networks[0], networks[1])


def _measured(
    sums: ShardSums, teacher_layer: str, student_layer: str, settings: PairSettings, note: tuple[str, ...]
) -> Measured:
    stated = {layer.key: layer for layer in sums.layers}
    T, S = stated["teacher", teacher_layer], stated["student", student_layer]
    names = LayerNames(
        teacher=sums.teacher.name,
        student=sums.student.name,
        teacher_layer=teacher_layer,
        student_layer=student_layer,
        pool=S.pool,
        unit=sums.unit,
    )
    alone = sums.shards[0].fingerprint.removeprefix("ids:") if len(sums.shards) == 1 else None
    order = None if alone is None or alone.startswith("rows:") else alone
    examples = Examples(None, None, sums.classes, order, sums.split)
    X_T, X_S = (Summed((sums.n, layer.width), layer.dtype) for layer in (T, S))
    pair = LayerPair(X_T, X_S, examples, names, (*sums.notes, added_up(sums), *note))
    measured, scaled = measure_summed(pair, sums.sums, settings)
    found = beside_grams(measured.report, sums.diagonals, scaled, (S.key, T.key))
    by_means, notes = class_mean_fields(sums.by_class, scaled, (S.key, T.key), found.norm_difference)
    if sums.caught is not None:
        by_rows, notes = landmark_row_fields(sums.caught, scaled, (S.key, T.key), found.norm_difference)
        by_means = {name: value for name, value in by_means.items() if name == "within_class_cka"} | by_rows
    return replace(measured, report=replace(found, **by_means, notes=(*found.notes, *notes)))


def added_up(sums: ShardSums) -> str:
    """The note that tells how many shards and rows a number is of."""
    if len(sums.shards) == 1:
        return f"from the sums of one shard, {sums.n:,} rows"
    without = sum(shard.rows for shard in sums.shards if shard.ids is None)
    unknown = f"; of {without:,} no ids are kept, and whether two shards share some of them is not known"
    return f"from the sums of {len(sums.shards)} shards, {sums.n:,} rows{unknown if without else ''}"
