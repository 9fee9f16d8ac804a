"""What a file of weights holds, in lines for a person; nothing in it is run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelscope.activations.layer_table import layer_rows
from kernelscope.checkpoints import weights_file
from kernelscope.checkpoints.checkpoint import load_checkpoint
from kernelscope.checkpoints.description import describe, lines
from kernelscope.checkpoints.loading import load
from kernelscope.errors import Mismatch, NumericalError, UnreadableInput, UsageError, one_line
from kernelscope.file_parts import split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
SOME_ROWS = 10_000
MAX_VALUES = 2**20  #: of one example that a network is asked about; the shape comes from the file


def describe_network(
    path: Path, *, arch: str | None, arch_kwargs: dict[str, Any] | None, shape: Sequence[int] | None
) -> Iterator[str]:
    """Tensors and provenance, and the layers where the network and its input are known.

    Raises:
        UnreadableInput: no file of weights, or damaged.
    """
    described = describe(path)
    yield from lines(described)
    if arch is not None or (shape is not None and "arch" not in described):
        parts = [f"{path}::{part}" for part, _ in described.get("choices", ())] if arch is not None else []
        told = {part: _misfit(part, str(arch), arch_kwargs) for part in parts}
        yield from (f"{one_line(Path(part).name)} {reason or f'fits {arch}'}" for part, reason in told.items())
        fits = [part for part, reason in told.items() if reason is None] or [str(path)]
        loaded = load(fits[0], arch=arch, arch_kwargs=arch_kwargs)
        yield from _layers(loaded.module, shape, SOME_ROWS)
    elif "network" in described:
        yield from _layers_of_folder(path, shape)
    elif "arch" in described:
        checkpoint = load_checkpoint(path)
        stated = checkpoint.input.get("shape") if shape is None else list(shape)
        sizes = [size for size in stated if isinstance(size, int) and size > 0] if isinstance(stated, list) else []
        if not sizes or sizes != stated or math.prod(sizes) > MAX_VALUES:
            yield f"layers are not listed, as input is no shape of up to {MAX_VALUES:,} values"
            return
        with weights_file.as_unreadable(checkpoint.path or "checkpoint"):
            yield from list(_layers(checkpoint.network(), sizes, checkpoint.data.get("n") or SOME_ROWS))


def _misfit(part: str, arch: str, arch_kwargs: dict[str, Any] | None) -> str | None:
    """Why a part of a file is not of this architecture; None if it is."""
    try:
        load(part, arch=arch, arch_kwargs=arch_kwargs)
    except (Mismatch, UnreadableInput, NumericalError) as error:
        return str(error).removeprefix(part).removeprefix(str(split(part)[0])).strip()
    return None


def _layers_of_folder(path: Path, shape: Sequence[int] | None) -> Iterator[str]:
    """Of a network that is run on what its configuration says of its inputs; a line if that is not enough."""
    try:
        network = load(path).module
        config = getattr(network, "config", None)
        size, channels = getattr(config, "image_size", None), getattr(config, "num_channels", None)
        if shape is None and isinstance(size, int) and isinstance(channels, int):
            shape = (channels, size, size)
        yield from list(_layers(network, shape, SOME_ROWS))
    except UsageError as error:  # the library is not installed: what the folder is was told all the same
        yield f"layers are not listed: {error}"
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):  # of another library's forward pass
        yield "layers are not listed, as the input is not known; pass --input, such as 3,224,224"


def _layers(network: Any, shape: Sequence[int] | None, n: int) -> Iterator[str]:
    """Layers that may be asked for, with what they put out for one example, and what n rows of it take."""
    if shape is None and not hasattr(network, "dummy_inputs"):
        yield "layers are not listed, as the input is not known; pass --input, such as 3,224,224"
        return
    yield f"layers (any of them may be named in --layers; size of {n:,} pooled rows in float32):"
    rows = layer_rows(network, shape)
    longest = max((len(row.path) for row in rows), default=0)
    for row in rows:
        size = "×".join(map(str, row.shape)) if row.shape else "–"
        taken = "" if row.width is None else _in_units(4 * n * row.width)
        calls = "" if row.calls == 1 else f", {row.calls} calls" if row.calls else "did not run"
        yield f"  {row.path:<{longest}}  {row.kind:<18} {size:<14} {taken}{calls}"


def _in_units(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if size >= 100 or unit == "B" else f"{size:.1f} {unit}"
