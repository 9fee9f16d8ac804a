"""Extraction: a network listens to examples in order, its layers go to disk."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from kernelscope import __version__
from kernelscope.datasets.examples import Examples
from kernelscope.errors import KernelscopeError, Mismatch
from kernelscope.features.accuracy import require_stated_accuracy
from kernelscope.features.fingerprint import fingerprint
from kernelscope.features.store import FeatureStore
from kernelscope.features.writing import FeatureWriter, feature_writer, reopen
from kernelscope.networks.pooling import pool
from kernelscope.networks.sources import Loaded
from kernelscope.networks.tap import Tap, resolve_layers


def extract(
    loaded: Loaded,
    examples: Examples,
    *,
    layers: str | Sequence[str] | None = None,
    out: str | os.PathLike[str],
    pooling: str = "auto",
    batch_size: int = 256,
    device: str = "cpu",
    dtype: str = "float32",
    overwrite: bool = False,
    accuracy_check: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> FeatureStore:
    """Layer features of a network over examples, in eval mode and in order, written to ``out``.

    Interrupted, the same call goes on at the last whole batch and ends with the same bits.

    Args:
        layers: names or globs (see ``networks/tap.py``); ``embedding,logits`` by default.
        pooling: how maps become rows: auto, avg, max, flatten.
        dtype: storage type, float32 or float16.
        accuracy_check: refuse a network that scores other than its checkpoint states for these examples.
        progress: called with examples done and their number.

    Raises:
        UsageError: an unknown layer, before any data is read; an output that exists.
        Mismatch: features of different widths from batch to batch, inputs the network does not take, or another top-1
            than its checkpoint states.
        ResourceError: the disk cannot take the features.
    """
    names, notes = resolve_layers(loaded.module, layers)
    checkpoint = loaded.checkpoint
    operations = examples.preprocess if checkpoint is None else checkpoint.preprocess
    config = configuration(loaded, examples, names, operations, pooling, batch_size, device, dtype)
    network = loaded.module.to(device)
    labels = examples.labels
    with feature_writer(
        out,
        config=config,
        ids=examples.ids,
        order_sha256=examples.order_sha256,
        source=f"{examples.name}/{examples.split}",
        labels=labels,
        classes=examples.classes,
        dtype=dtype,
        overwrite=overwrite,
    ) as writer:
        done = writer.rows_done
        first = done if done == examples.n else done // batch_size * batch_size
        listening = [*names, *(["logits"] if "logits" not in names else [])]
        with torch.inference_mode(), Tap(network, listening, training=False) as tap:
            for start in range(first, examples.n, batch_size):
                stop = min(start + batch_size, examples.n)
                _forward(network, examples.batch(start, stop, operations).to(device), loaded.name)
                heard = tap.features
                predicted = _predicted(heard["logits"], stop - start)
                _write(writer, start, {name: heard[name] for name in names}, pooling, predicted)
                if progress is not None:
                    progress(stop, examples.n)
        top1 = _top1(writer.predicted, labels)
        if accuracy_check:
            require_stated_accuracy(loaded, examples, top1)
        writer.note(
            checkpoint_sha256=loaded.sha256,
            arch=loaded.arch,
            top1=top1,
            notes=json.dumps(list(notes)),
            versions=json.dumps({"torch": str(torch.__version__), "python": platform.python_version()}),
            config_sha256=config_sha256(config),
        )
    return reopen(out)


def configuration(
    loaded: Loaded,
    examples: Examples,
    layers: Sequence[str],
    operations: list[dict[str, Any]],
    pooling: str,
    batch_size: int,
    device: str,
    dtype: str,
) -> dict[str, Any]:
    """Everything that decides the bits of a feature file."""
    return {
        "network": fingerprint(loaded.module),
        "arch": loaded.arch,
        "data": [examples.name, examples.split, examples.order_sha256],
        "preprocess": operations,
        "layers": list(layers),
        "pool": pooling,
        "batch_size": batch_size,
        "device": torch.device(device).type,
        "dtype": dtype,
        "torch": str(torch.__version__),
        "kernelscope": __version__,
    }


def config_sha256(config: dict[str, Any]) -> str:
    """Hex SHA-256 of the canonical JSON of a configuration."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _forward(network: torch.nn.Module, x: torch.Tensor, name: str) -> None:
    try:
        network(x)
    except KernelscopeError:
        raise
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0][:90]
        raise Mismatch(f"{name} does not take inputs of shape {tuple(x.shape)} ({reason}); check --data") from error


def _write(
    writer: FeatureWriter, start: int, heard: dict[str, torch.Tensor], pooling: str, predicted: np.ndarray
) -> None:
    rows = len(predicted)
    pooled = {name: pool(tensor, pooling) for name, tensor in heard.items()}
    for name, tensor in pooled.items():
        if len(tensor) != rows:
            raise Mismatch(
                f"layer {name} gives {len(tensor)} rows for {rows} examples; choose another layer or pooling"
            )
    if not writer.laid_out:
        writer.create_layers(
            {
                name: {
                    "width": tensor.shape[1],
                    "pool": pooling,
                    "raw_shape": list(heard[name].shape[1:]),
                    "torch_dtype": str(heard[name].dtype).removeprefix("torch."),
                }
                for name, tensor in pooled.items()
            }
        )
    writer.write(start, {name: tensor.float().cpu().numpy() for name, tensor in pooled.items()}, predicted)


def _predicted(logits: torch.Tensor, rows: int) -> np.ndarray:
    """The class each example is given; -1 where the network's output is no row of logits per example."""
    if logits.ndim != 2 or len(logits) != rows:
        return np.full(rows, -1)
    return np.asarray(logits.argmax(1).cpu().numpy())


def _top1(predicted: np.ndarray | None, labels: np.ndarray | None) -> float | None:
    """Share of examples given their own class; None without labels or without logits."""
    if predicted is None or labels is None or (predicted < 0).all():
        return None
    return float((predicted == labels).mean())
