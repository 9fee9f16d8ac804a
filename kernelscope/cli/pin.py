"""``kernelscope pin``: rows of a network that later releases are held against, without the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kernelscope.cli import options
from kernelscope.cli.grouping import Verb
from kernelscope.cli.outputs import extraction_progress
from kernelscope.cli.streams import say

if TYPE_CHECKING:
    from pathlib import Path


@click.command("pin", cls=Verb)
@click.argument("model", type=options.PATH)
@click.option("--out", type=options.PATH, required=True, metavar="FILE.ksref", help="File of pinned rows to write.")
@click.option("--alarm", type=float, default=1e-6, show_default=True, help="Rate at which a mere re-run may fail.")
@click.option("--reruns", type=int, default=10, show_default=True, help="Re-runs of each type that set the limits.")
@click.option("--allow", metavar="T1,T2", default="", help="Types that are no drift either: float16, bfloat16.")
@click.option("--max", "at_most", metavar="FIELD=X", multiple=True, help="A limit instead: on change, loss or overlap.")
@click.option("--min", "at_least", metavar="FIELD=X", multiple=True, help="The same from below: overlap=0.9.")
@options.run_of_one_network
@options.device
@options.dtype
@options.no_accuracy_check
@options.overwrite
@options.quiet
@options.debug
def command(out: Path, allow: str, overwrite: bool, quiet: bool, **given: Any) -> None:
    """Pin the rows that MODEL gives for fixed examples, so that `gate --pinned` finds when a release drifts from them.

    MODEL is a network, or features, for which limits are given by --max and --min. Limits of a network are from re-runs
    in other batch sizes, threads and in float64 (docs/drift.md).
    """
    from kernelscope.errors import in_bytes
    from kernelscope.files import refuse_existing
    from kernelscope.measurement.pin import pin

    refuse_existing(out, overwrite=overwrite)
    allowed = [word.strip() for word in allow.split(",") if word.strip()]
    pinned = pin(**given, allow=allowed, out=out, progress=extraction_progress(quiet))
    say(f"{out}: {pinned.n:,} examples, {in_bytes(out.stat().st_size)}")
    for layer in pinned.layers:
        limit = "" if layer.limit is None else f", may change by {layer.limit:.2g}"
        say(f"  {layer.name}: {layer.width} wide, {pinned.dtype} costs {layer.floor:.1g}{limit}")
    for rerun in pinned.reruns:
        say(f"  {rerun.runs} re-runs in {rerun.dtype}: changed by {rerun.largest:.2g} at most")
