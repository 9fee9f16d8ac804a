"""Several processes of one verb on this machine: one line for whatever ends one of them, and none is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kernelscope import processes
from kernelscope.distill.interruption import deferred_signals
from kernelscope.errors import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

SOON_SECONDS = 3  #: that the others have to fail for reasons of their own, once one has failed
PREFIX = "kernelscope: error: "


def launch(count: int, arguments: list[str]) -> int:
    """Run ``kernelscope ARGUMENTS`` in several processes on this machine, as torchrun would; the exit code.

    Rank 0 alone prints. If one fails the others are ended, and one line tells which and how; a signal reaches all.
    """
    with deferred_signals() as received, tempfile.TemporaryDirectory() as folder:
        team = _Team(count, arguments, Path(folder))
        try:
            return team.run(received)
        finally:
            team.kill()


class _Team:
    """The processes; ``folder`` takes what they say as they fail."""

    def __init__(self, count: int, arguments: list[str], folder: Path) -> None:
        self.count, self.folder = count, folder
        self.again = "run again, with --resume if its state was saved" if arguments[:1] == ["train"] else "run again"
        self.children: list[subprocess.Popen[bytes]] = []
        port, threads = _free_port(), max(1, (os.cpu_count() or 1) // count)
        for number in range(count):
            variables = {
                "OMP_NUM_THREADS": str(threads),
                **os.environ,
                "RANK": str(number),
                "LOCAL_RANK": str(number),
                "WORLD_SIZE": str(count),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                processes.REPORT: str(self._report(number)),
            }
            self.children.append(
                subprocess.Popen(
                    [sys.executable, "-m", "kernelscope", *arguments],
                    env=variables,
                    stdin=subprocess.PIPE,
                    stdout=None if number == 0 else subprocess.DEVNULL,
                    stderr=None if number == 0 else subprocess.DEVNULL,
                    start_new_session=True,  # a terminal's Ctrl-C comes to the launcher, which passes it on once
                )
            )

    def run(self, received: Callable[[], int | None]) -> int:
        """Wait for the end of all; the exit code of the whole."""
        while received() is None and self._running() and not self._failed():
            time.sleep(0.05)
        if (number := received()) is not None:
            self._end(number)
            return self._tell_signal(number)
        if not self._failed():
            return 0
        self._wait(SOON_SECONDS)
        ended = self._failed()
        self._end(signal.SIGTERM)
        return self._tell(ended)

    def kill(self) -> None:
        """End whatever is left."""
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
            if child.stdin is not None:
                child.stdin.close()

    def _running(self) -> bool:
        return any(child.poll() is None for child in self.children)

    def _failed(self) -> list[int]:
        return [number for number, child in enumerate(self.children) if child.poll()]

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._running() and time.monotonic() < until:
            time.sleep(0.05)

    def _end(self, number: int) -> None:
        """Ask all to end, who may save what they have but not wait for ever for processes that are gone."""
        for child in self.children:
            if child.poll() is None:
                child.send_signal(number)
        self._wait(processes.GRACE_SECONDS)
        self.kill()

    def _tell_signal(self, number: int) -> int:
        codes = [child.returncode for child in self.children]
        if any(codes):
            said = next(filter(None, map(self._said, range(self.count))), "the processes were ended by a signal")
            _print(said)
        return 128 + number if any(codes) else 0

    def _tell(self, failed: list[int]) -> int:
        """Say how the first one failed that did so for a reason of its own; its exit code."""
        first = min(failed, key=lambda number: processes.LOST in self._said(number))
        said, code = self._said(first), self.children[first].returncode
        name = f"process {first} of {self.count}"
        if not said:
            ending = signal.Signals(-code).name if code < 0 else ""
            how = f"was ended by {ending}" if ending else f"ended with code {code} and said nothing"
            memory = ", perhaps for lack of memory" if ending == "SIGKILL" else ""
            _print(f"{PREFIX}{name} {how}{memory}; {self.again}")
            return 7
        if not said.startswith(PREFIX):  # a traceback
            print(said, file=sys.stderr)
            _print(f"{PREFIX}{name} met a bug of kernelscope, told above; please report it")
        elif all(self._said(number) == said for number in range(self.count)):
            _print(said)
        else:
            _print(f"{PREFIX}{name}: {said.removeprefix(PREFIX)}")
        return code

    def _report(self, number: int) -> Path:
        return self.folder / str(number)

    def _said(self, number: int) -> str:
        report = self._report(number)
        return report.read_text(encoding="utf-8", errors="replace").strip() if report.exists() else ""


def _print(line: str) -> None:
    print(one_line(line), file=sys.stderr)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
