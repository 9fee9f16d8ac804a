"""The page: a report as one HTML file with inline SVG, no script, no network, everything escaped."""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import TYPE_CHECKING

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from kernelscope.errors import plain
from kernelscope.rendering.class_table import class_tables
from kernelscope.rendering.comparisons import comparisons_in_words
from kernelscope.rendering.difference_ends import difference_ends, worst_examples
from kernelscope.rendering.page_figures import MOST_STUDENTS, sections
from kernelscope.rendering.plots import canvas
from kernelscope.rendering.ranking import headline, ranked, ranking, rows
from kernelscope.rendering.statement import TITLE, statements, whole
from kernelscope.rendering.wording import (
    WORDS,
    first_pairs,
    layer_name,
    notes_by_text,
    rows_in_words,
    short_names,
    warnings_by_text,
)
from kernelscope.report.columns import LOSS_COLUMNS, THEORY_COLUMNS, Column, caption, columns_on, has_theory
from kernelscope.report.digits import loss_in_digits, percent
from kernelscope.report.report import TransferReport, network_of
from kernelscope.report.verdict import sentence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernelscope.report.fields import PairReport

LONGEST_UNBROKEN = 24
MOST_COMPARISONS = 6


def render(report: TransferReport) -> str:
    """The whole page: answers, what was measured, numbers, figures, theory, training, warnings, fingerprint."""
    report, places = ranked(report), ranking(report)
    return template("page.html.j2").render(
        **_content(report),
        ranking=rows(report, places),
        ranked_by=headline(report, places) if places else "",
        title=_title(report),
        facts=_facts(report),
        theory=_table(report, THEORY_COLUMNS, [pair for pair in report if has_theory(pair)]),
        drawn=min(len(first_pairs(report)), MOST_STUDENTS),
        sections=sections(report),
        compared=comparisons_in_words(report, 0 if places else MOST_COMPARISONS),
        worst=worst_examples(report),
        class_tables=class_tables(report),
        statement_title=TITLE,
        statements=statements(report),
        carriers=difference_ends(report),
        notes=notes_by_text(report),
        fingerprint=_fingerprint(report),
    )


def notebook(report: TransferReport) -> str:
    """Table and verdicts as a fragment for a notebook; its styles reach nothing else."""
    return template("notebook.html.j2").render(**_content(ranked(report)))


def _content(report: TransferReport) -> dict[str, object]:
    names = short_names(report)
    students = list(dict.fromkeys(pair.student for pair in report))
    return {
        "answers": [
            {
                "student": names[pair.student],
                "layer": layer_name(pair),
                "loss": loss_in_digits(pair),
                "sentence": whole(plain(sentence(pair))),
                "colour": students.index(pair.student) % len(canvas.COLOURS),
            }
            for pair in first_pairs(report)
        ],
        "short": all(len(name) <= LONGEST_UNBROKEN for name in (*names.values(), *map(layer_name, report))),
        "numbers": _table(report, LOSS_COLUMNS, report.pairs),
        "warnings": warnings_by_text(report),
    }


def _table(report: TransferReport, columns: Iterable[Column], pairs: Iterable[PairReport]) -> dict[str, object]:
    """Columns, one row per pair with its cells beside them, and what the columns mean."""
    shown, names = columns_on("page", columns, report), short_names(report)
    rows = [
        {
            "student": names[pair.student],
            "layer": layer_name(pair),
            "cells": [(column, column.cell(report, pair)) for column in shown],
        }
        for pair in pairs
    ]
    return {"columns": shown, "rows": rows, "caption": caption(shown)}


def _title(report: TransferReport) -> str:
    names = short_names(report)
    students = list(dict.fromkeys(names[pair.student] for pair in report))
    if not students:
        return "No pair was measured"
    if len(students) > 4:
        return f"How much of the teacher's kernel did {len(students)} students inherit?"
    listed = students[0] if len(students) == 1 else f"{', '.join(students[:-1])} and {students[-1]}"
    return f"How much of the teacher's kernel did {listed} inherit?"


def _facts(report: TransferReport) -> list[tuple[str, str]]:
    """What was measured on what, and how far rounding is under control."""
    names, meta = short_names(report), report.meta
    pairs = report.pairs
    facts = [
        ("Teacher", "; ".join(_described(report, name, names) for name in dict.fromkeys(p.teacher for p in pairs))),
        ("Students", "; ".join(_described(report, name, names) for name in dict.fromkeys(p.student for p in pairs))),
        ("Data", _listed(f"{plain(p.split)}, {rows_in_words(p)}" if p.split else rows_in_words(p) for p in pairs)),
        ("Features", _listed(_widths(p) for p in pairs)),
        ("Kernel", _listed(plain(p.kernel) for p in pairs)),
        ("Landmarks", _listed(f"{plain(p.landmarks.strategy)} ({p.landmarks.m})" for p in pairs if p.landmarks)),
        ("Route", _listed(plain(p.route) for p in pairs)),
        ("Rounding", _rounding(pairs)),
        ("Measured", _joined(" on ", _date(meta.get("created")), meta.get("device"))),
        ("With", _joined(" ", "kernelscope", meta.get("kernelscope")) if meta.get("kernelscope") else ""),
    ]
    return [(term, said) for term, said in facts if said]


