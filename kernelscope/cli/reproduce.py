"""``kernelscope reproduce``: the paper's figures and tables, on students that it trains."""

from __future__ import annotations

from typing import Any

import click

from kernelscope.cli import options, studying, values
from kernelscope.cli.grouping import Verb
from kernelscope.cli.streams import say


@click.command("reproduce", cls=Verb)
@click.argument("figures", nargs=-1, metavar="[fig2 | fig3 | ... | table3 | all]...")
@click.option("--out", type=options.PATH, required=True, metavar="DIR", help="Folder of the page and the students.")
@click.option(
    "--size",
    type=click.Choice(["minutes", "hour", "paper"]),
    default="minutes",
    show_default=True,
    help="16 epochs, 28 with 5 seeds, or the paper's own networks and schedule, which need its data and a GPU.",
)
@click.option(
    "--data",
    multiple=True,
    metavar="NAME",
    help="shapes, digits, cifar100:DIR, tiny-imagenet:DIR; twice: the second stands in table 3 [default: shapes].",
)
@click.option(
    "--seeds",
    metavar="S1,S2",
    callback=values.reads(values.whole_numbers("0,1,2")),
    help="A student of every system for each [default: 0,1,2].",
)
@studying.shared
def command(figures: tuple[str, ...], **given: Any) -> None:
    """Train the paper's students and hold its figures and tables beside its own numbers, a verdict for each claim.

    Figures that share a student train it once. Leaves index.html, reproduction.md, results.csv, results.json,
    weights.json and students/*.pt in DIR; each .pt is a checkpoint for `measure`. What is finished stays: --resume goes
    on after a signal, a crash or a power cut, also with more figures or seeds.
    """
    from kernelscope.paper import findings, page, tables
    from kernelscope.paper.plan import plan
    from kernelscope.paper.reproduction import expected, reproduce

    chosen = plan(figures, given["size"], given["data"], given["seeds"])
    out, jobs = given["out"], expected(chosen, given["out"])
    if given["dry_run"]:
        return studying.say_cost(jobs, given)
    with studying.trainer(chosen.to_dict(), jobs, given) as (workers, cost, announce):
        study = reproduce(chosen, workers, cost, announce)
    found = findings.of(study)
    tables.write(found, out)
    page.write(found, out)
    findings.require_proved(found)
    failed = sum(row.failed is not None for row in study.rows)
    return say(f"{out / 'index.html'}: {len(study.rows)} networks{f', {failed} failed' if failed else ''}")
