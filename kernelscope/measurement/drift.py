"""``drift``: a network, or its features, against the rows that an earlier one was pinned by."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import devices
from kernelscope.errors import Mismatch, NumericalError, UsageError, one_line, shown
from kernelscope.features.arrays import ArrayFeatures
from kernelscope.features.id_keys import id_bytes
from kernelscope.features.pair import FeaturePair
from kernelscope.features.pinned import Pinned, PinnedLayer, change, read_pinned, scaled_difference
from kernelscope.features.request import Progress, Request, taking
from kernelscope.kernels.distance.exact import transfer_loss
from kernelscope.kernels.rows import require_finite
from kernelscope.kernels.similarity.neighbours import shared
from kernelscope.measurement.evaluation_data import examples_for, require_inputs
from kernelscope.measurement.opening import Network, NetworkInput, opened
from kernelscope.measurement.pin import operations_of, versions
from kernelscope.report.drift import FEW, Changed, Drift, LayerDrift, parse_gate

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from kernelscope.datasets.examples import Examples

NEIGHBOURS, MOST_COMPARED = 10, 10_000


@devices.faults()
def drift(
    *,
    pinned: Pinned | str | os.PathLike[str],
    student: Any,
    at_most: Sequence[str] = (),
    at_least: Sequence[str] = (),
    data: Any = None,
    split: str | None = None,
    skip_unreadable: bool = False,
    preprocess: list[dict[str, Any]] | None = None,
    device: str = "cpu",
    seed: int = 0,
    batch_size: int = 256,
    student_arch: str | None = None,
    student_arch_kwargs: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Drift:
    """How far a network is from pinned rows, and whether that is more than re-runs of the pinned one would be.

    Examples:
        >>> import numpy as np, kernelscope as ks
        >>> X = np.random.default_rng(0).standard_normal((100, 8))
        >>> pinned = ks.pin(X, at_most=["loss=0.01"])
        >>> ks.drift(pinned=pinned, student=X).drifted, ks.drift(pinned=pinned, student=1.1 * X).drifted
        (False, True)

    Args:
        pinned: a file that :func:`kernelscope.measurement.pin.pin` wrote, or what it gave.
        student: a network, which is run on the pinned examples, or features of them.
        at_most, at_least: limits in the place of the pinned ones, ``change=0.01``.
        data, split: where the pinned examples are; by default where they were.
        preprocess: in the place of what the network's file states; one that states nothing runs as pinned.

    The other arguments are those of :func:`kernelscope.measurement.measure.measure`.

    Raises:
        UnreadableInput, Mismatch, NumericalError, ResourceError, UsageError: see :mod:`kernelscope.errors`.
    """
    device = devices.require_device(device)
    gates = [parse_gate(text, at_most=True) for text in at_most] + [parse_gate(x, at_most=False) for x in at_least]
    request = taking(Request, {**locals(), "layers": None})
    pinned = pinned if isinstance(pinned, Pinned) else read_pinned(pinned)
    found = opened(student, "student", (student_arch, student_arch_kwargs))
    if isinstance(found, NetworkInput):
        request.require_for_features()
        features, differs = _given(found, pinned)
    else:
        features, differs = _run(found, pinned, request)
    paired = FeaturePair(
        ArrayFeatures(shown(pinned.origin, 40), {x.name: pinned.features(x) for x in pinned.layers}, ids=pinned.ids),
        features,
        join=None if pinned.ids is None or features.ids is None else "inner",
    )
    if paired.n != pinned.n:
        raise Mismatch(
            f"{shown(found.name, 60)} has {paired.n:,} of the {pinned.n:,} pinned examples; give all of them"
        )
    layers = [_layer(layer, paired, pinned.ids, device) for layer in pinned.layers]
    return Drift(
        pinned=pinned.origin,
        student=found.name,
        n=pinned.n,
        layers=tuple(layers),
        gates=tuple((gate.field, gate.limit, gate.at_most) for gate in gates) or pinned.gates,
        alarm=pinned.alarm,
        differs=differs,
        notes=paired.notes,
    )


def _given(found: NetworkInput, pinned: Pinned) -> tuple[ArrayFeatures, tuple[str, ...]]:
    """The pinned layers of features, under the names that they were pinned by."""
    features, wanted = found.features, [layer.name for layer in pinned.layers]
    names = dict(zip(wanted, features.layers if len(features.layers) == len(wanted) == 1 else wanted))
    for name in names.values():
        if name not in features.layers:
            raise Mismatch(
                f"{shown(found.name, 60)} has no layer {one_line(name, 40)}, which is pinned; it has "
                f"{one_line(', '.join(features.layers), 60)}"
            )
    pools = [(layer, features.pool(names[layer.name])) for layer in pinned.layers]
    differs = tuple(
        f"{layer.name} is pooled by {pool}, was by {layer.pool}"
        for layer, pool in pools
        if None not in (pool, layer.pool) and pool != layer.pool
    )
    ids = None if features.ids is None else id_bytes(np.asarray(features.ids[:]))
    arrays = {name: features.features(own) for name, own in names.items()}
    return ArrayFeatures(shown(found.name, 60), arrays, ids=ids), differs


def _run(network: Network, pinned: Pinned, request: Request) -> tuple[ArrayFeatures, tuple[str, ...]]:
    """The network's rows of the pinned examples, and what was not as it was."""
    from kernelscope.measurement.reruns import NetworkRun

    loaded = network.loaded
    examples = _pinned_examples(pinned, request)
    require_inputs(network.name, loaded, examples, request.preprocess)
    operations = operations_of(loaded, request, pinned.preprocess)
    run = NetworkRun(loaded, examples, operations, replace(request, pool=pinned.pool))
    try:
        rows = run.rows([layer.name for layer in pinned.layers]).rows
    except UsageError as error:  # a layer of the file, which nobody here named
        raise Mismatch(
            f"{shown(network.name, 40)} lacks a layer that is pinned ({one_line(str(error), 90)})"
        ) from error
    now = versions(torch=True)
    differs = [f"preprocessing is {operations}, was {pinned.preprocess}"] if operations != pinned.preprocess else []
    differs += [
        f"{name} is {now[name]}, was {was}" for name, was in pinned.versions.items() if now.get(name, was) != was
    ]
    return ArrayFeatures(shown(network.name, 60), dict(rows), ids=examples.ids), tuple(
        one_line(x, 120) for x in differs
    )


