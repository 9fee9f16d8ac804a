"""Sections of the page that need no claim: the bounds on every student, and which number predicts accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope.paper import corollaries, figures, prediction, words
from kernelscope.paper.layout import Section, Table
from kernelscope.report.digits import number, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernelscope.paper.findings import Findings


def bounds(found: Findings) -> Section | None:
    """Corollaries, Lemma and Theorem on every student and epoch, and the estimate's tracking."""
    if not found.bounds:
        return None
    rows = tuple(
        (
            bound.title,
            f"{bound.holds:,} of {bound.points:,}",
            "–" if bound.slack is None else " / ".join(number(value, 2) for value in bound.slack),
            percent(bound.vacuous / bound.points, 0),
            percent(bound.assumed / bound.points, 0),
        )
        for bound in found.bounds
    )
    columns = ("bound", "holds", "slack: least / median / largest", "says nothing", "eigenvalues above 1")
    lead = [
        "Every bound on every student, at both layers, after every epoch (validation images) and in the end (test "
        "images). Slack is the larger side over the smaller; it says nothing where the two norms alone say as much."
    ]
    if found.lemma is not None:
        of, (printed, own) = found.lemma.kernels, found.lemma.holds
        a, b = found.lemma.tightest
        lead.append(
            f"Lemma 1, entry by entry: holds on {printed:,} of {of:,} kernels as printed (tightest pair {a:.2f} of its "
            f"bound) and on {own:,} with the examples' own norms ({b:.2f})."
        )
    lead.append(f"Proved bounds that fail: {len(found.broken) or 'none'}.")
    drawn = figures.slack(found.bounds)
    return Section(
        "Corollaries, Lemma and Theorem on what was trained",
        tuple(lead),
        drawings=() if drawn is None else (drawn,),
        tables=(Table("", columns, rows), _trackings(found.trackings)),
        key="bounds",
    )


def _trackings(found: tuple[corollaries.Tracking, ...]) -> Table:
    def two(pair: tuple[float, float] | None) -> str:
        return "–" if pair is None else f"{pair[0]:.3f} / {pair[1]:.3f}"

    rows = tuple(
        (
            f"{t.scene}, {t.layer}",
            str(t.students),
            two(t.pearson),
            two(t.spearman),
            "–" if t.across is None else f"{t.across:.3f}",
            f"{t.level:.3f} ({t.expected:.3f})",
            "–" if t.expanded is None else f"{t.expanded[0]:.2f} to {t.expanded[1]:.2f}",
        )
        for t in found
    )
    columns = (
        "where", "students", "Pearson over epochs: least / median", "Spearman over epochs", "Spearman across students",
        "estimate / loss (√(L/n))", "expanded / loss",
    )  # fmt: skip
    return Table("Whether the estimate ‖C_S − C_T‖ / ‖K_T‖ follows the loss", columns, rows)


def predictions(found: Findings) -> Section | None:
    """The last figure: which number predicts accuracy."""
    if not found.groups:
        return None
    overall = [group for group in found.groups if group.within == "all"]
    shown = [group for group in found.groups if group.students >= prediction.ENOUGH or group in overall]
    return Section(
        "Does the number predict the student?",
        (
            "Spearman's correlation with test accuracy over all students, those of the search among them, which saw "
            "four fifths of the training images; intervals draw methods, each with all its students. 0 stands first "
            "where the interval contains it.",
            *(
                f"Only {group.students} students of scene {group.scene!r}: {prediction.ENOUGH} would be needed."
                for group in overall
                if group.students < prediction.ENOUGH
            ),
        ),
        drawings=tuple(map(figures.prediction, shown)),
        tables=tuple(_correlations(found, scene, epochs) for scene, epochs in _lengths(found)),
        key="prediction",
    )


def _lengths(found: Findings) -> Iterator[tuple[str, int]]:
    yield from dict.fromkeys((group.scene, group.epochs) for group in found.groups)


def _correlations(found: Findings, scene: str, epochs: int) -> Table:
    groups = [group for group in found.groups if (group.scene, group.epochs) == (scene, epochs)]
    columns = ("number", *(f"{words.within(group)} ({group.students})" for group in groups))
    rows = tuple(
        (label, *(words.correlation(group.found.get(name)) for group in groups))
        for name, label in prediction.PREDICTORS.items()
    )
    return Table(f"{words.scene(found.study.plan, scene)}, {epochs} epochs", columns, rows)
