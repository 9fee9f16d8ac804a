"""Re-runs of a network that are no drift, and the limit on changes that they set (docs/drift.md).

A re-run differs from the run that was pinned in batch size, threads and type. Of each type the logarithms of m re-runs'
changes are taken for normal, and a limit is the upper end of the prediction interval of one more,

    exp(mean + t s √(1 + 1/m)),   t the quantile of Student's t with m − 1 degrees of freedom at the false-alarm rate,

the largest of all types. It is no less than a known spread of :data:`LEAST_SPREAD` would give: other machines differ by
more than re-runs on one machine do.
"""

from __future__ import annotations

import contextlib
import copy
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from kernelscope.activations.example_rows import ForwardPass
from kernelscope.errors import Mismatch
from kernelscope.features.pinned import change

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kernelscope.checkpoints.loaded import Loaded
    from kernelscope.datasets.examples import Examples
    from kernelscope.features.request import Request

LEAST_SPREAD = 0.3  #: of the logarithms of changes: at 1e-6 a factor of 4.5
LEAST_CHANGE = 2.0**-24  #: a smaller one counts as this, float32's roundoff
#: float64 stands for other machines: what separates it from float32 is all that float32 rounds
ALWAYS = ("float32", "float64")


class RunRows(NamedTuple):
    """Rows ``(n, d)`` of layers, float32; each example's class by the network, or -1; what is to be known of them."""

    rows: dict[str, np.ndarray]
    predicted: np.ndarray
    notes: list[str]


@dataclass(frozen=True, eq=False)
class NetworkRun:
    """A network, examples and what is done to them, to be run several times."""

    loaded: Loaded
    examples: Examples
    operations: list[dict[str, Any]]
    request: Request

    def rows(self, layers: str | Sequence[str] | None) -> RunRows:
        """Run it.

        Raises:
            UsageError, Mismatch: layers that the network lacks, inputs that it does not take.
        """
        request, n = self.request, self.examples.n
        parts: dict[str, list[np.ndarray]] = {}
        predicted = []
        forward = ForwardPass(
            self.loaded.module,
            self.examples,
            layers,
            name=self.loaded.name,
            operations=self.operations,
            pooling=request.pool,
            device=request.device,
        )
        with forward:
            for start, batch in forward.batches(request.batch_size):
                for name, x in batch.rows.items():
                    parts.setdefault(name, []).append(x.float().cpu().numpy())
                predicted.append(batch.predicted)
                request.report(self.loaded.name, min(start + request.batch_size, n), n)
            notes = forward.notes()
        rows = {name: np.concatenate(parts[name]) for name in forward.layers}
        return RunRows(rows, np.concatenate(predicted), notes)

    def in_type(self, dtype: str) -> NetworkRun:
        """The same network in another type, a copy."""
        module = copy.deepcopy(self.loaded.module).to(getattr(torch, dtype))
        return replace(self, loaded=replace(self.loaded, module=module))


def reruns(
    run: NetworkRun, pinned: dict[str, np.ndarray], dtypes: Sequence[str], runs: int, seed: int
) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """Of each type the changes of every layer, of ``runs`` re-runs whose batch size and threads ``seed`` draws.

    Raises:
        Mismatch: a network that does not run in a type, or gives other rows there.
    """
    rng, most_threads = np.random.default_rng(seed), max(2, torch.get_num_threads())
    for dtype in dtypes:
        again = run if dtype == "float32" else run.in_type(dtype)
        changes: dict[str, list[float]] = {name: [] for name in pinned}
        for _ in range(runs):
            size = min(int(2 ** rng.uniform(3, 9)), run.examples.n)
            with _threads(int(rng.integers(1, most_threads + 1))):
                rows = replace(again, request=replace(run.request, batch_size=size)).rows(list(pinned)).rows
            for name, X in rows.items():
                if not np.isfinite(X).all():
                    raise Mismatch(f"layer {name} overflows in {dtype}; leave that type out of --allow")
                changes[name].append(change(X, pinned[name]))
        yield dtype, changes


def limit(changes: Sequence[float], alarm: float) -> float:
    """What one more change exceeds with probability ``alarm``, see above; to three digits.

    Args:
        changes: two at least.
    """
    from scipy.stats import norm, t

    logs = np.log(np.maximum(changes, LEAST_CHANGE))
    m = len(logs)
    above = max(float(t.isf(alarm, m - 1)) * float(logs.std(ddof=1)), float(norm.isf(alarm)) * LEAST_SPREAD)
    upper = float(logs.mean()) + above * math.sqrt(1 + 1 / m)
    return float(f"{math.exp(upper):.3g}")


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
