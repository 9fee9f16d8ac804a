"""The accuracy gate: a network must score what its checkpoint states for the same examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope.errors import Mismatch

if TYPE_CHECKING:
    from kernelscope.checkpoints.loaded import Loaded
    from kernelscope.datasets.examples import Examples

TOLERANCE = 0.005  #: half a point of top-1: other machines and kinds of floats change less


def require_stated_accuracy(loaded: Loaded, examples: Examples, top1: float | None) -> None:
    """Hold the measured top-1 against the one the checkpoint states for the same examples, if it states one.

    Raises:
        Mismatch: they are more than half a point apart.
    """
    found = disagreement(loaded, examples, top1)
    if found is not None:
        raise Mismatch(f"{found}; check weights, preprocessing and class order, or pass --no-accuracy-check")


def disagreement(loaded: Loaded, examples: Examples, top1: float | None) -> str | None:
    """In words, if the measured top-1 is not what the checkpoint states for these examples; None if it states none."""
    checkpoint = loaded.checkpoint
    stated = None if checkpoint is None else checkpoint.metrics.get("top1")
    if checkpoint is None or stated is None or top1 is None or not _are_those(checkpoint.data, examples):
        return None
    if abs(top1 - stated) <= TOLERANCE + 1e-9:
        return None
    where = f"{examples.name}/{examples.split}"
    return f"{loaded.name} scores {100 * top1:.1f} % on {where} but states {100 * stated:.1f} %"


def _are_those(data: dict[str, object], examples: Examples) -> bool:
    """Whether these are the examples that the checkpoint was evaluated on, as far as it states."""
    if data.get("order_sha256") is not None:
        return data["order_sha256"] == examples.order_sha256
    return (data.get("name"), data.get("split"), data.get("n")) == (examples.name, examples.split, examples.n)
