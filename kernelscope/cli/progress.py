"""Progress on stderr while networks train and features are extracted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kernelscope.cli.streams import EveryMinute

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType


class TrainingProgress:
    """One bar per network, from its first epoch on: epochs done, mean loss, accuracy, time left.

    Where stderr is no terminal a line a minute, and the bars once, at the end.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names, self._tasks, self._line = names, dict[int, Any](), EveryMinute()
        self._bars = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}  accuracy {task.fields[accuracy]:.3f}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )

    def __enter__(self) -> TrainingProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, student: int, epoch: int, epochs: int, loss: float, accuracy: float) -> None:
        """Called by the training loop after each epoch of each student."""
        if student not in self._tasks:
            self._tasks[student] = self._bars.add_task(self._names[student], total=epochs, loss=loss, accuracy=accuracy)
        self._bars.update(self._tasks[student], completed=epoch, total=epochs, loss=loss, accuracy=accuracy)
        if not self._bars.console.is_terminal:
            self._line(f"{self._names[student]}: epoch {epoch} of {epochs}, loss {loss:.3f}, accuracy {accuracy:.3f}")


class ExtractionProgress:
    """One bar per network: examples done, time left; gone when finished."""

    def __init__(self) -> None:
        self._bars: Progress | None = None

    def __call__(self, name: str, done: int, total: int) -> None:
        if self._bars is None:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bars.start()
            self._task = self._bars.add_task(f"features of {name}", total=total)
        self._bars.update(self._task, completed=done, description=f"features of {name}", total=total)
        if done >= total:
            self._bars.stop()
            self._bars = None
