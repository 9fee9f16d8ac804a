"""Steps of the training loop, one by one, for benchmarks that time them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope.checkpoints.loaded import loaded_module
from kernelscope.datasets.preprocess import apply
from kernelscope.distill.batches import EpochBatches, splits_of
from kernelscope.distill.student import Student
from kernelscope.distill.teaching import Teacher
from kernelscope.networks import zoo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelscope.distill.recipe import Recipe


class Steps:
    """Students in the middle of a run: landmarks are there, every call takes the next steps with the teacher's word.

    Args:
        teacher: its architecture; weights are fresh, which costs the same.
    """

    def __init__(self, recipes: Sequence[Recipe], data: str, teacher: str) -> None:
        self.splits = splits_of(data)
        self.recipe = recipes[0]
        kwargs = {"num_classes": len(self.splits.classes), "in_channels": self.splits.input_shape[0]}
        network = loaded_module(zoo.build(teacher, **kwargs).eval(), name=teacher)
        self.students = [Student(recipe, self.splits, "cpu") for recipe in recipes]
        layers = {layer for student in self.students for layer in student.teacher_layers}
        self.teacher = Teacher(network, self.splits, layers, "cpu", amp=False).__enter__()
        for epoch in (0, self.recipe.epochs - 1):  # one to collect landmarks, then one in which all terms count
            self._begin(epoch)
            if epoch == 0:
                self.take(len(self.batches))
                for student in self.students:
                    student.remove_hooks()
                    student.end_epoch(epoch, 0.0)

    def _begin(self, epoch: int) -> None:
        self.epoch, self.number, self.batches = epoch, 0, EpochBatches(self.splits, self.recipe, epoch)
        for student in self.students:
            student.begin(epoch, begun=False)

    def take(self, steps: int) -> None:
        """The next steps, as the loop takes them."""
        for _ in range(steps):
            batch = self.batches.draw(self.number % len(self.batches))
            x = apply(self.splits.operations, batch.images)
            needed = any(student.losses for student in self.students)
            features = self.teacher.forward(batch, x) if needed else {}
            for student in self.students:
                student.step(batch, x, features, self.epoch, self.number / len(self.batches) % 1)
            self.number += 1
