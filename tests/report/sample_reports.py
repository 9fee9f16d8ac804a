"""Reports as a digits run would give them, built without training anything."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

from kernelscope.kernels.nystrom.anova import Shares
from kernelscope.kernels.nystrom.intervals import Theorem2
from kernelscope.kernels.nystrom.spectrum import LandmarkSpectrum
from kernelscope.kernels.similarity.neighbours import Neighbours
from kernelscope.kernels.similarity.outputs import Calibration, ClassFlips, Flips, TopK
from kernelscope.kernels.similarity.within_class import WithinClass
from kernelscope.report.eigenvector_fields import DifferenceEigenvector, EndExample
from kernelscope.report.fields import (
    BoundValue,
    Classes,
    DifferenceSpectrum,
    FeatureSpectra,
    FeatureSpectrum,
    Ladder,
    LandmarkChoice,
    LandmarkSpectra,
    NetworkReport,
    Null,
    Nystrom,
    PairReport,
    Paper,
    Reference,
    Warning,
    WorstExample,
)
from kernelscope.report.report import TransferReport
from kernelscope.report.similarity_fields import (
    Gulp,
    Outputs,
)

TEACHER = "out/teacher.pt"
EXAMPLES = 450
NORM_TEACHER = 31_000.0
ORDER = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#: an image of two by two pixels
THUMBNAIL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAA"
    "BX3VL4AAAADklEQVR42mNsYGBiYAAAApIAhOoU7S4AAAAASUVORK5CYII="
)
TEACHER_W = (615.3, 157.6, 118.3, 117.9, 86.9, 64.0, 49.8, 31.2, 29.2, 15.8)

# student -> layer -> loss, after a scalar, means removed, after a head, chance, CKA
LOSSES = {
    "out/ce.pt": {
        "embedding": (0.7528, 0.4372, 0.5666, 0.1971, 1.083, 0.824),
        "logits": (0.6504, 0.6462, 0.5934, 0.3385, 1.205, 0.805),
    },
    "out/kd.pt": {
        "embedding": (0.8553, 0.3571, 0.3341, 0.1482, 1.101, 0.943),
        "logits": (0.1881, 0.1880, 0.1958, 0.1685, 1.385, 0.981),
    },
    "out/kda.pt": {
        "embedding": (0.1884, 0.1842, 0.1897, 0.1471, 1.118, 0.982),
        "logits": (0.3679, 0.2952, 0.2571, 0.1662, 1.528, 0.966),
    },
}
TOP1 = {TEACHER: 0.9867, "out/ce.pt": 0.9911, "out/kd.pt": 0.9889, "out/kda.pt": 0.9933}
TERMS = {TEACHER: (), "out/ce.pt": (), "out/kd.pt": ("kd(T=4,weight=1)",), "out/kda.pt": ("kda(weight=0.2)",)}


def full_report() -> TransferReport:
    """A teacher, three students, two layers each; everything a report can hold is there."""
    return TransferReport(
        meta=dict(META),
        networks=tuple(_network(name, i) for i, name in enumerate(TOP1)),
        pairs=tuple(_pair(name, layer) for name in LOSSES for layer in LOSSES[name]),
    )


def bare_report() -> TransferReport:
    """Arrays instead of networks: most optional fields are absent."""
    optional = {f.name for f in dataclasses.fields(PairReport) if "None" in str(f.type)}
    bare: dict[str, Any] = dict.fromkeys(optional)
    pair = dataclasses.replace(
        _pair("out/kda.pt", "embedding"),
        teacher="teacher",
        student="student",
        teacher_layer="features",
        student_layer="features",
        ladder=Ladder(0.1884, 0.1842, None, None, None, None),
        null=Null(None, None, None, None, None, None),
        warnings=(),
        references=(),
        notes=(),
        **bare,
    )
    networks = tuple(NetworkReport(name, None, None, None) for name in ("teacher", "student"))
    return TransferReport(meta={}, networks=networks, pairs=(pair,))


def renamed(report: TransferReport, names: dict[str, str]) -> TransferReport:
    """The same report with other names for its networks."""

    def new(name: str) -> str:
        return names.get(name, name)

    return dataclasses.replace(
        report,
        networks=tuple(dataclasses.replace(network, name=new(network.name)) for network in report.networks),
        pairs=tuple(
            dataclasses.replace(pair, teacher=new(pair.teacher), student=new(pair.student)) for pair in report.pairs
        ),
    )


def with_pair(report: TransferReport, index: int, **changes: Any) -> TransferReport:
    """The report with one pair changed."""
    pairs = list(report.pairs)
    pairs[index] = dataclasses.replace(pairs[index], **changes)
    return dataclasses.replace(report, pairs=tuple(pairs))


META = {
    "kernelscope": "0.1.0",
    "created": "2026-03-14T15:09:26+00:00",
    "python": "3.11.7",
    "numpy": "2.4.6",
    "device": "cpu",
    "rtol": 1e-6,
    "route_asked": "auto",
    "seed": 0,
}


def _network(name: str, number: int) -> NetworkReport:
    history = [_epoch(name, epoch, 30, number) for epoch in range(1, 31)]
    arch = "resnet20" if name == TEACHER else "resnet8"
    trajectory = None if name == TEACHER else [_point(epoch, 30, number) for epoch in range(1, 31)]
    return NetworkReport(name, f"{number + 1:x}" * 64, arch, TOP1[name], history=history, trajectory=trajectory)


def _point(epoch: int, epochs: int, number: int) -> dict[str, Any]:
    """A trajectory's record, as training writes it; its numbers fall with the epoch."""
    loss = 0.1 * (number + 1) + 2 * math.exp(-6 * epoch / epochs)
    layer = {
        "n": 136,
        "landmarks": 10,
        "transfer_loss": loss,
        "scaled": 0.8 * loss,
        "cka": 1 - 0.3 * loss,
        "head_held_out": 0.6 * loss,
        "neighbours": 1 - 0.4 * loss,
        "norm_teacher": 2000.0,
        "norm_student": 1500.0,
        "partial_norm": 500 * loss,
        "partial_ratio": 0.9 * loss,
        "estimate": 0.25 * loss,
        "expanded_estimate": 0.95 * loss,
        "min_eigenvalue_teacher": 20.0,
        "min_eigenvalue_student": 0.1 + epoch / 3,
        "theorem2": {"e": 10.0, "term_a_student": 90.0, "term_a_teacher": 100.0, "term_b": 5e4, "bound": 3e5},
        "bounds": {
            "theorem2": 150 + loss,
            "theorem2_frobenius": 1.3 * loss,
            "corollary2": 3.2 * loss,
            "class_centres_upper": 1.05 * loss,
            "class_centres_lower": 0.97 * loss,
        },
    }
    return {"epoch": epoch, "layers": {"embedding": layer, "logits": {**layer, "transfer_loss": 2 * loss}}}


