"""What a study's page and text hold, in order: sections of sentences, figures and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope.paper import claims, evidence, figures, published, words
from kernelscope.paper.cells import EMBEDDING
from kernelscope.paper.layout import Section, Table
from kernelscope.paper.plan import FIGURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelscope.paper.findings import Findings, Judged
    from kernelscope.paper.layout import Said

SHARE, LOSS = {"scale": 100.0, "decimals": 1}, {"scale": 1.0, "decimals": 3}
#: columns of a table of means: heading, number, how it is written
MEANS = (
    ("top-1 %", "top1", SHARE),
    ("loss", "raw", LOSS),
    ("after scalar", "scaled", LOSS),
    ("after head", "head_held_out", LOSS),
    ("neighbours", "neighbours", LOSS),
)


def of(found: Findings) -> list[Section]:
    """Every section below the table of claims."""
    shown = found.study.plan.figures
    made = [_figure(found, figure) for figure in shown]
    place = 1 + max((i for i, figure in enumerate(shown) if figure in ("fig4", "fig5")), default=len(shown) - 1)
    ours = [_ours(found)] if found.of(claims.OURS) else []
    placed = (*made[:place], evidence.bounds(found), *made[place:], *ours, evidence.predictions(found))
    return [section for section in placed if section is not None]


def all_claims(found: Findings) -> Table:
    """Every claim in a line."""
    rows = []
    for judged in found.judged:
        verdict, claim = judged.verdict, judged.verdict.claim
        again = [judged.after.get(rung) for rung in words.RUNGS]
        where = _where(judged) if claim.figure == claims.OURS else ""
        rows.append(
            (
                words.short(claim.figure),
                words.capital(claim.text) + ("*" if verdict.unmet else ""),
                f"{where}{_who(found, judged)}",
                words.own(claim, unit=False),
                words.measured(verdict, unit=False),
                words.mark(verdict),
                *("" if a is None else words.mark(a) for a in again),
            )
        )
    columns = ("of", "claim", "students", "paper", "here", "verdict", "after scalar", "after head")
    caption = "Differences in points of accuracy or in the loss, with 95 % intervals; k/n: seeds on the claim's side; "
    caption += "(+) and (−): not testable, but all of the interval is on the claim's or on the other side"
    return Table(caption, columns, tuple(rows))


def unmet(found: Findings) -> list[str]:
    """Preconditions that do not hold, once for each student."""
    said = dict.fromkeys(f"{_where(j)}{_who(found, j)}: {text}" for j in found.judged for text in j.verdict.unmet)
    return list(said)


def _figure(found: Findings, figure: str) -> Section:
    judged = found.of(figure)
    counts = {o: n for o in words.OUTCOMES if (n := sum(j.verdict.outcome == o for j in judged))}
    lead = [f"The paper: {published.WORDS[figure]}."] if figure in published.WORDS else []
    shown = dict.fromkeys((cell.scene, cell.role) for cell in FIGURES[figure] if cell in found.study.plan.cells)
    several = len(shown) > 1
    return Section(
        words.HEADINGS[figure],
        (*lead, f"{words.capital(words.summary(counts))}."),
        _by_claim(found, judged) if several else tuple((j.verdict.outcome, words.sentence(j)) for j in judged),
        tuple(figures.of(found, figure)),
        tuple(_means(found, figure, scene, role) for scene, role in shown if figure not in ("fig4", "fig5")),
        figure,
    )


def _who(found: Findings, judged: Judged) -> str:
    claim = judged.verdict.claim
    return words.role(found.study.plan, claim.scene, claim.role)


def _means(found: Findings, figure: str, scene: str, role: str) -> Table:
    """Means over seeds of a figure's systems beside the paper's accuracies."""
    printed = {} if figure in ("digits", "fig3a", "fig3b") else published.table(figure, role)
    layer = figures.LAYER.get(figure, EMBEDDING)
    rows = []
    for cell in FIGURES[figure]:
        if (cell.scene, cell.role) == (scene, role):
            numbers = (words.spread(found.cells.spread(cell, key, layer), **how) for _, key, how in MEANS)  # type: ignore[arg-type]
            rows.append((words.system(cell.system), str(printed.get(cell.system, published.MISSING)), *numbers))
    plan = found.study.plan
    caption = f"{words.scene(plan, scene)}; {words.student(plan, scene, role)}; means and sd over seeds at the {layer}"
    return Table(caption, ("system", "paper, top-1 %", *(heading for heading, *_ in MEANS)), tuple(rows))


def _by_claim(found: Findings, judged: Sequence[Judged], *, scenes: bool = False) -> tuple[Said, ...]:
    """A sentence for each claim of several students."""
    made = []
    for text in dict.fromkeys(j.verdict.claim.text for j in judged):
        those = [j for j in judged if j.verdict.claim.text == text]
        outcomes = {j.verdict.outcome for j in those}
        each = [f"{_where(j) if scenes else ''}{_who(found, j)} {words.verdict(j.verdict)}" for j in those]
        made.append((outcomes.pop() if len(outcomes) == 1 else None, f"{words.capital(text)}: {'; '.join(each)}"))
    return tuple(made)


def _where(judged: Judged) -> str:
    return f"{judged.verdict.claim.scene} "


def _ours(found: Findings) -> Section:
    lead = "Sums that follow every batch, without a warm-up, in the place of landmarks that are an epoch old"
    return Section(
        words.HEADINGS[claims.OURS],
        (f"{lead}. {words.capital(words.summary(found.counts(ours=True)))}.",),
        _by_claim(found, found.of(claims.OURS), scenes=True),
    )
