"""``match``: which teacher layer for which student layer, ranked, corrected for the search, and one pairing."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from kernelscope import devices
from kernelscope.errors import UsageError, by_name, one_line
from kernelscope.features.request import Progress, Request, taking
from kernelscope.kernels.distance.exact import RTOL
from kernelscope.kernels.nonlinear.functions import parse_kernel
from kernelscope.kernels.similarity.depth_pairing import best_pairings
from kernelscope.kernels.statistics.cka_sampling import HollowKernel, cka_without_each
from kernelscope.kernels.statistics.jackknife import estimated
from kernelscope.kernels.statistics.permutations import drawn_examples
from kernelscope.measurement.baselines import Baselines
from kernelscope.measurement.inputs import Given, open_inputs
from kernelscope.measurement.layer_choice import GRID, LayerChoice
from kernelscope.measurement.layer_pairs import Correspondence, Match, matches
from kernelscope.measurement.opening import Network, NetworkInput, opened
from kernelscope.measurement.pair_numbers import PairSettings
from kernelscope.measurement.preparation import Preparation
from kernelscope.measurement.student_layers import measure_match
from kernelscope.report.matching import Candidate, Criterion, Lead, Matching, Paired

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelscope.report.fields import PairReport


@by_name
@devices.faults()
def match(
    *,
    teacher: Any,
    student: Any,
    by: Criterion = "agreement",
    data: Any = None,
    split: str | None = None,
    limit: int | None = None,
    n: int | None = None,
    sample: int | None = None,
    skip_unreadable: bool = False,
    preprocess: list[dict[str, Any]] | None = None,
    groups: Any = None,
    align: str | None = None,
    layers: str | Sequence[str] | None = None,
    teacher_layers: str | Sequence[str] | None = None,
    student_layers: str | Sequence[str] | None = None,
    pool: str = "auto",
    device: str = "cpu",
    dtype: str = "float32",
    seed: int = 0,
    batch_size: int = 256,
    cache: bool = True,
    accuracy_check: bool = True,
    teacher_arch: str | None = None,
    teacher_arch_kwargs: dict[str, Any] | None = None,
    student_arch: str | None = None,
    student_arch_kwargs: Any = None,
    progress: Progress | None = None,
) -> Matching:
    """Every teacher layer as a candidate for every student layer, and one pairing of all that is monotone in depth.

    Examples:
        >>> import numpy as np, kernelscope as ks
        >>> rng = np.random.default_rng(0)
        >>> X, Y = rng.standard_normal((2, 400, 8))
        >>> found = ks.match(teacher={"early": X, "late": Y}, student={"only": Y[:, :6]})
        >>> [(c.teacher_layer, c.student_layer) for c in found.recommended]
        [('late', 'only')]

    Args:
        teacher, student: networks, or features of several layers each; depth is the order in which layers ran, in files
            and dicts the order in which they stand.
        by: what candidates that agree above chance are ranked by: ``agreement`` (debiased CKA), ``head`` (what a linear
            map leaves on examples held out) or ``width`` (the loss of the best student of this width).
        layers, teacher_layers, student_layers: names or globs; by default a network's blocks, and all in a file.

    The other arguments are those of :func:`kernelscope.measurement.measure.measure`.

    Raises:
        UnreadableInput, Mismatch, NumericalError, ResourceError, UsageError: see :mod:`kernelscope.errors`.
    """
    device = devices.require_device(device)
    asked = dict(locals())
    if by not in get_args(Criterion):
        raise UsageError(f"by is {by!r}; choose one of {', '.join(get_args(Criterion))}")
    compared = _compared(asked)
    settings = PairSettings(None, "auto", RTOL, None, device, seed)
    preparation = Preparation(parse_kernel("linear"), centre=False, normalize=False)
    measured = measure_match(compared, settings, preparation, Baselines(settings, preparation), together=True)
    candidates = [_candidate(each.report) for each in measured]
    of_teacher, of_student = (
        _in_depth_order(each, used) for each, used in zip((compared.teacher, compared.student), zip(*compared.layers))
    )
    recommended, runner_up = _pairings(candidates, of_teacher, of_student, by)
    lead, on_lead = _lead(compared, recommended, runner_up, seed) if by == "agreement" and runner_up else (None, ())
    return Matching(
        teacher=compared.teacher.name,
        student=compared.student.name,
        state=_state(compared.student),
        n=compared.features.n,
        by=by,
        teacher_layers=tuple(of_teacher),
        student_layers=tuple(of_student),
        candidates=_ranked(candidates, of_teacher, of_student, by),
        recommended=recommended,
        runner_up=runner_up,
        lead=lead,
        notes=(*compared.pair(*compared.layers[0]).notes, *on_lead),
    )


def _compared(asked: dict[str, Any]) -> Match:
    """Both networks' layers over the same rows; a network's blocks where no layers were named."""
    networks = {}
    for role in ("teacher", "student"):
        found = opened(asked[role], role, (asked[f"{role}_arch"], asked[f"{role}_arch_kwargs"]))
        if isinstance(found, Network) and asked["layers"] is asked[f"{role}_layers"] is None:
            asked[f"{role}_layers"] = [_blocks_of(found)]
        networks[role] = found
    given = Given.of(
        networks["teacher"],
        networks["student"],
        teacher_arch=(None, None),
        student_arch=(None, None),
        choice=replace(taking(LayerChoice, asked), pairs=GRID),
    )
    (compared,) = matches(open_inputs(given, taking(Request, asked)), taking(Correspondence, asked))
    if not compared.layers:
        teacher, student = (
            one_line(", ".join(each.features.layers), 60) for each in (compared.teacher, compared.student)
        )
        raise UsageError(f"no layers bear the names given; teacher: {teacher}; student: {student}")
    return compared


def _blocks_of(network: Network) -> str:
    """A pattern of its blocks, so that those that do not run are passed over."""
    from kernelscope.activations.depth import blocks

    found = blocks(network.loaded.module)
    if not found:
        raise UsageError(f"{network.name} has no parts to name as layers; pass --layers, such as logits")
    return f"re:(?:{'|'.join(map(re.escape, found))})"


def _in_depth_order(network: NetworkInput, layers: Sequence[str]) -> list[str]:
    compared = [layer for layer in network.features.layers if layer in layers]
    if network.ran is None:
        return compared
    from kernelscope.activations.depth import in_running_order
    from kernelscope.activations.example_rows import ForwardPass

    loaded, examples = network.ran.loaded, network.ran.examples
    operations = None if loaded.checkpoint is None else loaded.checkpoint.preprocess
    device = network.ran.request.device
    forward = ForwardPass(
        loaded.module, examples, (), name=loaded.name, operations=operations, device=device, trial=False
    )
    return in_running_order(forward, compared)


def _candidate(report: PairReport) -> Candidate:
    return Candidate(
        teacher_layer=report.teacher_layer,
        student_layer=report.student_layer,
        d_teacher=report.d_teacher,
        d_student=report.d_student,
        rank=0,
        agreement=report.cka_debiased,
        head_held_out=report.ladder.head_held_out,
        width_floor=report.ladder.width_floor,
        transfer_loss=report.transfer_loss,
        p_value=report.null.p_value,
        p_corrected=report.null.p_corrected,
    )


def _ranked(
    candidates: list[Candidate], teacher: list[str], student: list[str], by: Criterion
) -> tuple[Candidate, ...]:
    """By student layer in depth order, the best first."""
    found: list[Candidate] = []
    for layer in student:
        of_layer = [each for each in candidates if each.student_layer == layer]
        of_layer.sort(key=lambda each: (not each.above_chance, -_value(each, by), teacher.index(each.teacher_layer)))
        found += [replace(each, rank=rank) for rank, each in enumerate(of_layer, start=1)]
    return tuple(found)


def _value(candidate: Candidate, by: Criterion) -> float:
    value = candidate.by(by)
    return -np.inf if value is None else value


def _pairings(
    candidates: list[Candidate], teacher: list[str], student: list[str], by: Criterion
) -> tuple[tuple[Paired, ...], tuple[Paired, ...]]:
    """The best pairing and the runner-up of candidates that are above chance, by the sum of their numbers."""
    worth = np.zeros((len(student), len(teacher)))
    for each in candidates:
        if each.above_chance:
            place = student.index(each.student_layer), teacher.index(each.teacher_layer)
            worth[place] = max(0.0, _value(each, by))
    first, second = best_pairings(worth)
    named = [tuple(Paired(teacher[t], student[s]) for s, t in pairing) for pairing in (first, second or ())]
    return named[0], named[1]


def _lead(
    compared: Match, first: Sequence[Paired], second: Sequence[Paired], seed: int
) -> tuple[Lead | None, tuple[str, ...]]:
    """Of the first pairing's mean agreement over the second's, on the same examples; and what to note of it."""
    drawn, count = _independent(compared, seed), max(len(first), len(second))
    full, left_out = 0.0, np.zeros(len(drawn))
    signs = {**dict.fromkeys(first, 1), **dict.fromkeys(second, -1)}
    for pair in set(first) ^ set(second):
        both = compared.pair(pair.teacher_layer, pair.student_layer)
        S, T = (HollowKernel.of(X, drawn) for X in (both.student, both.teacher))
        parts = None if S is None or T is None else cka_without_each(S, T)
        if parts is None:
            return None, ("no interval of the difference: too few examples, or single ones carry a layer",)
        full += signs[pair] * parts.full / count
        left_out += signs[pair] * parts.left_out / count
    found = estimated(full, left_out)
    notes = () if len(drawn) == compared.features.n else (f"the difference is over {len(drawn):,} drawn examples",)
    return Lead(found.value, found.interval, len(drawn)), notes


def _independent(compared: Match, seed: int) -> np.ndarray:
    """Up to 2,000 examples in a drawn order, one of each group where rows were drawn in groups."""
    return drawn_examples(compared.features.n, seed, groups=compared.examples.groups)


def _state(student: NetworkInput) -> str:
    """Whether it was trained, as far as its file states it."""
    epochs, top1 = len(student.described.history or ()), student.report.top1
    scored = "" if top1 is None else f", top-1 {top1:.3f} on these examples"
    if epochs:
        return f"as given, trained for {epochs} epochs by its file{scored}"
    kind = "features" if student.ran is None else "as given"
    return f"{kind}; nothing states whether it was trained{scored}"