def _epoch(name: str, epoch: int, epochs: int, number: int) -> dict[str, Any]:
    done = epoch / epochs
    terms = {"ce": 2.3 * math.exp(-5 * done) + 0.01 * (number + 1)}
    terms |= {term: 0.3 * (number + 1) + 2 * math.exp(-4 * done) for term in TERMS[name]}
    wobble = 0.004 * math.sin(7 * epoch + number)
    return {
        "epoch": epoch,
        "lr": 0.05 * (1 + math.cos(math.pi * done)),
        "seconds": 0.3,
        "loss": terms,
        "gradient": {"ce": 2 * math.exp(-5 * done), "distill": 0.5 + 0.1 * number, "cosine": 0.2},
        "train_top1": 0.995 - 0.8 * math.exp(-9 * done) + wobble,
        "validation_top1": 0.985 - 0.7 * math.exp(-8 * done) - 0.003 * number + wobble,
    }


def _pair(student: str, layer: str) -> PairReport:
    raw, scaled, centred, head, chance, cka = LOSSES[student][layer]
    width = 64 if layer == "embedding" else 10
    norm_difference = raw * NORM_TEACHER
    cosine = math.sqrt(1 - scaled**2)
    ratio = cosine - math.sqrt(max(0.0, raw**2 - scaled**2))
    spectra = _landmark_spectra(ratio, layer)
    warned = layer == "logits"
    return PairReport(
        teacher=TEACHER,
        student=student,
        teacher_layer=layer,
        student_layer=layer,
        pool="auto",
        split="digits/test",
        unit="example",
        n=EXAMPLES,
        d_teacher=width,
        d_student=width,
        order_sha256=ORDER,
        kernel="linear",
        transfer_loss=raw,
        rounding_interval=(raw - 2e-12, raw + 2e-12),
        rounding_certified=True,
        resolved=True,
        storage_floor=2.5e-7,
        sampling_interval=(raw * 0.965, raw * 1.04),
        population_loss=raw * 1.002,
        route="gram",
        norm_teacher=NORM_TEACHER,
        norm_student=ratio * NORM_TEACHER,
        norm_difference=norm_difference,
        alignment=cosine,
        scale_ratio=ratio,
        optimal_scale=cosine / ratio,
        cka=cka,
        cka_debiased=cka - 0.002,
        ladder=Ladder(raw, scaled, centred, head, head * 1.2, 0.0201),
        null=Null(chance, 0.0162, 0.0031, 0.4, 0.0, (cka - 0.0162) / (1 - 0.0162)),
        landmarks=LandmarkChoice("class-means", 10, None),
        nystrom=Nystrom(raw * 4_478.0, raw * 0.98, raw * 0.96, 169.3, 219.1, 166.8, 213.5),
        landmark_spectrum=spectra,
        feature_spectrum=FeatureSpectra(FeatureSpectrum(width, 6.35, 0.461), FeatureSpectrum(width, 7.34, 0.441)),
        difference_spectrum=_difference_spectrum(norm_difference, width),
        difference_eigenvectors=_difference_eigenvectors(norm_difference),
        anova=Shares(0.8808, 0.1151, 0.0041),
        classes=_classes(),
        worst=tuple(
            WorstExample(f"{i:032x}", 7 * i, str(i % 10), 0.021 - 0.0008 * i, THUMBNAIL if i < 8 else None)
            for i in range(20)
        ),
        paper=Paper(raw * 0.1445, _theorem2(norm_difference), _bounds(norm_difference)),
        neighbours=Neighbours(10, 0.62 - raw / 8, 10 / 449, 0.03, 0.71 - raw / 9, 0.002),
        within_class_cka=WithinClass(0.85 * cka, 0.024),
        procrustes=math.sqrt(2 - 2 * math.sqrt(cka)),
        gulp=Gulp(4 * raw, 0.01),
        outputs=_outputs() if layer == "logits" else None,
        references=(
            Reference("untrained student", 0.9986, 0.5677, 0.3688, 0.2924),
            Reference("reseeded teacher", 0.2312, 0.2104, 0.0988, 0.9617),
        ),
        warnings=(Warning("few-examples", "450 examples for 64 features: unrelated networks look alike; use more"),)
        if warned
        else (),
        notes=("sampling interval by jackknife over single examples",),
    )  # fmt: skip