def _pinned_examples(pinned: Pinned, request: Request) -> Examples:
    """The pinned examples, in their order, of the data that are named.

    Raises:
        UsageError: none are named, or code that the caller did not name. Mismatch: data without some of them.
    """
    from kernelscope.datasets import sources
    from kernelscope.datasets.reading import Reading

    if pinned.ids is None:
        raise UsageError(f"{shown(pinned.origin, 60)} has no ids to find examples by; give features of the same rows")
    if request.data is not None:
        examples = examples_for({}, request)
    elif pinned.data is None or sources.names_code(pinned.data["name"]):
        raise UsageError(f"{shown(pinned.origin, 60)} names no data that can be read; pass --data NAME")
    else:
        reading = Reading(seed=pinned.data["seed"], skip_unreadable=request.skip_unreadable)
        examples = sources.load(pinned.data["name"], request.split or pinned.data["split"], reading=reading)
    place = {example.tobytes(): row for row, example in enumerate(np.asarray(examples.ids[:]))}
    rows = np.array([place.get(example.tobytes(), -1) for example in pinned.ids])
    if (lacking := int((rows < 0).sum())) > 0:
        where = one_line(f"{examples.name}/{examples.split}", 60)
        raise Mismatch(f"{where} lacks {lacking:,} of the {pinned.n:,} pinned examples; pass the --data they are from")
    return examples if np.array_equal(rows, np.arange(examples.n)) else examples.take(rows)


def _layer(layer: PinnedLayer, paired: FeaturePair, ids: np.ndarray | None, device: str) -> LayerDrift:
    P, given = paired.pair(layer.name, layer.name)
    if given.shape[1] != layer.width:
        raise Mismatch(f"layer {one_line(layer.name, 60)} is {given.shape[1]} wide, and {layer.width} are pinned")
    require_finite(given, f"student layer {one_line(layer.name, 60)}")
    pinned, X = np.asarray(P[:], np.float64), np.asarray(given[:], np.float64)
    changed, n = change(X, pinned), len(X)
    if not math.isfinite(changed):
        raise NumericalError(f"layer {one_line(layer.name, 60)} changed by more than float64 holds; look at its scale")
    k = min(NEIGHBOURS, n - 1)
    compared = k >= 1 and n <= MOST_COMPARED
    return LayerDrift(
        layer=layer.name,
        change=changed,
        limit=layer.limit,
        floor=layer.floor,
        loss=transfer_loss(teacher=pinned, student=X, device=device).value,
        overlap=shared(pinned, X, k=k, device=device) if compared else None,
        k=k if compared else None,
        worst=_worst(X, pinned, ids),
    )


def _worst(X: np.ndarray, pinned: np.ndarray, ids: np.ndarray | None) -> tuple[Changed, ...]:
    difference, _ = scaled_difference(X, pinned)
    squares = (difference**2).sum(1)
    order = np.argsort(-squares, kind="stable")[:FEW]
    total = float(squares.sum())
    return tuple(
        Changed(int(i), None if ids is None else ids[i].tobytes().hex(), float(squares[i]) / total)
        for i in order
        if squares[i] > 0
    )
