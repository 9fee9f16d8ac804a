"""A stranger's file is looked into by a child process, under limits; this one reads plain bytes where the child says.

The HDF5 library crashes or hangs on some damaged files. It meets them only in a child that may take some seconds and
some memory, writes no file, knows none of the environment's secrets and ends with its parent. What it answers is JSON,
and is checked against the file once more by whoever asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from kernelscope.errors import ResourceError, UnreadableInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WAIT_SECONDS = 60  #: for the child on a busy machine; the processor time it may take is far less
CPU_SECONDS, MEMORY_BYTES = 5, 2 << 30  #: of the child; a sound file takes a hundredth of a second
#: of the environment, what a Python needs to start and to read a file's name
PASSED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "PYTHONUTF8", "LANG", "LC_ALL", "LC_CTYPE")
_END_WITH_PARENT = 1  #: of Linux's prctl


class Refused(Exception):
    """What is wrong with a file, without its name."""


# ---- the child ----


def answer(key: str, look: Callable[[], object], *, kind: str, cpu_seconds: int = CPU_SECONDS) -> None:
    """Print ``{key: look()}`` or ``{"refused": reason}``, within limits on time, memory and files."""
    _limit(cpu_seconds)
    try:
        found = {key: look()}
    except Refused as reason:
        found = {"refused": str(reason)}
    except Exception as error:  # h5py raises a dozen kinds, all mean the same
        found = {"refused": f"is no readable {kind} ({type(error).__name__})"}
    sys.stdout.write(json.dumps(found))


def _limit(cpu_seconds: int) -> None:
    import resource

    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, MEMORY_BYTES),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
    signal.alarm(WAIT_SECONDS)
    end_with_parent()  # where there is no such call, the alarm comes


def end_with_parent() -> None:
    """Let the system end this process when the one that started it ends; it can on Linux alone."""
    with contextlib.suppress(OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)


# ---- its parent ----


def ask(script: str, path: Path, *arguments: str, fix: str) -> tuple[int, bytes, bytes]:
    """Exit code, answer and errors of ``python script PATH ARGUMENTS``.

    Raises:
        UnreadableInput: it takes too long. ResourceError: it cannot be started.
    """
    # where this process finds its modules the child finds them too; -P: not beside the script
    environment = {key: os.environ[key] for key in PASSED if key in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-W", "ignore", script, str(path.absolute()), *arguments]
    try:
        child = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT_SECONDS, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise UnreadableInput(f"{path} took longer than {WAIT_SECONDS} s to read; {fix}") from error
    except (OSError, MemoryError) as error:
        raise ResourceError(f"no process can look into {path} ({error}); free some memory") from error
    return child.returncode, child.stdout, child.stderr


def answered(key: str, path: Path, code: int, out: bytes, err: bytes, *, fix: str) -> Any:
    """What a child found that ended with ``code``.

    Raises:
        UnreadableInput: it refused the file, or died of it.
    """
    if code < 0:
        raise UnreadableInput(f"{path} makes the HDF5 library crash or hang; {fix}")
    try:
        found = json.loads(out)
        if "refused" in found:
            reason = str(found["refused"])
            raise UnreadableInput(f"{path} {reason}" if "; " in reason else f"{path} {reason}; {fix}")
        return found[key]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        last = err.decode(errors="replace").strip().splitlines()[-1:] or ["no answer"]
        raise UnreadableInput(f"{path} cannot be looked into ({last[0][:80]}); {fix}") from error
