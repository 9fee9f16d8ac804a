"""``pin``: rows of a network on fixed examples, and how far a later release of it may be from them."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import devices
from kernelscope.activations.layer_names import among, split
from kernelscope.activations.units import unit_of
from kernelscope.errors import UsageError, in_bytes, one_line
from kernelscope.features.id_keys import id_bytes
from kernelscope.features.pinned import Pinned, PinnedLayer, Rerun, stored_rows
from kernelscope.features.request import Progress, Request, taking
from kernelscope.measurement.drawing import drawn_of_features
from kernelscope.measurement.evaluation_data import examples_for, require_inputs
from kernelscope.measurement.opening import Network, NetworkInput, opened
from kernelscope.report.drift import FIELDS, parse_gate
from kernelscope.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelscope.checkpoints.loaded import Loaded
    from kernelscope.measurement.reruns import NetworkRun

ALARM, RERUNS, LEAST_RERUNS = 1e-6, 10, 5
ALLOWED = ("float16", "bfloat16")
MOST_BYTES = 1 << 29  #: of rows in float32: they are held


@devices.faults()
def pin(
    model: Any,
    *,
    out: str | os.PathLike[str] | None = None,
    alarm: float = ALARM,
    reruns: int = RERUNS,
    allow: Sequence[str] = (),
    at_most: Sequence[str] = (),
    at_least: Sequence[str] = (),
    data: Any = None,
    split: str | None = None,
    limit: int | None = None,
    n: int | None = None,
    sample: int | None = None,
    skip_unreadable: bool = False,
    preprocess: list[dict[str, Any]] | None = None,
    layers: str | Sequence[str] | None = None,
    pool: str = "auto",
    device: str = "cpu",
    dtype: str = "float32",
    seed: int = 0,
    batch_size: int = 256,
    accuracy_check: bool = True,
    arch: str | None = None,
    arch_kwargs: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Pinned:
    """Rows of a network on fixed examples, which later releases are held against without it (docs/drift.md).

    Examples:
        >>> import numpy as np, kernelscope as ks
        >>> X = np.random.default_rng(0).standard_normal((100, 8))
        >>> ks.pin(X, out="release.ksref", at_most=["loss=0.01"]).n
        100

    Args:
        model: a network, or features; features have no re-runs, so that limits are to be given.
        out: where to write the file, in the place of one that exists.
        alarm: rate at which a re-run of the same network may be called drift; it sets the limits of all layers.
        reruns: of each type, from 5 on; the fewer, the wider the limits.
        allow: ``float16``, ``bfloat16``: re-runs in these types are no drift either.
        at_most, at_least: limits in their place, ``change=0.01``, ``loss=0.01``, ``overlap=0.9``.
        arch, arch_kwargs: of a network whose file does not state it.

    The other arguments are those of :func:`kernelscope.measurement.measure.measure`.

    Raises:
        UnreadableInput, Mismatch, NumericalError, ResourceError, UsageError: see :mod:`kernelscope.errors`.
    """
    device = devices.require_device(device)
    request = taking(Request, dict(locals()))
    gates = [parse_gate(text, at_most=True) for text in at_most]
    gates += [parse_gate(text, at_most=False) for text in at_least]
    _require_sound(alarm, reruns, allow)
    if unit_of(pool) != "example":
        raise UsageError(f"--pool {pool} makes positions rows, and examples are pinned; pass --pool avg or flatten")
    found = opened(model, "network", (arch, arch_kwargs))
    pinned = (
        _of_features(found, request, bool(gates))
        if isinstance(found, NetworkInput)
        else _of_network(found, request, None if gates else (alarm, reruns, allow))
    )
    pinned = replace(pinned, gates=tuple((gate.field, gate.limit, gate.at_most) for gate in gates))
    if out is not None:
        pinned.save(out)
    return pinned


def _require_sound(alarm: float, reruns: int, allow: Sequence[str]) -> None:
    if not 0 < alarm < 0.5:
        raise UsageError(f"alarm {alarm:g} is no rate between 0 and 0.5; write for example --alarm 1e-6")
    if reruns < LEAST_RERUNS:
        raise UsageError(f"{reruns} re-runs do not show how far they spread; pass --reruns {LEAST_RERUNS} at least")
    if other := [dtype for dtype in allow if dtype not in ALLOWED]:
        raise UsageError(f"unknown type {one_line(other[0], 40)!r}; allow {' or '.join(ALLOWED)}")


def _of_features(found: NetworkInput, request: Request, limited: bool) -> Pinned:
    replace(request, dtype="float32").require_for_features()  # of features too, the type is how they are stored here
    if not limited:
        raise UsageError(f"features have no re-runs to set limits by; pass --max {FIELDS[0]}=0.001, say")
    found = found.first(n=request.n, limit=request.limit)
    if request.sample is not None:
        found = found.sampled(*drawn_of_features([found.features], request))
    features = found.features
    names = list(features.layers) if request.layers is None else among(split(request.layers), features.layers)
    if not names:
        raise UsageError(
            f"no layer of that name; {one_line(found.name, 60)} has {one_line(', '.join(features.layers), 80)}"
        )
    if any(unit_of(features.pool(name)) != "example" for name in names):
        raise UsageError(f"rows of {one_line(found.name, 60)} are positions, and examples are pinned; pool them")
    _require_small(features.n, sum(int(features.features(name).shape[1]) for name in names))
    rows = {name: np.asarray(features.features(name)[:], np.float64) for name in names}
    ids, notes = (None, ()) if features.ids is None else _own_ids(id_bytes(np.asarray(features.ids[:])))
    pinned = _pinned(found.name, rows, request, {name: features.pool(name) for name in names}, ids)
    return replace(pinned, arch=features.arch, sha256=features.checkpoint_sha256, notes=notes)


def _of_network(network: Network, request: Request, shams: tuple[float, int, Sequence[str]] | None) -> Pinned:
    """``shams``: false-alarm rate, number and types of the re-runs; None where limits were given."""
    from kernelscope.activations.accuracy import require_stated_accuracy
    from kernelscope.activations.example_rows import top1
    from kernelscope.measurement.reruns import NetworkRun

    loaded = network.loaded
    examples = examples_for({network.name: loaded}, request)
    require_inputs(network.name, loaded, examples, request.preprocess)
    run = NetworkRun(loaded, examples, operations_of(loaded, request, examples.preprocess), request)
    found = run.rows(request.layers)
    if request.accuracy_check:
        require_stated_accuracy(loaded, examples, top1(found.predicted, examples.labels))
    name = os.fspath(request.data) if isinstance(request.data, str | os.PathLike) else None
    if request.data is None and loaded.checkpoint is not None:
        name = str(loaded.checkpoint.data["name"])
    _require_small(examples.n, sum(X.shape[1] for X in found.rows.values()))
    pinned = replace(
        _pinned(network.name, found.rows, request, dict.fromkeys(found.rows, request.pool), examples.ids),
        arch=loaded.arch,
        sha256=loaded.sha256,
        data=None if name is None else {"name": name, "split": examples.split, "seed": examples.seed},
        preprocess=run.operations,
        notes=(*loaded.notes, *examples.notes, *found.notes),
        versions=versions(torch=True),
    )
    return pinned if shams is None else _with_limits(pinned, run, *shams)


def operations_of(loaded: Loaded, request: Request, otherwise: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """What is done to inputs: as asked, else as the network's file states, else as the data or the pinned rows do."""
    if request.preprocess is not None:
        return request.preprocess
    return (otherwise or []) if loaded.checkpoint is None else loaded.checkpoint.preprocess


