"""What the verbs that train many networks share: options, the folder they write, progress, and what it will cost."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from kernelscope.cli import options
from kernelscope.cli.streams import EveryMinute, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kernelscope.paper.cost import Cost
    from kernelscope.paper.jobs import Job
    from kernelscope.paper.running import Workers

PRIOR = 0.05  #: of the work, as which the expected rate counts beside the measured one
#: options that they share
shared = options.together(
    click.option(
        "--jobs",
        type=click.IntRange(min=1),
        default=min(2, os.cpu_count() or 1),
        show_default="2, or the cores there are",
        metavar="N",
        help="Processes that train, of one thread each.",
    ),
    click.option("--resume", is_flag=True, help="Use what is trained in DIR, of this plan or another."),
    click.option("--dry-run", is_flag=True, help="Say which networks would be trained and what they cost, and stop."),
    options.device,
    click.option("--overwrite", is_flag=True, help="Train all anew in a DIR that holds a study."),
    options.quiet,
    options.debug,
)


@contextlib.contextmanager
def trainer(
    plan: dict[str, Any], jobs: Sequence[Job], given: dict[str, Any]
) -> Iterator[tuple[Workers, Cost, Callable[[str], None]]]:
    """Processes that train into the folder ``--out``, what jobs cost, and what says a line beside the progress.

    Raises:
        UsageError, ResourceError: as :func:`kernelscope.paper.folder.opened`.
    """
    from kernelscope.paper.folder import opened, require_free, require_space
    from kernelscope.paper.running import Workers

    out, how = given["out"], {"resume": given["resume"], "overwrite": given["overwrite"]}
    require_free(out, **how)
    require_space(out, jobs)
    cost, left = _cost(jobs, given)
    # reads the data: a folder is made when that went well
    progress = _Progress(left, cost, given["jobs"], quiet=given["quiet"])
    workers = Workers(out, given["jobs"], given["device"], progress.epoch)
    with opened(out, plan, **how), progress, workers:
        yield workers, cost, progress.say


def say_cost(jobs: Sequence[Job], given: dict[str, Any]) -> None:
    """The networks of a plan by scene and architecture, and how long those take that are not there."""
    cost, left = _cost(jobs, given)
    groups: dict[tuple[str, str, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.scene, job.purpose, job.recipe.arch), []).append(job)
    say(f"{'scene':<8}  {'purpose':<8}  {'architecture':<18}  {'networks':>8}  {'epochs':>6}  {'seconds':>9}")
    for (scene, purpose, arch), members in groups.items():
        epochs, seconds = members[0].recipe.epochs, sum(map(cost, members))
        say(f"{scene:<8}  {purpose:<8}  {arch:<18}  {len(members):>8}  {epochs:>6}  {seconds:>9,.0f}")
    recipes = len({(job.scene, job.recipe.arch, job.recipe.method, job.purpose) for job in jobs})
    seconds = sum(map(cost, left))
    of, count = ("CPU" if given["device"] == "cpu" else given["device"]), given["jobs"]
    say(f"{len(jobs)} networks of {recipes} recipes, {len(jobs) - len(left)} of them there")
    say(f"{seconds:,.0f} {of} seconds left, about {_minutes(seconds / count)} in {count} idle processes")


def _cost(jobs: Sequence[Job], given: dict[str, Any]) -> tuple[Cost, list[Job]]:
    """What jobs cost, and those that are not there yet."""
    from kernelscope.paper.cost import Cost
    from kernelscope.paper.running import done

    cost, rows = Cost(given["device"]), {} if given["overwrite"] else done(jobs, given["out"])
    cost.calibrate(rows, jobs)
    return cost, [job for job in jobs if job.key not in rows]


def _minutes(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} hours" if seconds >= 7200 else f"{seconds / 60:,.0f} min"


class _Progress:
    """Networks' epochs done on stderr, and the time left: a bar on a terminal, else a line now and then.

    Args:
        jobs: those that will be trained; an epoch of each counts by what the job costs.
        processes: that train them.
    """

    def __init__(self, jobs: Sequence[Job], cost: Cost, processes: int, *, quiet: bool) -> None:
        self._cost, self._total, self._count = cost, sum(map(cost, jobs)), len(jobs)
        self._done, self._networks, self._started, self._line = 0.0, 0.0, time.monotonic(), EveryMinute()
        self._processes, self._quiet, self._bars = processes, quiet, None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self._bars = Progress(
                TextColumn("networks"),
                BarColumn(bar_width=30),
                TextColumn("{task.description}"),
                console=Console(stderr=True),
            )
            self._task = self._bars.add_task("", total=self._total)

    def __enter__(self) -> _Progress:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def epoch(self, job: Job) -> None:
        """One more epoch of a job is done."""
        self._done += self._cost(job) / job.recipe.epochs
        self._networks += 1 / job.recipe.epochs
        now = time.monotonic()
        believed = PRIOR * self._total  # done at the rate that was expected, so that the first epochs decide little
        seconds_per_unit = (now - self._started + believed / self._processes) / (self._done + believed)
        left = seconds_per_unit * max(0.0, self._total - self._done)
        line = f"{self._networks:.0f} of {self._count}, {_minutes(left)} left"
        if self._bars is not None:
            self._bars.update(self._task, completed=self._done, description=line)
        elif not self._quiet:
            self._line(f"networks {line}")

    def say(self, line: str) -> None:
        """A line beside the bar."""
        if self._bars is not None:
            self._bars.console.print(line, markup=False, highlight=False)
        elif not self._quiet:
            say(line, err=True)
