"""One forward pass with layers captured: what extraction, trajectories, the probe and training's teacher share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope.activations.batch import MASK, Batch, batch_length
from kernelscope.activations.batch_axis import batch_first, named_axis
from kernelscope.activations.entry import Entry
from kernelscope.activations.examination import Examination
from kernelscope.activations.remarks import Remark
from kernelscope.activations.tap import Tap
from kernelscope.activations.trial import Trial, differences, few_of, tolerance
from kernelscope.errors import Mismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import TracebackType

    import torch
    from torch import nn


class Capture:
    """A network in eval mode whose layers are captured while open, one batch at a time.

    On leaving, also by an exception, hooks are removed and every module's mode is restored. Gradients, autocast and
    random generators are the caller's: see :func:`kernelscope.activations.undisturbed.undisturbed`.

    Args:
        network: any module.
        layers: names, as :class:`kernelscope.activations.tap.Tap` takes them.
        name: of the network, for messages.
        keep: what to keep of a layer's tensor, given its name, the tensor with examples along its first axis and the
            batch's mask; by default all of it.
        device: where batches go; None leaves them.
        optional: layers that may do without rows; ``passed_over`` then says why.

    Attributes:
        headless: whether the output are features, see :class:`Examination`; after the first batch.
        passed_over: optional layers that were left out, and why.

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
        optional: Collection[str] = (),
    ) -> None:
        self.network, self.name, self.device = network, name, device
        self.mask: torch.Tensor | None = None
        self.keep = keep
        self.headless = False
        self._tap = Tap(network, layers, training=False, keep=self._of_layer, optional=optional)
        self._entry = Entry(network, name, device)
        self._trial: Trial | None = None
        self._trying = False
        self._n = 0
        self._axes: dict[str, int] = {}
        self._elsewhere: bool | None = None
        self._unsteady: list[Remark] = []

    @property
    def note(self) -> str:
        """On named inputs that the network does not take, see :class:`Entry`."""
        return self._entry.note

    @property
    def passed_over(self) -> dict[str, str]:
        return self._tap.passed_over

    def __enter__(self) -> Capture:
        self._tap.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tap.close()

    def try_out(self, batch: Batch) -> None:
        """Run a few examples of the batch that comes first, so that what it gives can be held against theirs.

        Random generators and buffers are the caller's, see :func:`kernelscope.activations.undisturbed.traceless`.
        """
        few, m = few_of(batch, batch_length(batch))
        self._trial = Trial(few, m)
        examination = Examination(self.network)
        try:
            self._trial.tensors = self._tried()
        except Mismatch as error:  # this number of examples is not to its taste, or no input is, as the batch will show
            self._trial.refused = str(error)
        finally:
            self._elsewhere, self.headless = examination.elsewhere, examination.headless
            examination.close()
        self._trial.mask = self.mask
        self._tap.passed_over.clear()  # what the first batch passes over counts

    def _tried(self) -> dict[str, torch.Tensor]:
        assert self._trial is not None
        self._trying = True
        try:
            return dict(self.run(self._trial.batch))
        finally:
            self._trying = False

    def compare(self, rows: dict[str, torch.Tensor]) -> None:
        """Hold the first batch's rows against those that its examples gave in the trial; see :meth:`remarks`."""
        trial = self._trial
        if trial is None or self.keep is None:
            return
        limit = tolerance(self.network, rows)
        before, trial.tensors = self._rows_of(trial.tensors, trial), {}
        n, suspicious = self._n, differences(rows, before, limit)
        if not suspicious:
            return
        by_chance = differences(self._rows_of(self._tried(), trial), before, limit)
        for layer, size in suspicious.items():
            if layer in by_chance:
                text = (
                    f"is random: rows of the same examples, run twice, differ by {by_chance[layer]:.2g} of their norm"
                )
                self._unsteady.append(Remark(layer, f"{text}, so numbers do not repeat", "depends-on-chance"))
            else:
                text = f"depends on the rest of the batch: rows differ by {size:.2g} of their norm between batches of"
                self._unsteady.append(Remark(layer, f"{text} {n} and of {trial.m}", "depends-on-batch"))

    def _rows_of(self, tensors: dict[str, torch.Tensor], trial: Trial) -> dict[str, torch.Tensor]:
        assert self.keep is not None
        return {
            layer: self.keep(layer, batch_first(layer, x, self._axes[layer], trial.m), trial.mask)
            for layer, x in tensors.items()
            if layer in self._axes
        }

    def remarks(self) -> list[Remark]:
        """What is to be said of layers once the first batch was run and compared."""
        found = [Remark(layer, why) for layer, why in self._tap.chosen.items()]
        names = [w.name for w in self._tap.wanted]
        if "embedding" in names and self._tap.last_linear is not None:
            module = self._tap.last_linear or "the network itself"
            found.append(Remark("embedding", f"input of {module}"))
            if self._elsewhere:
                text = f"is the input of {module}, whose output is not what the network returns, nor that row by row"
                found.append(Remark("embedding", text, "embedding-elsewhere"))
        elif "embedding" in names:
            found.append(Remark("embedding", "the sentence embedding, which the network returns"))
        for layer, axis in self._axes.items():
            if axis and named_axis(layer) is None:
                found.append(Remark(layer, f"its examples lie along axis {axis}"))
        return [*found, *self._unsteady]

    def run(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The layers' tensors, by name as asked, of one batch, with examples along the first axis.

        Raises:
            Mismatch: inputs the network does not take, or a layer without an axis of examples.
            UsageError: a layer that did not run.
            ResourceError: the device fails, or its memory is full.
        """
        self._n = batch_length(batch)
        mask = batch.get(MASK) if isinstance(batch, dict) else None
        self.mask = None if mask is None else mask.to(self.device)
        self._entry.call(batch)
        features = self._tap.features
        if not self._trying:
            self._tap.settle()
        return features

    def _of_layer(self, layer: str, x: torch.Tensor) -> torch.Tensor:
        if self._trying and self._trial is not None:
            self._trial.shapes.setdefault(layer, []).append(tuple(x.shape))
            return x
        named, axis = named_axis(layer), self._axes.get(layer)
        if axis is None:
            axis = self._axes[layer] = self._axis(layer, tuple(x.shape), named)
        if x.ndim and (axis or named is not None):
            x = batch_first(layer, x, axis, self._n)
        return x if self.keep is None else self.keep(layer, x, self.mask)

    def _axis(self, layer: str, shape: tuple[int, ...], named: int | None) -> int:
        """By the first batch after the trial; where there is none, the one named or the first."""
        if self._trial is None or not shape:
            return named or 0
        if named is not None:
            self._trial.require_axis(layer, shape, self._n, named)
            return named
        axis = self._trial.axis(layer, shape, self._n)
        if self._trial.refused and shape.count(self._n) > 1:
            text = f"the network takes no other number of examples than {self._n}, so axis {axis} is taken for theirs"
            self._unsteady.append(Remark(layer, text))
        return axis
