"""``kernelscope study``: a user's own methods, architectures and seeds, each network trained once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kernelscope.cli import options, studying
from kernelscope.cli.grouping import Verb
from kernelscope.cli.streams import say

if TYPE_CHECKING:
    from pathlib import Path

    from kernelscope.distill.comparison import Difference
    from kernelscope.paper.study import Outcome

#: column: field of a row's numbers, what it is multiplied by, decimals
COLUMNS = {
    "top-1": ("top1", 100, 1),
    "raw": ("embedding.raw", 1, 3),
    "scaled": ("embedding.scaled", 1, 3),
    "head held out": ("embedding.head_held_out", 1, 3),
    "neighbours": ("embedding.neighbours", 1, 3),
}
PROSE = (
    "Means ± standard deviations over seeds, on test images: accuracy in per cent; ‖K_S−K_T‖_F/‖K_T‖_F at the "
    "embedding as it is, after the best scalar, after a linear head on images held out; share of common nearest "
    "neighbours."
)


@click.command("study", cls=Verb)
@click.argument("plan", type=options.PATH, metavar="PLAN.toml")
@click.option("--out", type=options.PATH, required=True, metavar="DIR", help="Folder of the results and the students.")
@studying.shared
def command(plan: Path, **given: Any) -> None:
    """Train every method of a plan with every student architecture and seed, and say how the methods differ.

    A plan is a TOML file: methods, seeds, epochs, [data], [teacher], [[student]]; see docs/study.md. `weight=a|b|c` in
    a method is searched for on training images held out. Leaves results.csv, results.json and students/*.pt in DIR;
    each .pt is a checkpoint for `measure`. What is finished stays: --resume goes on after a signal, a crash or a power
    cut, also with a longer plan.
    """
    from kernelscope.paper import study
    from kernelscope.paper.user_plan import read

    found = read(plan)
    stages = study.UserStages(found, given["out"])
    jobs = stages.expected()
    if given["dry_run"]:
        return studying.say_cost(jobs, given)
    with studying.trainer(found.to_dict(), jobs, given) as (workers, cost, announce):
        outcome = study.run(stages, workers, cost, announce)
        study.write(outcome, given["out"])
    return say(_table(outcome))


def _table(outcome: Outcome) -> str:
    """A line per architecture and method, then each method against the first."""
    from kernelscope.cli.cohort_table import spread
    from kernelscope.paper.study import number

    plan = outcome.plan
    widths = [max(len(text) for text in texts) for texts in (("student", *plan.students), ("method", *plan.methods))]
    lines = [
        "  ".join([f"{'student':<{widths[0]}}", f"{'method':<{widths[1]}}", *(f"{c:>15}" for c in COLUMNS), "seeds"])
    ]
    for arch in plan.students:
        for method in plan.methods:
            rows = outcome.of(arch, method)
            cells = []
            for field, scale, digits in COLUMNS.values():
                values = [scale * value for row in rows if (value := number(row, field)) is not None]
                cells.append(f"{spread(values, digits):>15}")
            lines.append("  ".join([f"{arch:<{widths[0]}}", f"{method:<{widths[1]}}", *cells, f"{len(rows):>5}"]))
    lines += ["", PROSE]
    for arch in plan.students:
        for method in plan.methods[1:]:
            said = [_in_words(outcome.difference(arch, method, field), name) for name, (field, *_) in COLUMNS.items()]
            lines.append(
                f"{arch}, {method} − {plan.methods[0]}: {'; '.join(filter(None, said)) or 'nothing to compare'}"
            )
    lines += [f"failed: {row.arch} {row.method} seed {row.seed}: {row.failed}" for row in outcome.rows if row.failed]
    return "\n".join(lines)


def _in_words(found: Difference | None, name: str) -> str | None:
    if found is None:
        return None
    _, scale, digits = COLUMNS[name]
    half = "" if found.half_width is None else f" ± {scale * found.half_width:.{digits}f}"
    return f"{name} {scale * found.value:+.{digits}f}{half}"
