"""What a study's page and text hold, in order: sections of sentences, figures and tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

from kernelscope.paper import claims, corollaries, figures, prediction, published, words
from kernelscope.paper.cells import EMBEDDING
from kernelscope.paper.plan import FIGURES, Cell
from kernelscope.paper.scenes import SEARCH_SEED
from kernelscope.report.digits import number, percent
from kernelscope.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kernelscope.paper.findings import Findings, Judged
    from kernelscope.paper.verdicts import Outcome

    Said = tuple[Outcome | None, str]

SHARE, LOSS = {"scale": 100.0, "decimals": 1}, {"scale": 1.0, "decimals": 3}
#: columns of a table of means: heading, number, how it is written
MEANS = (
    ("top-1 %", "top1", SHARE),
    ("loss", "raw", LOSS),
    ("after scalar", "scaled", LOSS),
    ("after head", "head_held_out", LOSS),
    ("neighbours", "neighbours", LOSS),
)


@dataclass(frozen=True)
class Table:
    """Cells of text; the first of a row names it."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A part of the page; ``said``: sentences, each with the verdict that it tells, if it tells one."""

    heading: str
    lead: tuple[str, ...] = ()
    said: tuple[Said, ...] = ()
    drawings: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    key: str = field(default="")


def of(found: Findings) -> list[Section]:
    """Every section below the table of claims."""
    shown = found.study.plan.figures
    made = [_figure(found, figure) for figure in shown]
    place = 1 + max((i for i, figure in enumerate(shown) if figure in ("fig4", "fig5")), default=len(shown) - 1)
    ours = [_ours(found)] if found.of(claims.OURS) else []
    placed = (*made[:place], _bounds(found), *made[place:], *ours, _prediction(found))
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


def facts(found: Findings) -> list[tuple[str, str]]:
    """What was trained, on what, and what it cost."""
    study = found.study
    plan, rows = study.plan, study.rows
    of = {purpose: [row for row in rows if row.purpose == purpose] for purpose in ("teacher", "figure", "search")}
    seconds, threads = sum(row.seconds or 0.0 for row in rows), sorted({row.threads for row in rows})
    figures_asked = "all" if plan.figures == tuple(FIGURES) else " ".join(plan.figures)
    command = f"kernelscope reproduce {figures_asked} --size {plan.size} --seeds {','.join(map(str, plan.seeds))}"
    counts = f"{len(of['figure'])} for figures, {len(of['search'])} to find weights, {len(of['teacher'])} to teach"
    said = [
        ("Command", command),
        ("Networks", f"{counts}; {sum(row.failed is not None for row in rows)} failed"),
    ]
    for scene in plan.scenes:
        teacher = study.teacher(scene.key)
        top1 = "" if teacher is None or teacher.top1 is None else f" ({percent(teacher.top1)})"
        roles = dict.fromkeys(cell.role for cell in plan.cells if cell.scene == scene.key)
        students = ", ".join(words.student(plan, scene.key, role) for role in roles)
        rest = f"{scene.epochs} epochs, batches of {scene.batch_size}"
        said.append(
            (
                f"Scene {scene.key!r}",
                f"{words.scene(plan, scene.key)}; {scene.teacher}{top1} teaches {students}; {rest}",
            )
        )
    images = sorted({row.test_images for row in of["figure"] if row.test_images})
    said += [
        ("Test images", ", ".join(f"{count:,}" for count in images)),
        ("Seeds", f"{', '.join(map(str, plan.seeds))}; {SEARCH_SEED} for weights"),
        ("Time", f"{seconds / 60:.0f} CPU minutes in processes of {', '.join(map(str, threads))} thread"),
        ("With", f"kernelscope {__version__}, torch {version('torch')}, numpy {version('numpy')}"),
    ]
    return [(term, text) for term, text in said if text]


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


def _bounds(found: Findings) -> Section | None:
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


def _prediction(found: Findings) -> Section | None:
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


def appendix(found: Findings) -> list[Table]:
    """Methods as they were written, weights tried and chosen, failed students."""
    study = found.study
    methods = {Cell(r.scene, r.role, r.system): r.method for r in study.rows if r.purpose == "figure"}
    recipes = tuple((f"{c.scene} {c.role}", words.system(c.system), method) for c, method in methods.items())
    made = [Table("Methods", ("student", "system", "method"), recipes)]
    tried = tuple(
        (
            f"{scene} {system}",
            ", ".join(
                f"{options}: {'failed' if top1 is None else percent(top1)}" for options, top1 in of["tried"].items()
            ),
            str(of["chosen"]),
        )
        for scene, by_system in study.weights.items()
        for system, of in by_system.items()
    )
    if tried:
        caption = "Weights tried on held-out training images, S1, another seed; S2 and S3 take what was chosen"
        made.append(Table(caption, ("searched", "accuracy of each", "chosen"), tried))
    failed = tuple(
        (row.key, f"{row.scene} {row.role} {words.system(row.system)}, seed {row.seed}", row.failed)
        for row in study.rows
        if row.failed is not None
    )
    if failed:
        made.append(Table("Students that failed", ("key", "student", "reason"), failed))
    return made
