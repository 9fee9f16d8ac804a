"""``measure``: two or more networks in, a TransferReport out."""

from __future__ import annotations

import datetime
import inspect
import platform
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import devices, exchange
from kernelscope.errors import by_name
from kernelscope.features.request import Progress, Request, taking
from kernelscope.features.sums_file import write_sums
from kernelscope.kernels.distance.exact import RTOL
from kernelscope.kernels.nonlinear.functions import parse_kernel
from kernelscope.kernels.similarity.prefixes import require_dims
from kernelscope.measurement.baselines import Baselines
from kernelscope.measurement.comparisons import compare
from kernelscope.measurement.expected import Expected
from kernelscope.measurement.from_sums import Summation, report_of, summed
from kernelscope.measurement.honoured import (
    needs_own_passes,
    require_inputs,
    require_of_kernel,
    require_one_pass,
    require_passes,
    require_sums,
)
from kernelscope.measurement.inputs import Given, networks_among, open_inputs
from kernelscope.measurement.layer_choice import LayerChoice
from kernelscope.measurement.layer_pairs import Correspondence, Match, matches
from kernelscope.measurement.memory_limit import within_grid
from kernelscope.measurement.pair_numbers import PairSettings
from kernelscope.measurement.planning import plan as announce_plan
from kernelscope.measurement.preparation import Preparation
from kernelscope.measurement.similarity_numbers import require_prefixes
from kernelscope.measurement.student_layers import measure_match
from kernelscope.measurement.thumbnails import with_thumbnails
from kernelscope.report.report import TransferReport
from kernelscope.report.verdict import verdict
from kernelscope.version import __version__

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from kernelscope.report.fields import PairReport