def _widths(pair: PairReport) -> str:
    if pair.d_teacher == pair.d_student:
        return f"{layer_name(pair)}: {pair.d_teacher:,} in both"
    return f"{layer_name(pair)}: {pair.d_teacher:,} in the teacher, {pair.d_student:,} in the student"


def _described(report: TransferReport, name: str, names: dict[str, str]) -> str:
    """``kda.pt (resnet8, top-1 99.3%)``."""
    network = network_of(report, name)
    if network is None or (network.arch is None and network.top1 is None):
        return names[name]
    known = [plain(network.arch)] if network.arch else []
    known += [f"top-1 {percent(network.top1)}"] if network.top1 is not None else []
    return f"{names[name]} ({', '.join(known)})"


def _rounding(pairs: tuple[PairReport, ...]) -> str:
    """How many losses are resolved, how many intervals proved, and the widest of them."""
    if not pairs:
        return ""
    resolved, proved = sum(p.resolved for p in pairs), sum(p.rounding_certified for p in pairs)
    widest = max((high - low) / 2 for low, high in (p.rounding_interval for p in pairs))
    if len(pairs) == 1:
        said = ["resolved" if resolved else "not resolved", "interval proved" if proved else "interval estimated"]
    else:
        said = [f"{_of(resolved, len(pairs))} losses resolved", f"{_of(proved, len(pairs))} intervals proved"]
    return ", ".join([*said, "exact" if widest == 0 else f"at most ±{widest:.0e}"])


def _of(count: int, all_of_them: int) -> str:
    return f"all {count}" if count == all_of_them else f"{count} of {all_of_them}"


def _fingerprint(report: TransferReport) -> list[tuple[str, str]]:
    """What another run must agree with to have measured the same."""
    names, meta = short_names(report), report.meta
    orders = dict.fromkeys(p.order_sha256 for p in report if p.order_sha256)
    found = [("order of the examples", plain(order)) for order in orders]
    found += [(names[network.name], plain(network.sha256)) for network in report.networks if network.sha256]
    versions = [(key, meta.get(key)) for key in ("kernelscope", "python", "numpy")]
    found += [("versions", ", ".join(f"{key} {plain(value)}" for key, value in versions if value))]
    asked = [(key, meta.get(key)) for key in ("route_asked", "rtol", "seed", "device")]
    said = (f"{key.removesuffix('_asked')} {plain(value)}" for key, value in asked if value is not None)
    found += [("asked for", ", ".join(said))]
    return [(term, value) for term, value in found if value]


def _listed(values: Iterable[str]) -> str:
    """Each once; a long list says how many more."""
    once = list(dict.fromkeys(values))
    return "; ".join(once) if len(once) <= 6 else f"{'; '.join(once[:6])}; and {len(once) - 6} more"


def _joined(between: str, *parts: object) -> str:
    return between.join(plain(part) for part in parts if part)


def _date(created: object) -> str:
    """``2026-03-14 15:09 UTC`` from an ISO time; anything else as it is."""
    text = plain(created or "")
    return f"{text[:10]} {text[11:16]} UTC" if text.endswith("+00:00") and len(text) >= 22 else text


@functools.cache
def template(name: str, room: str = "kernelscope.rendering") -> Template:
    """The template ``name`` of a room, which may include those of this one."""

    def source(file: str) -> str:
        of = room if file == name else "kernelscope.rendering"
        return resources.files(of).joinpath(file).read_text(encoding="utf-8")

    environment = Environment(
        loader=FunctionLoader(source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["palette"] = Markup(_palette())
    environment.filters["letters"] = _letters
    environment.filters["capital"] = _capital
    environment.filters["breaks"] = _breaks
    environment.filters["markup"] = Markup  # of figures alone, which have escaped their own text
    return environment.get_template(name)


def _capital(text: str) -> str:
    """``Loss``, but kNN as it is."""
    return text[:1].upper() + text[1:] if text[1:2].islower() else text


def _letters(text: str) -> Markup:
    """Our own words with K_S as K and a subscript."""
    return Markup(re.sub(r"_([A-Z])\b", r"<sub>\1</sub>", str(escape(text))))


def _breaks(name: str) -> Markup:
    """A long name, which may break behind ``/ . _ - :`` and blanks."""
    return Markup("<wbr>").join(WORDS.findall(name)) if len(name) > LONGEST_UNBROKEN else escape(name)


def _palette() -> str:
    """The figures' colours as CSS variables, and the same for dark paper."""
    light = "".join(f"--ks-{name}:{colour};" for colour, name in canvas.VARIABLES.items())
    return (
        f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{"
        + "".join(f"--ks-{name}:{colour};" for name, colour in canvas.DARK.items())
        + "}}"
    )
