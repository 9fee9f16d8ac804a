"""Figures of a report: ``plot(report, kind)`` draws on matplotlib axes and returns them; no display is needed."""

from __future__ import annotations

import difflib
import io
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernelscope.errors import UsageError
from kernelscope.report.transfer import PairReport, TransferReport

# Okabe and Ito's palette: told apart by colour-blind eyes and in grey
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
BOUND_NAMES = {
    "class_centres_lower": "PY, lower",
    "class_centres_upper": "PY, upper",
    "nystrom_exact": "N0 (Nyström)",
    "theorem2_quadratic": "T2Q",
    "theorem2_frobenius": "T2F",
    "corollary1": "Corollary 1, corrected",
    "corollary2": "Corollary 2, corrected",
    "theorem2": "Theorem 2, printed",
    "corollary1_paper": "Corollary 1, printed",
    "corollary2_paper": "Corollary 2, printed",
}


def plot(report: TransferReport, kind: str = "ladder", *, ax: Axes | None = None, layer: str | None = None) -> Axes:
    """Draw one figure.

    Args:
        kind: ``ladder``, ``landmark_spectrum``, ``training``, ``bounds``, ``classes``, ``difference_spectrum``.
        ax: axes to draw on; new ones by default (``ax.figure.savefig(...)`` saves them).
        layer: the student layer to show; the first measured by default.

    Raises:
        UsageError: an unknown kind, or one whose numbers this report does not have.
    """
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        raise UsageError(
            f"unknown figure {kind!r}; {f'did you mean {near[0]}' if near else 'there are ' + ', '.join(KINDS)}"
        )
    if ax is None:
        ax = Figure(figsize=(7, 4), layout="constrained").add_subplot()
    KINDS[kind](report, _chosen(report, layer), ax)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def figure_svg(report: TransferReport, kind: str, **options: Any) -> str:
    """The figure as inline SVG: no XML header, no date, ids of its own, the same bytes every time."""
    import matplotlib

    figure = Figure(figsize=options.pop("figsize", (7, 4)), layout="constrained")
    plot(report, kind, ax=figure.add_subplot(), **options)
    stream = io.StringIO()
    prefix = f"{kind}-{options.get('layer') or ''}"
    with matplotlib.rc_context({"svg.hashsalt": prefix, "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    key = "f" + format(abs(hash_text(prefix)), "x")
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', svg)
    svg = re.sub(r'(href="#|url\(#)([^")]+)', rf"\g<1>{key}-\2", svg)
    return re.sub(r'width="[^"]+pt" height="[^"]+pt" ', "", svg, count=1)


def hash_text(text: str) -> int:
    """A number that depends on the text alone (``hash`` is salted)."""
    import zlib

    return zlib.crc32(text.encode())


def _ladder(report: TransferReport, pairs: list[PairReport], ax: Axes) -> None:
    rungs = ("raw", "scaled", "head", "width_floor")
    names = ("as it stands", "after the best\nscalar", "after the best\nlinear head", "width floor")
    for colour, pair in zip(_cycle(len(pairs)), pairs):
        values = [getattr(pair.ladder, rung) for rung in rungs]
        known = [(i, v) for i, v in enumerate(values) if v is not None]
        ax.plot(*zip(*known), "o-", color=colour, label=_short(pair.student), lw=2)
        if pair.null.transfer_loss is not None:
            ax.plot([-0.25, 0.25], [pair.null.transfer_loss] * 2, ":", color=colour, lw=2)
    ax.plot([], [], ":", color="#555555", label="chance (examples shuffled)")
    ax.set_xticks(range(len(rungs)), names)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("loss, ‖K_S − K_T‖ / ‖K_T‖")
    ax.set_title(f"Where the teacher's kernel goes: {_layer(pairs[0])}")
    ax.legend(frameon=False)


def _landmark_spectrum(report: TransferReport, pairs: list[PairReport], ax: Axes) -> None:
    found = [p for p in pairs if p.landmark_spectrum is not None]
    _require(found, "spectra of landmarks")
    first = found[0].landmark_spectrum
    assert first is not None
    _eigenvalues(ax, first.teacher.eigenvalues, "teacher, W_T", "#222222", "s-")
    for colour, pair in zip(_cycle(len(found)), found):
        assert pair.landmark_spectrum is not None
        _eigenvalues(ax, pair.landmark_spectrum.student.eigenvalues, f"{_short(pair.student)}, W_S", colour, "o-")
    ax.axhline(1, color="#999999", ls="--", lw=1)
    ax.text(
        1,
        1,
        "the paper assumes all above 1 ",
        va="bottom",
        ha="right",
        color="#666666",
        transform=ax.get_yaxis_transform(),
    )
    ax.set_yscale("log")
    ax.set_xlabel("eigenvalue, largest first")
    ax.set_ylabel("eigenvalue of W = D Dᵀ")
    ax.set_title(f"Landmark kernels: {_layer(found[0])}")
    ax.legend(frameon=False)


def _eigenvalues(ax: Axes, values: tuple[float, ...], label: str, colour: str, style: str) -> None:
    positive = [v for v in values if v > 0]
    ax.plot(range(1, len(positive) + 1), positive, style, label=label, color=colour, lw=1.5, ms=4)


def _training(report: TransferReport, pairs: list[PairReport], ax: Axes) -> None:
    found = [network for network in report.networks if network.history]
    _require(found, "training histories")
    for colour, network in zip(("#222222", *_cycle(len(found))), found):
        history = network.history or []
        epochs = [record["epoch"] for record in history]
        ax.plot(
            epochs, [record["validation_top1"] for record in history], color=colour, lw=2, label=_short(network.name)
        )
        ax.plot(epochs, [record["train_top1"] for record in history], color=colour, lw=1, ls=":")
    ax.plot([], [], ":", color="#555555", label="on training examples")
    ax.set_ylim(top=1.0)
    ax.set_xlabel("epoch")
    ax.set_ylabel("top-1 accuracy, validation")
    ax.set_title("Training")
    ax.legend(frameon=False, loc="lower right")


def _bounds(report: TransferReport, pairs: list[PairReport], ax: Axes) -> None:
    found = [p for p in pairs if p.paper is not None and any(p.paper.bounds.values())]
    _require(found, "bounds")
    names = [name for name in BOUND_NAMES if any(p.paper and p.paper.bounds.get(name) for p in found)]
    for colour, pair in zip(_cycle(len(found)), found):
        assert pair.paper is not None
        for row, name in enumerate(names):
            bound = pair.paper.bounds.get(name)
            if bound is not None and bound.over_truth:
                fill = "white" if bound.vacuous else colour
                ax.plot(bound.over_truth, row, "o", color=colour, mfc=fill, ms=7)
        ax.plot([], [], "o", color=colour, label=_short(pair.student))
    ax.plot([], [], "o", color="#555555", mfc="white", label="says nothing (vacuous)")
    ax.axvline(1, color="#222222", lw=1)
    ax.set_xscale("log")
    ax.set_yticks(range(len(names)), [BOUND_NAMES[name] for name in names])
    ax.invert_yaxis()
    ax.set_xlabel("bound / truth")
    ax.set_title(f"Bounds on ‖K_S − K_T‖, from the truth up: {_layer(found[0])}")
    ax.legend(frameon=False, fontsize="small")


def _classes(report: TransferReport, pairs: list[PairReport], ax: Axes) -> None:
    found = [p for p in pairs if p.classes is not None]
    _require(found, "shares by class")
    pair = max(found, key=lambda p: p.transfer_loss)
    assert pair.classes is not None
    shares = 100 * np.array(pair.classes.loss)
    image = ax.imshow(shares, cmap="magma_r", vmin=0)
    ticks = range(len(pair.classes.names)) if len(pair.classes.names) <= 30 else ()
    ax.set_xticks(
        ticks, [pair.classes.names[i] for i in ticks], rotation=90 if max(map(len, pair.classes.names)) > 3 else 0
    )
    ax.set_yticks(ticks, [pair.classes.names[i] for i in ticks])
    ax.figure.colorbar(image, ax=ax, label="% of ‖K_S − K_T‖²")
    ax.set_title(f"Which classes carry the loss: {_short(pair.student)}, {_layer(pair)}")


def _difference_spectrum(report: TransferReport, pairs: list[PairReport], ax: Axes) -> None:
    found = [p for p in pairs if p.difference_spectrum is not None and p.difference_spectrum.eigenvalues]
    _require(found, "spectra of the difference")
    for colour, pair in zip(_cycle(len(found)), found):
        assert pair.difference_spectrum is not None
        values = np.array(sorted(pair.difference_spectrum.eigenvalues, reverse=True)) / pair.norm_teacher
        ax.plot(np.linspace(0, 1, len(values)), values, "o-", ms=3, lw=1, color=colour, label=_short(pair.student))
    ax.axhline(0, color="#222222", lw=1)
    ax.set_yscale("symlog", linthresh=1e-3)
    ax.set_xticks([])
    ax.set_xlabel("← added by the student          lost by the student →")
    ax.set_ylabel("eigenvalue of K_S − K_T, over ‖K_T‖")
    ax.set_title(f"What was added and what was lost: {_layer(found[0])}")
    ax.legend(frameon=False)


KINDS: dict[str, Callable[[TransferReport, list[PairReport], Axes], None]] = {
    "ladder": _ladder,
    "landmark_spectrum": _landmark_spectrum,
    "training": _training,
    "bounds": _bounds,
    "classes": _classes,
    "difference_spectrum": _difference_spectrum,
}


def _chosen(report: TransferReport, layer: str | None) -> list[PairReport]:
    """The pairs of one student layer."""
    if not report.pairs:
        raise UsageError("the report has no pairs to draw; measure something first")
    wanted = layer or report.pairs[0].student_layer
    found = [pair for pair in report if pair.student_layer == wanted]
    if not found:
        raise UsageError(
            f"no pair has student layer {wanted!r}; there are {', '.join({p.student_layer for p in report})}"
        )
    return found


def _require(found: list[Any], what: str) -> None:
    if not found:
        raise UsageError(f"this report holds no {what}; measure with labels, or from checkpoints")


def _cycle(count: int) -> tuple[str, ...]:
    return COLOURS * math.ceil(max(1, count) / len(COLOURS))


def _short(name: str) -> str:
    """A file's stem; ``$`` would start a formula in matplotlib."""
    return (Path(name).stem or name).replace("$", "＄")


def _layer(pair: PairReport) -> str:
    return (
        pair.student_layer
        if pair.teacher_layer == pair.student_layer
        else f"{pair.teacher_layer} = {pair.student_layer}"
    )
