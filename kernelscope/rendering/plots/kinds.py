"""Figures of a report: every kind is one row here, from which ``report.plot`` and the page take what they show.

A new figure is a function in a file of this folder and its row; on a page it stands in its section in the order of the
rows.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from kernelscope.errors import UsageError
from kernelscope.rendering.plots import canvas, levels, loss, spectra, theory, training, trajectory
from kernelscope.rendering.plots import selection as select
from kernelscope.rendering.plots.kind import Kind
from kernelscope.rendering.plots.selection import Asked
from kernelscope.rendering.wording import first_pairs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kernelscope.report.fields import PairReport
    from kernelscope.report.report import TransferReport

DRAWABLE = 1e250  #: matplotlib's scales overflow somewhere above
SECTIONS = {
    "ladder": "Where the teacher's kernel goes",
    "levels": "What to read the loss by",
    "neighbours": "Nearest neighbours",
    "layers": "Layer against layer",
    "difference": "What the difference is made of",
    "landmarks": "The landmarks' own kernel",
    "theory": "The paper's theory on these networks",
    "training": "How they were trained",
}  #: name and heading, in the order of a page


def _has_loss(pair: PairReport) -> bool:
    return pair.ladder.raw < DRAWABLE and pair.transfer_loss < DRAWABLE


def _has_landmarks(pair: PairReport) -> bool:
    w = pair.landmark_spectrum
    return w is not None and len(w.teacher.eigenvalues) > 0 and max(w.teacher.max, w.student.max) < DRAWABLE


def _has_theorem2(pair: PairReport) -> bool:
    terms = None if pair.paper is None else pair.paper.theorem2
    return terms is not None and terms.bound < DRAWABLE * pair.norm_teacher


def _has_difference(pair: PairReport) -> bool:
    d = pair.difference_spectrum
    return d is not None and len(d.eigenvalues) > 0 and d.spectral_norm < DRAWABLE * pair.norm_teacher


NO_LOSS = "no pair has a loss that fits a figure; measure again"

KINDS: dict[str, Kind[Any]] = {
    kind.name: kind
    for kind in (
        Kind(
            "ladder",
            "What is left of the loss",
            "ladder",
            loss.ladder,
            select.several(_has_loss, NO_LOSS),
            select.all_then_each_student,
            "Left to right, what each fix would leave of the loss. A long fall to the scalar: rescale. A long fall to "
            "the head: add a head. A flat line far above the width floor: train differently.",
            size=(5.0, 3.4),
            growth=0.35,
        ),
        Kind(
            "references",
            "What to read the loss by",
            "levels",
            levels.references,
            select.the_first(_has_loss, NO_LOSS),
            lambda report: [select.exactly(pair) for pair in first_pairs(report) if pair.references],
            "The same loss for a student whose examples are shuffled, for baselines that learnt nothing or learnt the "
            "same from another start where these were given, and for the best that any student of this width could do.",
            size=(5.1, 2.9),
        ),
        Kind(
            "neighbours",
            "Nearest neighbours in both networks",
            "neighbours",
            levels.neighbours,
            select.several(
                lambda pair: pair.neighbours, "no pair has neighbours compared; measure with --neighbours 10"
            ),
            select.each_layer(lambda pair: pair.neighbours),
            "The loss weighs large directions, neighbourhoods live in small ones. The line runs from chance to the "
            "share of nearest neighbours that both networks name; the open ring is what the student's features would "
            "find in an index of the teacher's after the best rotation, scale and shift.",
            size=(5.0, 2.6),
            growth=0.3,
        ),
        Kind(
            "layers",
            "Layer against layer",
            "layers",
            levels.layers,
            select.all_of_one_student("there is no pair of layers; measure with --pairs all"),
            select.each_grid,
            size=(4.4, 4.4),
            growth=0,
        ),
        Kind(
            "spectra",
            "What was added and what was lost",
            "difference",
            spectra.difference_spectrum,
            select.the_first(_has_difference, "no pair has the eigenvalues of its kernel difference; measure it again"),
            select.each_student,
            "Eigenvalues of K_S − K_T: upwards what the student added, downwards what it lost.",
            size=(3.9, 3.0),
        ),
        Kind(
            "classes",
            "Which classes carry the loss",
            "difference",
            loss.classes,
            select.the_first(
                lambda pair: pair.classes and pair.classes.names,
                "no pair has shares by class, which need labels of at most 200 classes; pass --labels",
            ),
            select.each_student,
            "Each cell is the share of the squared difference between two classes; the diagonal is within a class.",
            size=(3.9, 4.0),
        ),
        Kind(
            "landmark_spectrum",
            "How the landmarks spread: eigenvalues of W",
            "landmarks",
            spectra.landmark_spectrum,
            select.several(_has_landmarks, "no pair has landmarks; measure with --landmarks"),
            select.each_layer(_has_landmarks),
            "The paper approximates each kernel through landmarks and assumes that every eigenvalue of their kernel W "
            "lies above 1. Eigenvalues near 0 mean that some landmarks repeat others.",
        ),
        Kind(
            "theorem2",
            "Theorem 2, term by term",
            "theory",
            theory.theorem2,
            select.several(
                _has_theorem2,
                "no pair has Theorem 2's terms, which need class-means or kmeans landmarks; pass --landmarks",
            ),
            select.once,
            "Theorem 2 bounds ‖K_S − K_T‖ by n · e · (term A of the student + term A of the teacher) + term B, shown "
            "here over ‖K_T‖. It is true, but it adds up n² absolute values to bound a root of squares, so it lies far "
            "above.",
            size=(5.1, 3.9),
            growth=0.65,
        ),
        Kind(
            "bounds",
            "How far every bound is from the truth",
            "theory",
            theory.bounds,
            select.the_first(
                lambda pair: theory.comparable(pair, DRAWABLE),
                "no pair has bounds on a loss above 0; measure with --landmarks",
            ),
            select.the_nearest,
            size=(5.1, 3.9),
        ),
        Kind(
            "anova",
            "What class centres see of the difference",
            "theory",
            loss.anova,
            select.several(
                lambda pair: pair.anova,
                "no pair has shares by class means, which need class-means or kmeans landmarks; pass --landmarks",
            ),
            size=(5.0, 2.3),
            growth=0.35,
        ),
        Kind(
            "training",
            "Training by epoch",
            "training",
            training.training,
            select.trained,
            lambda report: [Asked(quantity=quantity) for quantity in select.TRAINING_TITLES],
            "Trajectories are of held-out validation examples in eval mode, with class means as landmarks, after every "
            "epoch.",
        ),
        Kind(
            "trajectory",
            "The student's kernel by epoch",
            "training",
            trajectory.trajectory,
            select.followed,
            lambda report: [Asked(quantity=quantity) for quantity in trajectory.QUANTITIES],
        ),
    )
}


def plot(
    report: TransferReport,
    kind: str = "ladder",
    ax: Axes | None = None,
    *,
    student: str | None = None,
    teacher_layer: str | None = None,
    student_layer: str | None = None,
    quantity: str | None = None,
) -> Axes:
    """Draw one figure and return its axes; ``axes.figure`` shows it in a notebook and has ``savefig``.

    Args:
        kind: one of :data:`KINDS`.
        ax: axes to draw on; by default those of a new figure. pyplot is neither needed nor touched.
        student, teacher_layer, student_layer: which pairs, as in ``report.sel``; all that fit are drawn. By default
            one pair of each student, the embedding where it was measured; ``bounds``, ``classes``, ``references`` and
            ``spectra`` show one pair, the first of these, ``layers`` every pair of one student.
        quantity: for ``training``: ``accuracy`` (default) or ``loss``; for ``trajectory``, which follows the layer
            ``student_layer``: ``loss`` (default), ``estimate``, ``eigenvalues``, ``bounds``, ``cka``, ``neighbours`` or
            ``gradients``.

    Raises:
        UsageError: an unknown kind, no such pair, or nothing to draw; the message says what is missing.
    """
    if kind not in KINDS:
        raise UsageError(_unknown(kind))
    asked = Asked(student, teacher_layer, student_layer, quantity)
    with canvas.own_style():
        drawn = KINDS[kind].axes(report, asked, ax)
    if isinstance(drawn, str):
        raise UsageError(f"{kind} cannot be drawn: {drawn}")
    return drawn


def kinds() -> tuple[str, ...]:
    """What :func:`plot` can draw."""
    return tuple(KINDS)


def _unknown(kind: str) -> str:
    near = difflib.get_close_matches(kind, kinds(), n=1, cutoff=0.4)
    hint = f", nearest {near[0]}" if near else ""
    return f"there is no figure {str(kind)[:30]!r}{hint}; choose from {', '.join(kinds())}"
