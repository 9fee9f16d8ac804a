"""The page: a report as one HTML file with inline SVG, no script, no network, everything escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kernelscope.errors import UsageError
from kernelscope.report.plots import figure_svg
from kernelscope.report.tables import loss_in_digits, number
from kernelscope.report.transfer import PairReport, TransferReport
from kernelscope.report.verdict import verdict

CAPTIONS = {
    "ladder": "What is left of the loss after each fix. A long fall to “scalar” means: rescale. A long fall to “head”: the "
    "information is there, add a linear head. A flat line: retrain. Near the width floor: widen. Dotted: the same "
    "student with its examples shuffled.",
    "landmark_spectrum": "Eigenvalues of the class centres' own kernel. The paper's corollaries assume that all exceed 1.",
    "bounds": "Each bound as a multiple of the true ‖K_S − K_T‖; hollow ones are above what needs no landmarks at all.",
    "classes": "Share of the squared kernel difference in each pair of classes, for the student farthest from the teacher.",
    "difference_spectrum": "Eigenvalues of K_S − K_T: positive ones are what the student added, negative ones what it lost.",
    "training": "Accuracy on validation examples while training, as the checkpoints tell it.",
}


def render(report: TransferReport) -> str:
    """The whole page."""
    layers = list(dict.fromkeys(pair.student_layer for pair in report))
    return _template("page.html.j2").render(**_content(report), figures=_figures(report, layers[:4]), meta=report.meta)


def notebook(report: TransferReport) -> str:
    """Table and verdicts as a fragment for a notebook."""
    return _template("notebook.html.j2").render(**_content(report))


def _content(report: TransferReport) -> dict[str, Any]:
    accuracy = {network.name: network.top1 for network in report.networks}
    return {
        "teacher": report.networks[0] if report.networks else None,
        "networks": report.networks,
        "students": [(_short(pair.student), verdict(pair)) for pair in _first_pairs(report)],
        "rows": [_row(pair, accuracy) for pair in report],
        "theory": [_theory(pair) for pair in report],
        "first": report.pairs[0] if report.pairs else None,
        "warnings": [(f"{_short(p.student)}, {_layer(p)}", w.text) for p in report for w in p.warnings],
        "notes": list(dict.fromkeys(note for pair in report for note in pair.notes)),
    }


def _row(pair: PairReport, accuracy: dict[str, float | None]) -> dict[str, str]:
    low, high = pair.sampling_interval or (None, None)
    return {
        "student": _short(pair.student),
        "layer": _layer(pair),
        "loss": loss_in_digits(pair),
        "sampling": "–" if low is None else f"{number(low)} … {number(high)}",
        "scaled": number(pair.ladder.scaled),
        "head": number(pair.ladder.head),
        "floor": number(pair.ladder.width_floor),
        "chance": number(pair.null.transfer_loss),
        "cka": number(pair.cka),
        "top1": number(accuracy.get(pair.student)),
        "proof": "proved" if pair.rounding_certified else "estimated",
        "interval": f"{pair.rounding_interval[0]:.9g} … {pair.rounding_interval[1]:.9g}",
        "route": pair.route,
    }


def _theory(pair: PairReport) -> dict[str, str]:
    paper, spectra, anova = pair.paper, pair.landmark_spectrum, pair.anova
    terms = None if paper is None else paper.theorem2
    bound = None if paper is None else paper.bounds.get("theorem2")
    seen = None if anova is None else anova.mean_mean + anova.mean_within
    return {
        "student": _short(pair.student),
        "layer": _layer(pair),
        "truth": number(pair.norm_difference),
        "loss": loss_in_digits(pair),
        "estimate": number(None if paper is None else paper.estimate),
        "expanded": number(None if pair.nystrom is None else pair.nystrom.expanded_estimate),
        "seen": "–" if seen is None else f"{seen:.0%}",
        "term_a": "–" if terms is None else f"{number(terms.term_a_student)} + {number(terms.term_a_teacher)}",
        "term_b": number(None if terms is None else terms.term_b),
        "e": number(None if terms is None else terms.e),
        "bound": number(None if terms is None else terms.bound),
        "over": number(None if bound is None else bound.over_truth),
        "min_T": number(None if spectra is None else spectra.teacher.min),
        "min_S": number(None if spectra is None else spectra.student.min),
    }


def _figures(report: TransferReport, layers: list[str]) -> list[dict[str, Any]]:
    """Every figure this report has numbers for."""
    wanted = [("ladder", layer) for layer in layers]
    wanted += [(kind, layers[0]) for kind in CAPTIONS if kind != "ladder" and layers]
    figures = []
    for kind, layer in wanted:
        try:
            svg = figure_svg(report, kind, layer=layer)
        except UsageError:
            continue
        # the SVG is matplotlib's own; text in it is drawn as paths, so no name can become markup
        figures.append({"kind": kind, "svg": Markup(svg), "caption": CAPTIONS[kind]})
    return figures


def _first_pairs(report: TransferReport) -> list[PairReport]:
    found: dict[str, PairReport] = {}
    for pair in report:
        found.setdefault(pair.student, pair)
    return list(found.values())


def _short(name: str) -> str:
    return Path(name).name or name


def _layer(pair: PairReport) -> str:
    return (
        pair.student_layer
        if pair.teacher_layer == pair.student_layer
        else f"{pair.teacher_layer} = {pair.student_layer}"
    )


def _template(name: str) -> Any:
    environment = Environment(
        loader=PackageLoader("kernelscope.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(name)
