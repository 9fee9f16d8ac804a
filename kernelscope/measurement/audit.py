"""``audit``: the paper's claims one by one on real pairs of layers, as printed and as corrected."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

from kernelscope import devices, exchange
from kernelscope.errors import UsageError, by_name
from kernelscope.features.request import Progress, Request, taking
from kernelscope.kernels.distance.exact import loss_from_sums, well_scaled_sums
from kernelscope.kernels.distance.own_kernel import narrowed
from kernelscope.kernels.nystrom.claims import claims
from kernelscope.kernels.nystrom.nystrom import partial
from kernelscope.kernels.nystrom.statements import lemma1
from kernelscope.kernels.scales import require_norms, within_float64
from kernelscope.measurement.inputs import Given, open_inputs
from kernelscope.measurement.landmark_numbers import choose_landmarks
from kernelscope.measurement.layer_choice import LayerChoice
from kernelscope.measurement.layer_pairs import Correspondence, LayerPair, matches
from kernelscope.measurement.memory_limit import left_beside
from kernelscope.measurement.passes import Sizes
from kernelscope.report.audit import AuditReport, PairAudit, Tracking

if TYPE_CHECKING:
    from collections.abc import Sequence


@by_name
@devices.faults()
@exchange.joint()
def audit(
    *,
    teacher: Any,
    student: Any,
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
    layers: str | Sequence[str] | None = None,
    teacher_layers: str | Sequence[str] | None = None,
    student_layers: str | Sequence[str] | None = None,
    pairs: str | None = None,
    pool: str = "auto",
    landmarks: Any = None,
    device: str = "cpu",
    dtype: str = "float32",
    seed: int = 0,
    batch_size: int = 256,
    memory_bytes: int | None = None,
    cache: bool = True,
    accuracy_check: bool = True,
    teacher_arch: str | None = None,
    teacher_arch_kwargs: dict[str, Any] | None = None,
    student_arch: str | Sequence[str | None] | None = None,
    student_arch_kwargs: Any = None,
    progress: Progress | None = None,
) -> AuditReport:
    """Theorem 1, Corollaries 1 and 2, Lemma 1, Theorem 2, the eigenvalue assumption and the estimate, on real pairs.

    Examples:
        >>> import numpy as np, kernelscope as ks
        >>> X = np.random.default_rng(0).standard_normal((100, 8))
        >>> audited = ks.audit(teacher=X, student=X[:, :4], labels=np.arange(100) % 4)
        >>> [claim.name for claim in audited.pairs[0].claims][:3]
        ['theorem1_teacher', 'theorem1_student', 'corollary1']

    Args:
        landmarks: by default class means where labels are known, else k-means cells.
        device: a torch device for forward passes and Grams.
        seed: of landmarks and of the pairs of examples that Lemma 1 is tried on.

    The other arguments are those of :func:`kernelscope.measurement.measure.measure`.

    Raises:
        UnreadableInput, Mismatch, NumericalError, ResourceError, UsageError: see :mod:`kernelscope.errors`.
    """
    device = devices.require_device(device)
    if groups is not None:
        raise UsageError("audit has no interval over examples, which groups are for; leave them out")
    asked = dict(locals())  # each value below takes the keywords that it has fields for
    request = taking(Request, asked)
    given = Given.of(
        teacher,
        student,
        teacher_arch=(teacher_arch, teacher_arch_kwargs),
        student_arch=(student_arch, student_arch_kwargs),
        choice=taking(LayerChoice, asked),
    )
    matched = matches(open_inputs(given, request), taking(Correspondence, asked))
    audited = []
    for pair in (pair for match in matched for pair in match.pairs()):
        with within_float64(teacher=pair.teacher, student=pair.student):
            left = left_beside(Sizes.of(pair, landmarks, 0), memory_bytes)
            audited.append(_audit_pair(pair, landmarks=landmarks, device=device, seed=seed, block_bytes=left))
    return AuditReport(tuple(audited), _tracking(audited))


def _audit_pair(pair: LayerPair, *, landmarks: Any, device: str, seed: int, block_bytes: int) -> PairAudit:
    sides = (narrowed(X, memory_bytes=block_bytes) for X in (pair.teacher, pair.student))
    scaled = well_scaled_sums(teacher=next(sides), student=next(sides), device=device)
    require_norms(scaled.unit)
    loss = loss_from_sums(scaled)
    chosen = choose_landmarks(landmarks, pair.examples, scaled, seed)
    sums = partial(teacher=scaled.teacher, student=scaled.student, landmarks=chosen, sums=scaled.sums)
    lemma = None
    if chosen.is_partition:
        lemma = lemma1(teacher=scaled.teacher, student=scaled.student, landmarks=chosen, seed=seed)
    found = claims(
        sums,
        loss.norm_difference / scaled.unit,
        scaled.sums.norm_student,
        scaled.sums.norm_teacher,
        lemma,
        printed=scaled.unit == 1,
    )
    return PairAudit(
        teacher=pair.names["teacher"],
        student=pair.names["student"],
        teacher_layer=pair.names["teacher_layer"],
        student_layer=pair.names["student_layer"],
        n=scaled.sums.n,
        landmarks=chosen.strategy,
        m=chosen.m,
        transfer_loss=loss.value,
        estimate=sums.paper_estimate,
        claims=found,
    )


def _tracking(pairs: Sequence[PairAudit]) -> Tracking:
    agreeing = compared = 0
    for a, b in combinations(pairs, 2):
        if (a.teacher_layer, a.student_layer) == (b.teacher_layer, b.student_layer):
            compared += 1
            agreeing += (a.transfer_loss - b.transfer_loss) * (a.estimate - b.estimate) > 0
    return Tracking(agreeing, compared)
