"""What a file holds, in lines for a person; nothing in it is run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kernelscope.features.store import FeatureStore, is_feature_file, open_features
from kernelscope.networks import weights_file
from kernelscope.networks.checkpoint import FORMAT, from_document


def describe(path: Path, *, verify: bool = False) -> Iterator[str]:
    """Lines about a checkpoint or feature file; ``verify`` checks every checksum of a feature file as well.

    Raises:
        UnreadableInput: if it is neither, or damaged.
    """
    if is_feature_file(path):
        yield from _features(path, verify)
    else:
        yield from _weights(path)


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


def _weights(path: Path) -> Iterator[str]:
    document = weights_file.read(path)
    described = isinstance(document, dict) and document.get("format") == FORMAT
    tensors = _tensors(document.get("state_dict") if described else document)
    values = sum(tensor.numel() for tensor in tensors)
    kind = "kernelscope checkpoint" if described else "file of weights that does not describe its network"
    yield f"{path}: {kind}, {len(tensors)} tensors, {values:,} values"
    if not described:
        yield "to measure it, pass its architecture: --teacher-arch or --student-arch NAME"
        return
    checkpoint = from_document(document, path)
    yield f"network: {checkpoint.arch} {_words(checkpoint.arch_kwargs)}"
    yield f"layers: {_words(checkpoint.layers)}"
    yield f"input: {checkpoint.input.get('shape')}, preprocessing {checkpoint.preprocess}"
    yield f"data: {_words({k: v for k, v in checkpoint.data.items() if k != 'order_sha256'})}"
    yield f"metrics: {_words(checkpoint.metrics)}"
    recipe = checkpoint.training.get("recipe") or {}
    yield f"training: {_words({k: recipe[k] for k in ('method', 'epochs', 'lr', 'batch_size', 'seed') if k in recipe})}"
    yield f"created {checkpoint.created} with {_words(checkpoint.versions)}"
    yield f"sha256: {checkpoint.sha256}"


def _tensors(value: Any) -> list[Any]:
    import torch

    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return [tensor for inner in value.values() for tensor in _tensors(inner)]
    if isinstance(value, (list, tuple)):
        return [tensor for inner in value for tensor in _tensors(inner)]
    return []


def _words(mapping: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in mapping.items()) or "nothing"
