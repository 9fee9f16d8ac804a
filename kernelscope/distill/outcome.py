"""What a run leaves: a student's last and best weights as checkpoints, scored on the test examples."""

from __future__ import annotations

import datetime
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from kernelscope import processes
from kernelscope.checkpoints.checkpoint import Checkpoint, save_checkpoint
from kernelscope.distill.batches import Splits, labels_of
from kernelscope.distill.trajectory import evaluate
from kernelscope.errors import NumericalError

if TYPE_CHECKING:
    import os

    from kernelscope.checkpoints.loaded import Loaded
    from kernelscope.distill.student import Student


@dataclass(frozen=True, eq=False)
class Trained:
    """``last``: after the last epoch. ``best``: at the highest validation accuracy (the first of equals).

    ``correct``: which test examples the last one classifies correctly, shape ``(n,)``.
    """

    last: Checkpoint
    best: Checkpoint
    correct: np.ndarray

    def __repr__(self) -> str:
        last = self.last
        epochs, top1 = last.training["epoch"], last.metrics["top1"]
        return f"<Trained: {last.arch}, {epochs} epochs, {top1:.1%} of {last.data['n']:,} test examples right>"

    def save(self, path: str | os.PathLike[str], *, best: bool = False, overwrite: bool = False) -> Path:
        """Write the last checkpoint to ``path``, or the best one, and return the path; it is written atomically.

        Raises:
            UsageError: the file exists and ``overwrite`` is False. ResourceError: the disk cannot take it.
        """
        save_checkpoint(path, self.best if best else self.last, overwrite=overwrite)
        return Path(path)


class SomeFailed(NumericalError):
    """Students of a cohort failed, each by a loss that is not finite; the others were trained to the end.

    ``students``: one per recipe, None for one that failed; ``reasons``: why, by its place.
    """

    def __init__(self, students: list[Trained | None], reasons: dict[int, str]) -> None:
        first = next(iter(reasons))
        others = f"; {len(reasons) - 1} more failed" if len(reasons) > 1 else ""
        super().__init__(f"{reasons[first]}{others}; the others are trained")
        self.students, self.reasons = students, reasons


def outcome(student: Student, splits: Splits, teacher: Loaded | None) -> Trained:
    """Both checkpoints, each with its accuracy on the test examples."""
    labels = labels_of(splits.test).numpy()
    weights = {"last": student.weights(), "best": student.best["weights"]}
    correct = {}
    for which in ("best", "last"):  # the network is left as it was last
        student.network.load_state_dict(weights[which])
        correct[which] = evaluate(student.network, splits.test, student.device)[0] == labels
    scores = {which: float(found.mean()) for which, found in correct.items()}
    epochs = {"last": student.recipe.epochs, "best": student.best["epoch"]}
    last, best = (
        _checkpoint(student, splits, weights[which], {"top1": scores[which], **_both(scores)}, epochs[which], teacher)
        for which in ("last", "best")
    )
    return Trained(last, best, correct["last"])


def _both(scores: dict[str, float]) -> dict[str, float]:
    return {f"top1_{which}": score for which, score in scores.items()}


def _checkpoint(
    student: Student,
    splits: Splits,
    weights: dict[str, torch.Tensor],
    scores: dict[str, float],
    epoch: int,
    teacher: Loaded | None,
) -> Checkpoint:
    test = splits.test
    return Checkpoint(
        arch=student.recipe.arch,
        arch_kwargs=student.arch_kwargs,
        state_dict=weights,
        layers={"embedding": "fc:in", "logits": "fc:out"},
        input={"shape": list(splits.input_shape), "layout": "NCHW"},
        preprocess=splits.training.preprocess,
        classes=list(splits.classes),
        data={
            "name": test.name,
            "split": test.split,
            "n": test.n,
            "seed": test.seed,
            "order_sha256": test.order_sha256,
        },
        metrics={**scores, "split": test.split},
        training={
            "recipe": student.recipe.to_dict(),
            "epoch": epoch,
            "history": student.history,
            "trajectory": student.trajectory or None,
            "teacher_sha256": None if teacher is None else teacher.sha256,
            "scales": {name: term.balance.scale for name, term in student.losses.items() if term.balance} or None,
            "search": None if student.choice is None else vars(student.choice),
            "processes": processes.count(),
            "notes": [*([student.choice.note] if student.choice else []), *student.notes, *_notes(student)],
        },
        versions={"python": platform.python_version(), "torch": str(torch.__version__), "numpy": np.__version__},
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _notes(student: Student) -> list[str]:
    normalised = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in student.network.modules())
    if processes.count() == 1 or not normalised:
        return []
    return [f"batch normalisation used the {processes.count()} processes' own shares of each batch, not the whole"]