@by_name
@devices.faults()
@exchange.joint()
def measure(
    *,
    teacher: Any = None,
    student: Any = None,
    names: str | Sequence[str] | None = None,
    labels: Any = None,
    groups: Any = None,
    data: Any = None,
    split: str | None = None,
    limit: int | None = None,
    n: int | None = None,
    sample: int | None = None,
    skip_unreadable: bool = False,
    preprocess: list[dict[str, Any]] | None = None,
    align: str | None = None,
    join: str | None = None,
    teacher_ids: Any = None,
    student_ids: Any = None,
    layers: str | Sequence[str] | None = None,
    teacher_layers: str | Sequence[str] | None = None,
    student_layers: str | Sequence[str] | None = None,
    pairs: str | None = None,
    pool: str = "auto",
    landmarks: Any = None,
    kernel: str = "linear",
    centre: bool = False,
    normalize: bool = False,
    neighbours: int | None = None,
    dims: Sequence[int] | None = None,
    references: Mapping[str, Any] | None = None,
    untrained: bool = False,
    route: str = "auto",
    rtol: float = RTOL,
    memory_bytes: int | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    seed: int = 0,
    batch_size: int = 256,
    cache: bool = True,
    features: bool = True,
    passes: int = 1,
    accuracy_check: bool = True,
    sums: Any = None,
    sums_out: str | os.PathLike[str] | None = None,
    expect: int | str | os.PathLike[str] | Sequence[str] | None = None,
    reproducible: bool = False,
    grid: Any = None,
    teacher_arch: str | None = None,
    teacher_arch_kwargs: dict[str, Any] | None = None,
    student_arch: str | Sequence[str | None] | None = None,
    student_arch_kwargs: Any = None,
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
    plan: bool = False,
) -> TransferReport:
    """How much of the teacher's kernel the student inherited, layer by layer, and how far the numbers can be trusted.

    Examples:
        >>> import numpy as np, kernelscope as ks
        >>> X = np.random.default_rng(0).standard_normal((200, 16))
        >>> report = ks.measure(teacher=X, student=2 * X)
        >>> round(report.transfer_loss, 6), round(report.ladder.scaled, 6)  # all of it is a factor
        (3.0, 0.0)

    Args: What to compare
        teacher: a checkpoint or feature file (path, or ``FILE::part``), several as a folder or ``shards:PATTERN``, an
            array, tensor or HDF5 dataset of shape ``(n, d_T)``, a dict of them by layer name, a table that offers an
            Arrow stream, a FeatureStore, or a module (with ``data``).
        student: the same for the student, or several: a list, a dict by name whose values are no arrays, a pattern of
            files (``"run_*.pt"``). names: of the students, one each, in the report.
        references: by name, other networks or features to read the loss by, such as a reseeded teacher.
        untrained: also measure an untrained copy of each student.
        dims: also compare the first k features of both networks (all of a narrower one), for each k of ``(64, 128)``.
        kernel: ``linear``, ``cosine``, ``ridge[:rho]``, ``rbf[:gamma]`` or ``poly[:degree[,offset]]``. Above 20,000
            examples the last two are estimated from drawn pairs unless ``route="blocked"``.
        centre: take off each layer's mean first. normalize: then scale every row to length 1.
        neighbours: how many nearest neighbours to compare, 0 for none; by default 10 of up to 10,000 examples.

    Args: Which rows and layers
        data: examples to run networks on: a data set's name (see ``docs/data.md``), ``(X, y)``, a Dataset, a DataLoader
            that does not shuffle, an iterable, a function that makes one of these; by default what checkpoints state.
        split, limit: which part of the data, and how many of its first examples.
        n: exactly so many of its first examples, which an iterable without a length needs.
        sample: so many examples drawn by ``seed``, each class in proportion where classes are known, in their order; of
            features and arrays the same rows on all sides. Labels and groups stand beside all examples.
        skip_unreadable: leave out examples that cannot be read, with a note.
        preprocess: operations in the place of those that data and checkpoints state.
        labels: class of each example, ``(n,)`` whole numbers from 0 on or words, in an array, a tensor, a list or a
            file (``.npy``, ``.npz``, ``.pt``, HDF5, a column of text); known already for checkpoints.
        groups: where examples were drawn in groups (frames of a film, patches of an image), the group of each, in the
            same form; sampling intervals then leave out whole groups.
        align: ``"ids"`` to pair re-ordered feature files by example id. join: ``"inner"`` to leave out, beside that,
            rows that one side alone has.
        teacher_ids, student_ids: ids of features that carry none, ``(n,)`` whole numbers or texts, in memory or a file
            of the kinds that labels have.
        layers: names or globs, comma-separated or a sequence; by default ``embedding,logits``. A glob may match in one
            of the networks only.
        teacher_layers, student_layers: the same for one side alone; layers are paired in their order.
        pairs: ``"T=S,..."`` pairs layers of different names; ``"all"`` measures every teacher layer against every
            student layer.
        pool: how maps and tokens become rows: auto, avg, mean, max, flatten, cls, last; token or patch makes every
            position a row, ``grid:7x7`` every cell of maps averaged down to 7 x 7.
        landmarks: a specification such as ``class-means:2`` or ``kmeans:50``, or a Landmarks value; by default class
            means where labels are known, else k-means cells.
        sums: files of sums (a path, a pattern, a sequence), written by ``sums_out``; with a teacher and a student their
            rows are added to them, without they are all that is measured.
        expect: how many rows the sums must have, or the fingerprints of their shards (a sequence, or a file that lists
            them).

    Args: How to compute
        route, rtol, device: see :func:`kernelscope.kernels.distance.exact.transfer_loss`.
        memory_bytes: the most that this process may have resident at its peak, what it holds already included; what
            cannot fit is refused. By default blocks take up to 512 MB, and the rest what it takes.
        dtype: storage type of extracted features; arithmetic is in float64.
        seed: of landmarks and of a sample that are drawn.
        cache: keep extracted features for the next call.
        accuracy_check: refuse a network whose top-1 is more than half a point from what its checkpoint states for the
            same examples.
        features: False runs networks straight into the sums, once: no file, memory independent of n, and only the
            numbers that one pass gives. passes: 2 runs them once more, for what needs sums first and then each row;
            memory then grows by some 256 bytes for each example.
        reproducible: round every column to 30 bits and add without rounding, so that every number is the same bits in
            any order of rows and shards; only what sums give. Two passes, the first for the largest entries.
        grid: files of reproducible sums whose largest entries decide how columns are rounded, for shards to add up.
        announce: called with one line per pair before it is computed: route, arithmetic, bytes read, memory.
        plan: announce all of them with seconds, from a short rehearsal, and how many examples ± 1 % would take, and
            measure none; networks run over two batches, and the report has no pairs.
        progress: called with a network's name, examples done and their number while features are extracted.

    Args: What to write
        sums_out: where to write the sums of everything measured, in the place of a file that exists.

    Raises:
        UnreadableInput, Mismatch, NumericalError, ResourceError, UsageError: see :mod:`kernelscope.errors`.
    """
    device = devices.require_device(device)
    asked = dict(locals())  # each value below takes the keywords that it has fields for
    by_sums = sums is not None or sums_out is not None or reproducible
    require_passes(passes, asked)
    require_inputs(asked, inspect.signature(measure).parameters)
    expected = Expected(expect)
    if teacher is None:
        return _from_sums(None, asked, expected)
    chosen = parse_kernel(kernel)
    preparation = Preparation(chosen, centre, normalize)
    if by_sums:
        require_sums(preparation, asked)
    elif not features:
        require_one_pass(preparation, asked)
    require_of_kernel(chosen, asked)
    request = taking(Request, asked)
    settings = taking(PairSettings, {**asked, "dims": None if dims is None else require_dims(dims)})
    given = Given.of(
        teacher,
        student,
        teacher_arch=(teacher_arch, teacher_arch_kwargs),
        student_arch=(student_arch, student_arch_kwargs),
        references=references,
        untrained=seed if untrained else None,
        ids=(teacher_ids, student_ids),
        choice=taking(LayerChoice, asked),
        names=names,
    )
    if plan and networks_among(given):
        request = replace(request, features=False, accuracy_check=False)  # a batch or two, and no file
    inputs = open_inputs(given, request)
    matched = matches(inputs, taking(Correspondence, asked))
    if by_sums:
        return _from_sums(matched, asked, expected)
    if settings.dims is not None:
        require_prefixes(settings.dims, [pair for match in matched for pair in match.pairs()], chosen)
    in_one_pass = preparation.leaves_rows and not needs_own_passes(asked)  # of all pairs of a grid
    if plan:
        announce_plan(inputs, matched, settings, preparation, together=in_one_pass, kept=features)
        return TransferReport(_meta(settings), (), ())
    baselines = Baselines(settings, preparation)
    measured = []
    for match in matched:
        together = match.streamed or (match.grid and in_one_pass)
        found = measure_match(match, settings, preparation, baselines, together=together)
        measured += with_thumbnails(match, found)
    return TransferReport(
        meta=_meta(settings),
        networks=tuple(network.report for network in (inputs.teacher, *inputs.students)),
        pairs=tuple(_with_verdict(each.report) for each in measured),
        comparisons=compare([(each.report, each.parts) for each in measured]),
    )


