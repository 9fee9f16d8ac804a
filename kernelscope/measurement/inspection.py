"""What a file holds, in lines for a person; nothing in it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernelscope.errors import UnreadableInput
from kernelscope.features import pinned, sums_file
from kernelscope.features.arrays import ArrayFeatures, SeveralPartsError
from kernelscope.features.kinds import features_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from kernelscope.features.kinds import Found
    from kernelscope.features.shard_sums import ShardSums


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
    try:
        found = features_in(path, may_be_network=arch is not None)
    except SeveralPartsError as several:
        yield f"{path}: arrays of several numbers of rows; name one to measure it, as {path}::NAME"
        yield from (f"  {key}: {_in_words(X)}" for key, X in several.content.items())
        return
    except UnreadableInput as other:
        # an OtherFormatError, by what it states: its own module loads h5py, which arrays do without
        match getattr(other, "format", None):
            case sums_file.FORMAT:
                yield from _sums(path, sums_file.read_sums(path))
            case pinned.FORMAT:
                yield from _pinned(path, pinned.read_pinned(path))
            case _:
                raise
        return
    if found is not None:
        yield from _features(path, found, verify)
        return
    from kernelscope.measurement.network_inspection import describe_network  # torch takes longer than arrays

    yield from describe_network(path, arch=arch, arch_kwargs=arch_kwargs, shape=shape)


def _features(path: Path, store: Found, verify: bool) -> Iterator[str]:
    yield f"{path}: features of {store.n:,} examples, {len(store.layers)} layers"
    for layer in store.layers:
        shape = store.features(layer).shape
        yield f"  {layer}: {shape[0]:,} × {shape[1]:,}"
    for name, value in (("network", store.arch), ("weights sha256", store.checkpoint_sha256), ("top-1", store.top1)):
        if value is not None:
            yield f"{name}: {value}"
    yield from store.notes
    yield f"labels: {'none' if store.labels is None else f'{len(set(store.labels.tolist()))} classes'}"
    yield f"order sha256: {store.order_sha256 or 'none (rows carry no ids)'}"
    if verify and not isinstance(store, ArrayFeatures):
        yield "every checksum fits" if store.verify() else "not all of its files have checksums"


def _sums(path: Path, sums: ShardSums) -> Iterator[str]:
    yield f"{path}: sums of {sums.n:,} rows, {len(sums.layers)} layers"
    yield from (f"  {layer.role} {layer.name}: {layer.width:,} of {layer.dtype}" for layer in sums.layers)
    yield f"labels: {'none' if sums.by_class is None else f'{len(sums.by_class.labels)} classes'}"
    for shard in sums.shards:
        ids = "not kept" if shard.ids is None else "kept"
        yield f"shard {shard.name}: {shard.rows:,} rows, ids {ids}, {shard.fingerprint}"
    yield "every checksum fits"


def _pinned(path: Path, found: pinned.Pinned) -> Iterator[str]:
    data = "no name" if found.data is None else f"{found.data['name']}/{found.data['split']}"
    yield f"{path}: {found.n:,} examples pinned of {found.network}, {data}"
    for layer in found.layers:
        limited = "" if layer.limit is None else f", may change by {layer.limit:.3g}"
        yield f"  {layer.name}: {layer.width} wide, {found.dtype}{limited}"
    for field, limit, at_most in found.gates:
        yield f"  {field} {'<=' if at_most else '>='} {limit:g}"
    yield f"preprocessing: {found.preprocess}"
    yield f"versions: {', '.join(f'{name} {version}' for name, version in found.versions.items())}"
    yield "every checksum fits"


def _in_words(X: Any) -> str:
    return X if isinstance(X, str) else f"{' × '.join(f'{side:,}' for side in X.shape)} of {X.dtype}"