def _outputs() -> Outputs:
    classes = tuple(ClassFlips(str(i), 45, 0.022, 0.0, 0.022, (-0.06, 0.12)) for i in range(10))
    return Outputs(
        0.984,
        0.0206,
        changed=0.016,
        top_k=TopK(5, 0.81, 0.5),
        flips=Flips(0.004, 0.009, 0.005, (-0.006, 0.018), classes),
        calibration=Calibration(15, 0.006, 0.011),
    )


def _landmark_spectra(ratio: float, layer: str) -> LandmarkSpectra:
    tail = 1.0 if layer == "embedding" else 0.05
    both = []
    for factor in (1.0, ratio):
        values = tuple(value * factor * (tail if i == 9 else 1.0) for i, value in enumerate(TEACHER_W))
        below = sum(value < 1 for value in values)
        both.append(LandmarkSpectrum(values, values[-1], values[0], 10, values[0] / values[-1], below))
    return LandmarkSpectra(*both)


def _difference_spectrum(norm: float, width: int) -> DifferenceSpectrum:
    lost = [-0.9 * norm * 0.5**i for i in range(width)]
    added = [0.2 * norm * 0.6**i for i in range(width)]
    values = tuple(sorted(lost + added, key=abs, reverse=True))
    return DifferenceSpectrum(values, abs(values[0]), sum(map(abs, values)), width, width)


def _difference_eigenvectors(norm: float) -> tuple[DifferenceEigenvector, ...]:
    def end(first: int, sign: int) -> tuple[EndExample, ...]:
        rows = range(first, first + 4)
        return tuple(EndExample(f"{i:032x}", i, str(i % 10), sign * (0.2 - 0.001 * i), THUMBNAIL) for i in rows)

    lost, added = -0.9 * norm, 0.2 * norm
    return (
        DifferenceEigenvector(lost, (lost * (1 + 1e-12), lost * (1 - 1e-12)), 0.81, 1, end(3, 1), end(17, -1)),
        DifferenceEigenvector(added, (added * (1 - 1e-12), added * (1 + 1e-12)), 0.04, 2, end(40, 1), ()),
    )


def _classes() -> Classes:
    names = tuple(str(i) for i in range(10))
    weights = [[1.0 / (1 + abs(i - j)) + (0.5 if i == j else 0.0) for j in range(10)] for i in range(10)]
    total = sum(map(sum, weights))
    return Classes(names, tuple(tuple(w / total for w in row) for row in weights))


def _theorem2(truth: float) -> Theorem2:
    e, student, teacher, term_b = 19.1, 1_134.0, 1_132.0, 300 * truth
    return Theorem2(e, student, teacher, term_b, EXAMPLES * e * (student + teacher) + term_b)


def _bounds(truth: float) -> dict[str, BoundValue | None]:
    times = {
        "theorem2": _theorem2(truth).bound / truth,
        "theorem2_frobenius": 1.407,
        "theorem2_quadratic": 1.079,
        "corollary1": 1.595,
        "corollary2": 3.336,
        "corollary1_paper": 227_483.0,
        "corollary2_paper": 0.82,
        "nystrom_exact": 1.0152604932,
        "class_centres_lower": 0.998,
        "class_centres_upper": 1.00128,
    }
    return {
        name: BoundValue(
            value=factor * truth,
            over_truth=factor,
            holds=factor >= 1 or name == "class_centres_lower",
            vacuous=factor > 2,
            assumption="the smallest nonzero eigenvalue of W_S is 0.938, not above 1" if "paper" in name else None,
        )
        for name, factor in times.items()
    }


@functools.cache
def full_page() -> str:
    """The page of :func:`full_report`, which takes seconds to draw."""
    from kernelscope.rendering import page

    return page.render(full_report())
