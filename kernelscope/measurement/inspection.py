"""What a file holds, in lines for a person; nothing in it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernelscope.features.arrays import ArrayFeatures
from kernelscope.features.kinds import is_feature_file, open_features
from kernelscope.file_parts import split
from kernelscope.files import is_folder, require_readable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def describe(
    path: Path,
    *,
    verify: bool = False,
    arch: str | None = None,
    arch_kwargs: dict[str, Any] | None = None,
    shape: Sequence[int] | None = None,
) -> Iterator[str]:
    """Lines about a checkpoint or feature file; ``verify`` checks every checksum of a feature file as well.

    Args:
        arch, arch_kwargs: of a network whose file does not state it; the caller's own code then runs.
        shape: of one example, for a network whose file does not state it.

    Raises:
        UnreadableInput: if it is neither, or damaged.
    """
    file, _ = split(path)
    if not is_folder(file) and is_feature_file(require_readable(file)):  # a folder may be one of weights
        yield from _features(path, verify)
        return
    from kernelscope.measurement.network_inspection import describe_network  # torch takes longer than arrays

    yield from describe_network(path, arch=arch, arch_kwargs=arch_kwargs, shape=shape)


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
    if verify and not isinstance(store, ArrayFeatures):
        store.verify()
        yield "every checksum fits"
