"""Sums over batches that decay by the batch: class means and Grams of a window of examples, fresh at every step.

With window w, in batches, every sum is multiplied by ``1 − 1/w`` before the batch at hand is added, so that what lies w
batches back has weighs about a third of the newest. Quotients of two such sums are weighted means, right from the first
batch on: there is no epoch to begin and nothing to warm up (docs/theory.md 9.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernelscope import processes
from kernelscope.distill.losses.landmark_memory import copied, moved, required_labels, room_for
from kernelscope.distill.losses.whitening import whitened
from kernelscope.errors import UsageError

if TYPE_CHECKING:
    import torch

    from kernelscope.distill.losses.landmark_memory import Tensors

SEEN = 1e-3  #: of a class: what is left of its count below which it gives no landmark


class RunningSums:
    """Sums by name, decayed and added to at every batch.

    Args:
        window: in batches, from 1; of 1 batch nothing older is kept.
    """

    def __init__(self, window: float) -> None:
        if isinstance(window, bool) or not isinstance(window, (int, float)) or not 1 <= window < float("inf"):
            raise ValueError(f"window must be a number of batches from 1, not {window!r}")
        self.decay = 1 - 1 / window
        self.sums: Tensors = {}

    def add(self, batch: Tensors, *, gathered: bool) -> Tensors:
        """The sums with a batch in them.

        Args:
            batch: this batch's own sums. gathered: of several processes, whether each holds all rows of the batch.
        """
        for name, x in batch.items():
            if not gathered:
                processes.all_reduce_sum_(x)
            if (old := self.sums.get(name)) is not None:
                x = room_for(x, len(old)).add(room_for(old.to(x.device), len(x)), alpha=self.decay)
            self.sums[name] = x
        return self.sums

    def seen(self, device: torch.device) -> Tensors:
        """The sums as they are, on a device.

        Raises:
            UsageError: no batch was added yet.
        """
        if not self.sums:
            raise UsageError("no batch was seen in train() mode, so there is nothing to compare with; run one first")
        self.sums = moved(self.sums, device)
        return self.sums

    def state_dict(self) -> dict[str, Any]:
        return {"sums": copied(self.sums)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sums = copied(state["sums"])


class RunningClassMeans(RunningSums):
    """Class means of both networks over a window of batches, the newest weighing most, the batch at hand included.

    Args:
        whiten: see :func:`whitened`.
    """

    def __init__(self, window: float, whiten: str | None) -> None:
        super().__init__(window)
        self.whiten = whiten

    def begin_epoch(self, epoch: int | None, epochs: int | None) -> None:
        """There is none to begin."""

    def end_epoch(self) -> None:
        """Nor to end."""

    def step(
        self,
        student: torch.Tensor,
        teacher: torch.Tensor,
        labels: torch.Tensor | None,
        classes: int | None,
        *,
        collect: bool,
        gathered: bool,
    ) -> Tensors:
        """Landmarks for a batch of rows, which is among them if ``collect``.

        A class of which the window holds nothing is left out of both networks' landmarks.
        """
        if collect:
            labels, found = required_labels(labels, len(student), classes)
            if classes is None and not gathered:
                found = processes.all_reduce_max(found, str(student.device)) or found
            labels = labels.to(student.device)
            batch = {
                "counts": student.new_zeros(found).index_add_(0, labels, student.new_ones(len(labels))),
                "student": student.new_zeros((found, student.shape[1])).index_add_(0, labels, student),
                "teacher": teacher.new_zeros((found, teacher.shape[1])).index_add_(0, labels, teacher),
            }
            self.add(batch, gathered=gathered)
        sums = self.seen(student.device)
        kept = sums["counts"] >= SEEN
        means = {side: sums[side][kept] / sums["counts"][kept, None] for side in ("student", "teacher")}
        return whitened(means, self.whiten)
