"""Whether memory is there, asked before the system has to stop us."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path

from kernelscope.errors import ResourceError, in_bytes

_FREE, _LIMIT = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")
_RESIDENT, _STATUS = Path("/proc/self/statm"), Path("/proc/self/status")


def free_bytes() -> int | None:
    """What the system and a container's limit leave; None where neither tells."""
    found = []
    try:
        free = re.search(r"MemAvailable:\s*(\d+) kB", _FREE.read_text())
        found += [int(free[1]) * 1024] if free else []
        limit = _LIMIT.read_text().strip()
        found += [int(limit)] if limit.isdecimal() else []
    except OSError:
        pass
    return min(found, default=None)


def resident_bytes() -> int:
    """What this process has in memory now; its peak where the system tells no more, 0 where it does not tell that."""
    try:
        return int(_RESIDENT.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return peak_bytes()


def peak_bytes() -> int:
    """The most this process has had in memory; 0 where the system does not tell."""
    with contextlib.suppress(OSError):  # first: getrusage counts what the process was forked from, too
        if (most := re.search(r"VmHWM:\s*(\d+) kB", _STATUS.read_text())) is not None:
            return int(most[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    bytes_or_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return bytes_or_kb if sys.platform == "darwin" else bytes_or_kb * 1024


def require(needed_bytes: int, what: object, fix: str) -> None:
    """Stop before any work; where the system does not tell what is free, go on.

    Raises:
        ResourceError: ``what`` takes more than there is.
    """
    free = free_bytes()
    if free is not None and needed_bytes > free:
        raise ResourceError(
            f"{what} needs more memory than there is ({in_bytes(needed_bytes)} of {in_bytes(free)}); {fix}"
        )
