"""Training: plain torch, data in memory, any sum of losses; what trains names none of them.

Several students may be trained together as a cohort: they share the data, the augmentation and the teacher's forward
pass, so differences between them are not of other examples, and the teacher is paid for once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kernelscope import devices, processes
from kernelscope.datasets import sources
from kernelscope.datasets.examples import Examples
from kernelscope.distill import resuming, searching
from kernelscope.distill.batches import splits_of
from kernelscope.distill.cohort import Announce, Cohort, Progress
from kernelscope.distill.interruption import deferred_signals
from kernelscope.distill.outcome import SomeFailed, Trained
from kernelscope.distill.precision import half_type, reproducible
from kernelscope.distill.recipe import SHARED, Recipe
from kernelscope.distill.student import Student
from kernelscope.errors import NumericalError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from kernelscope.checkpoints.loaded import Loaded

Parts = tuple[Examples, Examples, Examples]
Data = str | Parts


def train(recipe: Recipe, *, data: Data = "digits", **options: Any) -> Trained:
    """Train one network as ``recipe`` says: :func:`train_cohort` of one.

    Examples:
        >>> import kernelscope as ks
        >>> recipes = [ks.recipe(arch="resnet8x0.25", epochs=1, init_seed=seed) for seed in (0, 1)]
        >>> one, two = (ks.train(recipe).save(f"{recipe.init_seed}.pt") for recipe in recipes)
        >>> ks.measure(teacher=one, student=two, layers="embedding").n
        450
    """
    return train_cohort([recipe], data=data, **options)[0]


@devices.faults("training")
def train_cohort(
    recipes: Sequence[Recipe],
    *,
    data: Data = "digits",
    teacher: Loaded | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    state: Path | None = None,
    resume: bool = False,
    accuracy_check: bool = True,
    announce: Announce | None = None,
) -> list[Trained]:
    """Train students side by side; the test split is looked at once, at the end.

    A student ends in the same bits as if it had been trained alone: order of examples and augmentation are drawn from
    (seed, stream, epoch), initial weights from its own seed. Under torchrun every process takes its share of each
    batch; losses see the global one.

    Examples:
        >>> import kernelscope as ks
        >>> recipes = [ks.recipe(arch="resnet8x0.25", init_seed=seed, epochs=1) for seed in (0, 1)]
        >>> [trained.last.training["epoch"] for trained in ks.train_cohort(recipes)]
        [1, 1]

    Args:
        recipes: of each student; they agree in what :data:`kernelscope.distill.recipe.SHARED` names.
        data: a data set's name, or its training, validation and test examples.
        teacher: the network to learn from; methods beside ``ce`` need one. With one, every student has a trajectory.
        device: a torch device.
        progress: called after every epoch with the student's number, epoch, epochs, mean loss, validation accuracy.
        state: file that takes the state of the run now and then, when a signal ends it, and at its end; to be removed
            once what is returned has been saved.
        resume: go on from ``state``.
        announce: called with what should be known while there is time to stop, such as a weight that is far too large.
        accuracy_check: refuse a teacher of other classes than the data's, and one that does no better than guessing.

    Raises:
        UsageError: a device that is not there, no teacher for a method that needs one, an unknown method or layer,
            recipes that do not go together.
        Mismatch: teacher and student of different classes, a teacher at chance, a state of another run.
        NumericalError: a loss that is not finite, naming term, batch and epoch. Of several students the others are
            trained to the end first, and it is a :class:`kernelscope.distill.outcome.SomeFailed`, which holds them.
        ResourceError: a device that fails, or whose memory is full.
        Stopped: by a signal, after the state was saved.
    """
    device = devices.require_device(device)
    _require_together(recipes)
    if recipes[0].amp:
        half_type(device)
    if resume and state is None:
        raise UsageError("there is no state to resume from; name its file")
    parts = sources.parts(data) if isinstance(data, str) else data
    with deferred_signals() as signal_received, reproducible(recipes[0].deterministic):
        how = _How(teacher, device, accuracy_check, signal_received, state, resume)
        choices = None
        if resume and state is not None and searching.left_open(recipes) and not resuming.is_searching(state):
            choices = resuming.choices(state)
        if choices is None:
            choices = searching.search(recipes, parts, how.scored, announce)
            resume = resume and not choices  # what is resumed is the search, which is over
        settled = [replace(r, method=choices[r.method].chosen) if r.method in choices else r for r in recipes]
        cohort = how.cohort(settled, parts, state, resume)
        cohort.take_choices(choices, [recipe.method for recipe in recipes])
        if state is not None and processes.is_first():
            resuming.forget_searches(state)
        cohort.train(progress, announce, signal_received)
        return cohort.outcomes()


@dataclass(frozen=True)
class _How:
    """What every cohort of one call has in common."""

    teacher: Loaded | None
    device: str
    accuracy_check: bool
    signal_received: Callable[[], int | None]
    state: Path | None
    resume: bool

    def cohort(self, recipes: Sequence[Recipe], parts: Parts, state: Path | None, resume: bool) -> Cohort:
        splits = splits_of(parts)
        students = [Student(recipe, splits, self.device) for recipe in recipes]
        cohort = Cohort(students, splits, self.teacher, self.device, self.accuracy_check, state)
        if resume and state is not None:
            cohort.take_up(state)
        return cohort

    def scored(self, recipes: Sequence[Recipe], parts: Parts) -> list[float | None]:
        """Top-1 of a search's students, None for one that failed; their state lies beside that of the run."""
        state = None if self.state is None else resuming.state_of_search(self.state, recipes[0].seed)
        cohort = self.cohort(recipes, parts, state, self.resume and state is not None and state.exists())
        found: Sequence[Trained | None]
        try:
            cohort.train(None, None, self.signal_received)
            found = cohort.outcomes()
        except SomeFailed as error:
            found = error.students
        except NumericalError:
            found = [None] * len(recipes)
        return [None if student is None else student.last.metrics["top1_last"] for student in found]


def _require_together(recipes: Sequence[Recipe]) -> None:
    if not recipes:
        raise UsageError("there is no student to train; give a recipe")
    for recipe in recipes[1:]:
        for name in SHARED:
            if getattr(recipe, name) != getattr(recipes[0], name):
                raise UsageError(
                    f"students of a cohort share {name}, and have {getattr(recipes[0], name)} and "
                    f"{getattr(recipe, name)}; train them one by one"
                )
