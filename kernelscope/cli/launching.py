"""What a verb does in one of several processes, whether we or torchrun started them.

What a process says as it fails goes to a file and not to the terminal, and its launcher (``team.py``) shows what the
first one said that failed for a reason of its own. A process whose launcher is gone sees its standard input end, saves
and ends as well.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kernelscope import processes
from kernelscope.errors import KernelscopeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

nproc = click.option(
    "--nproc", type=click.IntRange(min=1), default=1, show_default=True, help="Processes on this machine."
)


def together(given: dict[str, Any], work: Callable[[dict[str, Any]], None]) -> int:
    """Do a verb's work with its options, in as many processes as ``--nproc`` or torchrun says; the exit code.

    Raises:
        UsageError: both say so, or there are fewer devices than processes. ResourceError: processes that cannot be
            reached, or are lost on the way.
    """
    count = given.pop("nproc")
    if not processes.launched():
        if count > 1:
            from kernelscope.cli.team import launch

            return launch(count, click.get_current_context().obj)
        work(given)
        return 0
    if count > 1 and processes.REPORT not in os.environ:
        raise UsageError(f"--nproc {count} where {os.environ['WORLD_SIZE']} processes were started already; drop it")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # else a lost connection is logged with C++'s own stack
    with reporting(), processes.together(given["device"]) as device:
        given = {**given, "device": device, "quiet": given["quiet"] or not processes.is_first()}
        if given.get("announce") is not None and not processes.is_first():
            given["announce"] = str  # says nothing
        work(given)
    return 0


@contextlib.contextmanager
def reporting() -> Iterator[None]:
    """What one of several processes does beside its work: it ends with its launcher, and fails where that reads it."""
    if not processes.launched():
        yield
        return
    report = os.environ.get(processes.REPORT)
    if report is not None:
        threading.Thread(target=_end_with_launcher, daemon=True).start()
    try:
        yield
    except BaseException as error:
        if report is not None:
            sys.stderr = Path(report).open("w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        elif isinstance(error, KernelscopeError):
            name = f"process {os.environ.get('RANK')} of {os.environ.get('WORLD_SIZE')}"
            raise type(error)(f"{name}: {error}") from error
        raise


def _end_with_launcher() -> None:
    """Wait for the end of standard input, which the launcher holds open and never writes to."""
    with contextlib.suppress(OSError):
        os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(processes.GRACE_SECONDS)
    os._exit(128 + signal.SIGTERM)