def _with_limits(pinned: Pinned, run: NetworkRun, alarm: float, runs: int, allow: Sequence[str]) -> Pinned:
    """Limits of every layer by re-runs; the rate is shared among layers."""
    from kernelscope.measurement import reruns

    rows = {layer.name: pinned.features(layer) for layer in pinned.layers}
    found = list(reruns.reruns(run, rows, (*reruns.ALWAYS, *dict.fromkeys(allow)), runs, run.request.seed))
    layers = tuple(
        replace(x, limit=max(reruns.limit(changes[x.name], alarm / len(rows)) for _, changes in found))
        for x in pinned.layers
    )
    for layer in layers:
        if layer.limit is not None and layer.limit >= 1:
            raise UsageError(
                f"re-runs of layer {one_line(layer.name, 40)} differ by too much for a limit below 1; raise --reruns "
                "or --alarm, or give --max change=X"
            )
    told = tuple(Rerun(dtype, runs, max(map(max, changes.values()))) for dtype, changes in found)
    return replace(pinned, layers=layers, alarm=alarm, reruns=told)


def _require_small(n: int, width: int) -> None:
    if 4 * n * width > MOST_BYTES:
        raise UsageError(
            f"{n:,} examples and {width:,} features are {in_bytes(4 * n * width)}, over {in_bytes(MOST_BYTES)}; "
            "pass --sample 2000, or fewer --layers"
        )


def _own_ids(ids: np.ndarray) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Ids, if each stands once: rows are found again by them."""
    if len(np.unique(ids, axis=0)) == len(ids):
        return ids, ()
    return None, ("ids repeat, so rows are known by their order alone",)


def _pinned(
    name: str, rows: dict[str, np.ndarray], request: Request, pools: dict[str, str | None], ids: np.ndarray | None
) -> Pinned:
    """Rows in their storage type, without limits."""
    stored = {layer: stored_rows(layer, X, request.dtype) for layer, X in rows.items()}
    layers = [PinnedLayer(layer, X.shape[1], pools[layer], scale, floor) for layer, (X, scale, floor) in stored.items()]
    return Pinned(
        origin=name,
        network=name,
        arch=None,
        sha256=None,
        data=None,
        preprocess=None,
        pool=request.pool,
        dtype=request.dtype,
        layers=tuple(layers),
        rows={layer: X for layer, (X, _, _) in stored.items()},
        ids=ids,
        gates=(),
        alarm=None,
        reruns=(),
        versions=versions(),
    )


def versions(*, torch: bool = False) -> dict[str, str]:
    """Of the software that runs here; torch's own where a network ran."""
    found = {"kernelscope": __version__, "python": platform.python_version(), "numpy": np.__version__}
    if torch:
        import torch as library

        found["torch"] = str(library.__version__)
    return found
