"""``kernelscope extract``: layer features of one network into HDF5."""

from __future__ import annotations

from typing import Any

import click

from kernelscope.cli import launching, options
from kernelscope.cli.grouping import Verb
from kernelscope.cli.outputs import extraction_progress
from kernelscope.cli.streams import say


@click.command("extract", cls=Verb)
@click.argument("model", type=options.PATH)
@click.option("--out", type=options.PATH, required=True, metavar="FILE.h5", help="Feature file to write.")
@options.run_of_one_network
@options.max_memory
@options.device
@options.dtype
@options.no_accuracy_check
@launching.nproc
@options.overwrite
@options.quiet
@options.debug
def command(**given: Any) -> int:
    """Run MODEL over its evaluation data, in order, and save the activations of its layers.

    Interrupted, the same command goes on where it stopped and ends with the same bits.
    """
    return launching.together(given, _extract)


def _extract(given: dict[str, Any]) -> None:
    from kernelscope import processes
    from kernelscope.checkpoints.loading import load
    from kernelscope.features.extraction import Extraction
    from kernelscope.features.request import Request
    from kernelscope.files import refuse_existing
    from kernelscope.measurement.evaluation_data import examples_for, require_inputs, with_operations

    model, out, overwrite, quiet = (given.pop(name) for name in ("model", "out", "overwrite", "quiet"))
    refuse_existing(out, overwrite=overwrite)
    loaded = load(model, arch=given.pop("arch"), arch_kwargs=given.pop("arch_kwargs"))
    request = Request(**given, progress=extraction_progress(quiet))
    examples = examples_for({str(model): loaded}, request)
    require_inputs(str(model), loaded, examples, request.preprocess)
    loaded = with_operations(loaded, request.preprocess)
    with Extraction(loaded, examples, request).write(out, overwrite=overwrite) as store:
        widths = ", ".join(f"{name} {store.features(name).shape[1]}" for name in store.layers)
        if processes.is_first():
            say(f"{out}: {store.n} examples, {widths}")
