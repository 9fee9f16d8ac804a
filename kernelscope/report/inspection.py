"""What a file holds, in lines for a person; nothing in it is run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from kernelscope.features.store import FeatureStore, is_feature_file, open_features
from kernelscope.files import is_folder, require_readable
from kernelscope.networks import description as networks
from kernelscope.networks import weights_file
from kernelscope.networks.checkpoint import Checkpoint, load_checkpoint
from kernelscope.networks.description import lines

MAX_VALUES = 2**20  #: of one example that a network is asked about; the shape comes from the file


def describe(path: Path, *, verify: bool = False) -> Iterator[str]:
    """Lines about a checkpoint or feature file; ``verify`` checks every checksum of a feature file as well.

    Raises:
        UnreadableInput: if it is neither, or damaged.
    """
    if not is_folder(path) and is_feature_file(require_readable(path)):  # a folder may be one of weights
        yield from _features(path, verify)
    else:
        described = networks.describe(path)
        yield from lines(described)
        if "arch" in described:
            yield from _layers(load_checkpoint(path))


def _layers(checkpoint: Checkpoint) -> Iterator[str]:
    """Layers that may be asked for, with what they put out for one example, if the file says what that looks like."""
    shape = checkpoint.input.get("shape") or []
    sizes = [size for size in shape if isinstance(size, int) and size > 0] if isinstance(shape, list) else []
    if not sizes or sizes != shape or math.prod(sizes) > MAX_VALUES:
        yield f"layers are not listed, as input is no shape of up to {MAX_VALUES:,} values"
        return
    with weights_file.door(checkpoint.path or "checkpoint"):
        rows = networks.layer_rows(checkpoint.network(), sizes)
    yield "layers (any of them may be named in --layers):"
    for row in rows:
        size = "×".join(map(str, row.shape)) if row.shape else "–"
        calls = "" if row.calls == 1 else f", {row.calls} calls"
        yield f"  {row.path:<28} {row.kind:<18} {size}{calls}"


def _features(path: Path, verify: bool) -> Iterator[str]:
    store = open_features(path)
    yield f"{path}: features of {store.n:,} examples, {len(store.layers)} layers"
    for layer in store.layers:
        shape = store.features(layer).shape
        yield f"  {layer}: {shape[0]:,} × {shape[1]:,}"
    for name, value in (("network", store.arch), ("weights sha256", store.checkpoint_sha256), ("top-1", store.top1)):
        if value is not None:
            yield f"{name}: {value}"
    yield f"labels: {'none' if store.labels is None else f'{len(set(store.labels.tolist()))} classes'}"
    yield f"order sha256: {store.order_sha256 or 'none (rows carry no ids)'}"
    if verify and isinstance(store, FeatureStore):
        store.verify()
        yield "every checksum fits"
