"""One forward pass with layers captured: what extraction, trajectories, the probe and training's teacher share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from kernelscope import devices
from kernelscope.activations.tap import Tap
from kernelscope.errors import KernelscopeError, Mismatch, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

MASK = "attention_mask"  #: of a batch that is a dict, as Hugging Face names it

#: what a network is called with: ``net(x)``, ``net(*xs)`` or ``net(**xs)``
Batch = torch.Tensor | tuple[torch.Tensor, ...] | dict[str, torch.Tensor]


class Capture:
    """A network in eval mode whose layers are captured while open, one batch at a time.

    On leaving, also by an exception, hooks are removed and every module's mode is restored. Gradients, autocast and
    random generators are the caller's: see :func:`kernelscope.activations.undisturbed.undisturbed`.

    Args:
        network: any module.
        layers: names, as :class:`kernelscope.activations.tap.Tap` takes them.
        name: of the network, for messages.
        keep: what to keep of a layer's tensor, given its name, the tensor and the batch's mask; by default all of it.
        device, dtype: where batches go, and the type of those that are no whole numbers; None leaves them.

    Raises:
        UsageError: an unknown layer.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Sequence[str],
        *,
        name: str,
        keep: Callable[[str, torch.Tensor, torch.Tensor | None], torch.Tensor] | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.network, self.name, self.device, self.dtype = network, name, device, dtype
        self.mask: torch.Tensor | None = None
        kept = None if keep is None else lambda layer, x: keep(layer, x, self.mask)
        self._tap = Tap(network, layers, training=False, keep=kept)

    def __enter__(self) -> Capture:
        self._tap.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tap.close()

    def run(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The layers' tensors, by name as asked, of one batch.

        Raises:
            Mismatch: inputs the network does not take. UsageError: a layer that did not run.
            ResourceError: the device fails, or its memory is full.
        """
        batch = self._placed(batch)
        self.mask = batch.get(MASK) if isinstance(batch, dict) else None
        try:
            if isinstance(batch, dict):
                self.network(**batch)
            elif isinstance(batch, tuple):
                self.network(*batch)
            else:
                self.network(batch)
        except KernelscopeError:
            raise
        # what foreign networks raise for inputs they do not take; anything else is a bug and keeps its traceback
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            if (fault := devices.fault(error, self.name)) is not None:
                raise fault from error
            reason = one_line(str(error), 80)
            raise Mismatch(
                f"{self.name} does not take inputs of {_shape(batch)} ({reason}); check data and preprocessing"
            ) from error
        return self._tap.features

    def _placed(self, batch: Batch) -> Batch:
        if isinstance(batch, dict):
            return {key: self._on_device(x) for key, x in batch.items()}
        return tuple(map(self._on_device, batch)) if isinstance(batch, tuple) else self._on_device(batch)

    def _on_device(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(self.device, self.dtype if x.is_floating_point() else None)


def batch_length(batch: Batch) -> int:
    """How many examples a batch holds."""
    if isinstance(batch, dict):
        return len(next(iter(batch.values())))
    return len(batch[0]) if isinstance(batch, tuple) else len(batch)


def _shape(batch: Batch) -> str:
    if isinstance(batch, dict):
        return one_line(", ".join(f"{key} {tuple(x.shape)}" for key, x in batch.items()), 60)
    return f"shape {' and '.join(str(tuple(x.shape)) for x in (batch if isinstance(batch, tuple) else (batch,)))}"
