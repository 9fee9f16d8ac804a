"""Running: cohorts in processes of one thread each, finished rows never again.

A worker that dies, or its parent, costs what its cohort had not finished: rows appear whole, and a cohort is trained
anew for those of its students alone that have none.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import traceback
from dataclasses import dataclass
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from kernelscope.errors import KernelscopeError, ResourceError, write_options
from kernelscope.paper.jobs import Job, checkpoint_of, cohorts, row_of
from kernelscope.paper.rows import Row, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess
    from pathlib import Path

    Progress = Callable[[Job], None]  #: called after each epoch of each job
Cohort = tuple[Job, ...]


def done(jobs: Sequence[Job], folder: Path) -> dict[str, Row]:
    """The rows that are there, by key; a row without its checkpoint counts only if it says why.

    Raises:
        UnreadableInput: a row that is damaged.
    """
    found = {}
    for job in jobs:
        if job.key not in found and row_of(folder, job).exists():
            row = read(row_of(folder, job))
            if row.failed is not None or checkpoint_of(folder, job).exists():
                found[job.key] = row
    return found


@dataclass
class Workers:
    """Processes that train cohorts of studies in ``folder``; they end when this is left.

    Attributes:
        count: of processes.
        device: of each of them.
    """

    folder: Path
    count: int = 1
    device: str = "cpu"
    progress: Progress | None = None

    def __enter__(self) -> Workers:
        self._workers: list[_Worker] = []
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.end()

    @property
    def processes(self) -> list[int]:
        """The ids of those that are running."""
        return [worker.process.pid for worker in self._workers if worker.process.pid is not None]

    def train(self, jobs: Sequence[Job], cost: Callable[[Job], float] = lambda job: 1.0) -> list[Row]:
        """The row of every job, in their order; those without one are trained first, the dearest cohorts first.

        Raises:
            ResourceError: a process that was killed, or a disk that fails. Other KernelscopeErrors: as training raises
            them for a whole cohort.
        """
        there = done(jobs, self.folder)
        waiting = sorted(
            cohorts(job for job in jobs if job.key not in there), key=lambda cohort: sum(map(cost, cohort))
        )
        busy: dict[_Worker, Cohort] = {}
        while waiting or busy:
            while waiting and (worker := self._free(busy)) is not None:
                busy[worker] = waiting.pop()
                worker.begin(busy[worker])
            ready = connection.wait([worker.connection for worker in busy])
            for worker in [worker for worker in busy if worker.connection in ready]:
                if self._heard(worker, busy[worker]):
                    del busy[worker]
        rows = done(jobs, self.folder)
        return [rows[job.key] for job in jobs]

    def _free(self, busy: dict[_Worker, Cohort]) -> _Worker | None:
        idle = [worker for worker in self._workers if worker not in busy]
        if not idle and len(self._workers) < self.count:
            idle = [_Worker(self.folder, self.device)]
            self._workers += idle
        return idle[0] if idle else None

    def _heard(self, worker: _Worker, cohort: Cohort) -> bool:
        """Whether a worker has finished its cohort; its errors are raised here."""
        said = worker.hear()
        if isinstance(said, int):
            if self.progress is not None:
                self.progress(cohort[said])
            return False
        if said is None:
            return True
        raise said


class _Worker:
    """A process that trains one cohort after the other."""

    def __init__(self, folder: Path, device: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(theirs, folder, device), daemon=True)
        with _interrupts_ignored(), _one_thread():
            self.process.start()
        theirs.close()

    def begin(self, cohort: Cohort) -> None:
        with contextlib.suppress(BrokenPipeError):  # it died; that is heard next
            self.connection.send(cohort)

    def hear(self) -> int | BaseException | None:
        """The number of a job that did an epoch, None at the end of the cohort, or an error to raise."""
        try:
            said: Any = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join(5)
            code = self.process.exitcode
            how = f"signal {-code}" if code is not None and code < 0 else f"exit {code}"
            return ResourceError(
                f"a process that trained was ended ({how}); free memory or lower --jobs, and go on with --resume"
            )
        if isinstance(said, str):
            return RuntimeError(f"in a process that trained:\n{said}")
        return said if isinstance(said, (int, BaseException)) else None

    def end(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """A Ctrl-C reaches every process of a terminal; that of the parent ends the others."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Of each linear-algebra library, which reads the environment when it is loaded."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def _serve(parent: Connection, folder: Path, device: str) -> None:
    """Train what comes, until nothing does."""
    from kernelscope import isolated
    from kernelscope.paper import training

    isolated.end_with_parent()
    write_options(True)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        while True:
            cohort = parent.recv()
            try:
                training.train(cohort, folder, device, parent.send)
            except (KernelscopeError, OSError, MemoryError) as error:
                parent.send(error)
            except Exception:
                parent.send(traceback.format_exc())
            else:
                parent.send(None)
