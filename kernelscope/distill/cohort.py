"""A cohort in training: the students, the teacher they share, and where in the epochs they stand."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import processes
from kernelscope.datasets.preprocess import apply
from kernelscope.distill import resuming
from kernelscope.distill.batches import Batch, EpochBatches, Splits, labels_of
from kernelscope.distill.interruption import stopped
from kernelscope.distill.outcome import SomeFailed, Trained, outcome
from kernelscope.distill.teaching import Teacher, require_better_than_chance, require_classes
from kernelscope.distill.trajectory import Trajectory, accuracy, evaluate
from kernelscope.errors import NumericalError, UsageError, one_line

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from kernelscope.checkpoints.loaded import Loaded
    from kernelscope.distill.searching import Choice
    from kernelscope.distill.student import Student

Progress = Callable[[int, int, int, float, float], None]  #: student, epoch, epochs, mean loss, validation accuracy
Announce = Callable[[str], None]


@dataclass
class _Position:
    """Where a run stands: ``batch`` batches of ``epoch`` (from 0) are done, which took ``seconds``."""

    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    augmentation: torch.Tensor | None = None


class Cohort:
    """Students that see the same examples in the same steps, and pay for the teacher once."""

    def __init__(
        self,
        students: list[Student],
        splits: Splits,
        teacher: Loaded | None,
        device: str,
        accuracy_check: bool,
        state: Path | None,
    ) -> None:
        self.students, self.splits, self.device, self.state = students, splits, device, state
        self.recipe = students[0].recipe
        learning = [student for student in students if student.losses]
        if learning and teacher is None:
            raise UsageError(f"method {one_line(learning[0].recipe.method, 60)} needs a teacher; pass --teacher FILE")
        self.loaded, self.trajectory, self.teacher = teacher, None, None
        if teacher is not None:
            read = {layer for student in students for layer in student.teacher_layers}
            followed = sorted({layer for student in students for layer in student.followed})
            self.teacher = Teacher(teacher, splits, read, device, self.recipe.amp, same_classes=accuracy_check)
            self.trajectory = Trajectory(teacher, splits.validation, followed, device)
            logits = self.trajectory.teacher_rows("logits")
            if accuracy_check:
                require_classes(teacher, logits.shape[1], splits)
            if learning and accuracy_check:
                require_better_than_chance(teacher, logits, self.trajectory.predictions, splits.validation)
            if learning:
                self._dry_run()
        self.choices: dict[str, Choice] = {}
        self.position = _Position()
        self._saved = time.monotonic()

    def take_choices(self, choices: dict[str, Choice], methods: Sequence[str]) -> None:
        """What a search chose in the place of each student's method; kept at once, as a search takes long."""
        self.choices = choices
        for student, method in zip(self.students, methods):
            student.choice = choices.get(method)
        if choices and self.position == _Position():
            self._save()

    def _dry_run(self) -> None:
        """Every loss once on the first training examples, so that what does not fit fails before the first epoch."""
        examples = self.splits.training.head(max(2, processes.count()))
        found = examples.raw(np.arange(examples.n))
        assert self.teacher is not None and not isinstance(found, dict)
        images, labels = apply(self.splits.geometry, found), labels_of(examples)
        x = apply(self.splits.operations, images).to(self.device)
        with self.teacher as teacher:
            features = teacher.forward(Batch(processes.shard(images), labels), processes.shard(x))
        for student in self.students:
            student.dry_run(features, x, labels.to(self.device))

    def train(
        self,
        progress: Progress | None,
        announce: Callable[[str], None] | None,
        signal_received: Callable[[], int | None],
    ) -> None:
        """The epochs that are left."""
        for epoch in range(self.position.epoch, self.recipe.epochs):
            said = [len(student.notes) for student in self.students]
            self._train_epoch(epoch, signal_received)
            if announce is not None:
                for note in (note for student, known in zip(self.students, said) for note in student.notes[known:]):
                    announce(note)
            self._evaluate(epoch, progress)
            self.position = _Position(epoch + 1)
            if epoch + 1 == self.recipe.epochs or time.monotonic() - self._saved >= resuming.SECONDS:
                self._save()

    def _train_epoch(self, epoch: int, signal_received: Callable[[], int | None]) -> None:
        started, batches = time.perf_counter() - self.position.seconds, EpochBatches(self.splits, self.recipe, epoch)
        begun = self.position.augmentation is not None
        if self.position.augmentation is not None:
            batches.augmentation.set_state(self.position.augmentation)
        for student in self.going:
            student.begin(epoch, begun=begun)
        try:
            with self.teacher or contextlib.nullcontext():
                for number in range(self.position.batch, len(batches)):
                    self._step(batches, number, epoch)
                    if (received := processes.all_reduce_max(signal_received(), self.device)) is not None:
                        seconds = time.perf_counter() - started
                        self.position = _Position(epoch, number + 1, seconds, batches.augmentation.get_state())
                        self._leave(received)
        finally:
            for student in self.students:
                student.remove_hooks()
        for student in self.going:
            try:
                student.end_epoch(epoch, time.perf_counter() - started)
            except NumericalError as error:
                who = f"{one_line(student.recipe.method, 60)}, seed {student.recipe.weights_seed}"
                student.failed = f"{who}: {error}"
                student.notes.append(f"not trained on: {student.failed}")
                if not self.going:
                    raise

    def _step(self, batches: EpochBatches, number: int, epoch: int) -> None:
        batch = batches.draw(number)
        x = apply(self.splits.operations, batch.images).to(self.device)
        wanted = self.teacher is not None and any(student.losses for student in self.going)
        features = self.teacher.forward(batch, x) if wanted and self.teacher is not None else {}
        for student in self.going:
            student.step(batch, x, features, epoch, number / len(batches))

    def _evaluate(self, epoch: int, progress: Progress | None) -> None:
        """Validation accuracy, and with a teacher a point of the trajectory."""
        for number, student in enumerate(self.students):
            if student.failed:
                continue
            layers = () if self.trajectory is None else self.trajectory.of(student.followed)
            predictions, rows = evaluate(student.network, self.splits.validation, self.device, layers)
            record = student.history[-1]
            record["validation_top1"] = accuracy(predictions, self.splits.validation)
            student.keep_if_best(record["validation_top1"], epoch)
            if self.trajectory is not None:
                student.trajectory.append({"epoch": epoch + 1, "layers": self.trajectory.point(rows)})
            if progress is not None:
                progress(number, epoch + 1, self.recipe.epochs, sum(record["loss"].values()), record["validation_top1"])

    def _leave(self, signal_number: int) -> None:
        """Save and leave, since a signal came."""
        where = f"stopped in epoch {self.position.epoch + 1} of {self.recipe.epochs}, after batch {self.position.batch}"
        if self.state is None:
            raise stopped(signal_number, f"{where}; not resumable: no state file was given")
        self._save()
        raise stopped(signal_number, f"{where}; {self.state} holds the run, pass --resume to go on")

    @property
    def going(self) -> list[Student]:
        """The students that have not failed."""
        return [student for student in self.students if not student.failed]

    def outcomes(self) -> list[Trained]:
        """What each student came to, scored on the test examples.

        Raises:
            SomeFailed: of those that did not fail.
        """
        found = [None if s.failed else outcome(s, self.splits, self.loaded) for s in self.students]
        reasons = {number: student.failed for number, student in enumerate(self.students) if student.failed}
        if reasons:
            raise SomeFailed(found, reasons)
        return [trained for trained in found if trained is not None]

    def _description(self) -> dict[str, Any]:
        return {
            "recipes": [student.recipe.decisive() for student in self.students],
            "teacher_sha256": None if self.loaded is None else self.loaded.sha256,
            "order_sha256": self.splits.training.order_sha256,
        }

    def _save(self) -> None:
        self._saved = time.monotonic()
        if self.state is None or not processes.is_first():
            return
        state = {
            "run": self._description(),
            "choices": {method: vars(choice) for method, choice in self.choices.items()},
            "position": vars(self.position),
            "students": [student.state_dict() for student in self.students],
        }
        resuming.save(self.state, state)

    def take_up(self, path: Path) -> None:
        """Go on from the state at ``path``; see :func:`kernelscope.distill.resuming.load`."""
        found = resuming.load(path, self._description())
        self.position = _Position(**found["position"])
        for student, state in zip(self.students, found["students"]):
            student.load_state_dict(state)
