"""Which examples networks are measured on: as asked, else what their checkpoints state."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kernelscope.errors import Mismatch, UsageError, one_line
from kernelscope.measurement.drawing import with_sample

if TYPE_CHECKING:
    from kernelscope.checkpoints.loaded import Loaded
    from kernelscope.datasets.examples import Examples
    from kernelscope.features.request import Request


def examples_for(networks: dict[str, Loaded], options: Request) -> Examples:
    """The examples every network is measured on: as asked, else what the checkpoints state, if they agree.

    Raises:
        UsageError: a network that states none, or code, and no data named. Mismatch: they disagree, or the data
            are others now. UnreadableInput: data that cannot be read.
    """
    from kernelscope.datasets import foreign, sources

    reading = options.reading()
    if options.data is None:
        examples = sources.limited(_as_stated(networks, options), reading)
    elif isinstance(options.data, (str, os.PathLike)):
        examples = sources.load(os.fspath(options.data), options.split, reading=reading)
    else:
        examples = sources.limited(foreign.given(options.data, reading, options.split), reading)
    if options.sample is not None and reading.sample is None:
        examples = with_sample(examples, options)
    return examples if options.preprocess is None else replace(examples, preprocess=options.preprocess)


def with_operations(loaded: Loaded, operations: list[dict[str, Any]] | None) -> Loaded:
    """The network with these operations in the place of those its file states; None leaves them."""
    if operations is None or loaded.checkpoint is None:
        return loaded
    return replace(loaded, checkpoint=replace(loaded.checkpoint, preprocess=operations))


def require_inputs(name: str, loaded: Loaded, examples: Examples, operations: list[dict[str, Any]] | None) -> None:
    """Compare the inputs that a network's file states with what it will be given, unless operations were named.

    Raises:
        Mismatch: another shape, as where teacher and student need different inputs.
    """
    checkpoint = loaded.checkpoint
    stated = None if checkpoint is None else checkpoint.input.get("shape")
    if checkpoint is None or operations is not None or not isinstance(stated, (list, tuple)):
        return
    found = examples.example_shape(checkpoint.preprocess)
    if found is not None and list(found) != list(stated):
        data = one_line(f"{examples.name}/{examples.split}", 50)
        raise Mismatch(
            f"{name} takes inputs of {one_line(str(tuple(stated)), 30)} and {data} gives {found}; "
            "pass --preprocess, or extract each network by itself"
        )


def _as_stated(networks: dict[str, Loaded], options: Request) -> Examples:
    """The evaluation split that the checkpoints name; data that are code are run only if the caller names them."""
    from kernelscope.datasets import sources
    from kernelscope.datasets.reading import Reading

    stated_data = {}
    for name, loaded in networks.items():
        checkpoint = loaded.checkpoint
        if checkpoint is None or not checkpoint.data.get("name"):
            raise UsageError(f"{name} does not state its data; pass --data NAME")
        stated_data[name] = {key: checkpoint.data.get(key) for key in ("name", "split", "seed", "order_sha256")}
    (first, expected), *others = stated_data.items()
    for name, found in others:
        same = found["order_sha256"] is not None and found["order_sha256"] == expected["order_sha256"]
        if not same and found != expected:
            raise Mismatch(
                f"{first} was evaluated on {_in_words(expected)}, {name} on {_in_words(found)}; pass --data NAME"
            )
    data = str(expected["name"])
    if sources.names_code(data):
        raise UsageError(f"{first} names code as its data ({one_line(data, 60)}); pass it as --data if you trust it")
    if expected["order_sha256"] is None and sources.names_files(data):
        raise UsageError(f"{first} names {one_line(data, 60)} without its fingerprint; pass --data NAME")
    reading = Reading(seed=expected["seed"] or 0, skip_unreadable=options.skip_unreadable)
    examples = sources.load(data, options.split or expected["split"], reading=reading)
    if options.split is None and expected["order_sha256"] not in (None, examples.order_sha256):
        raise Mismatch(f"{first} was evaluated on other examples than {examples.name} holds now; pass --data NAME")
    return examples


def _in_words(data: dict[str, Any]) -> str:
    digest = (data["order_sha256"] or "")[:8]
    return f"{one_line(data['name'], 40)}/{data['split']} (order {digest})"