def _from_sums(matched: Sequence[Match] | None, asked: Mapping[str, Any], expected: Expected) -> TransferReport:
    """The report of files of sums, of rows that are added up now, or of both."""
    settings = taking(PairSettings, asked)
    for match in matched or ():
        within_grid(match, settings, in_two=True)
    how = taking(Summation, asked)
    several = matched is not None and asked["sums"] is asked["sums_out"] is None
    groups = [[match] for match in matched] if matched is not None and several else [matched]
    found = [summed(group, given=asked["sums"], how=how) for group in groups]
    for sums in found:
        expected.require(sums)
    reports = [report_of(sums, settings) for sums in found]
    if asked["sums_out"] is not None:
        with exchange.alike():
            if exchange.rank() == 0:
                write_sums(asked["sums_out"], found[0])
    return TransferReport(
        meta={**_meta(settings), "shards": [each.described for sums in found for each in sums.shards]},
        networks=(reports[0][1][0], *(students for _, (_, students) in reports)),
        pairs=tuple(_with_verdict(each.report) for measured, _ in reports for each in measured),
    )


def _meta(settings: PairSettings) -> dict[str, Any]:
    """When, with what, and what was asked for."""
    return {
        "kernelscope": __version__,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "device": settings.device,
        "rtol": settings.rtol,
        "route_asked": settings.route,
        "seed": settings.seed,
    }


def _with_verdict(pair: PairReport) -> PairReport:
    return replace(pair, verdict=verdict(pair))
