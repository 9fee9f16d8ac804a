"""BLAS and LAPACK on one thread for a while: with two they add in another order, and eigenvectors have other bits."""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: how NumPy's, SciPy's and other builds of OpenBLAS name it
NAMES = [f"{before}openblas_{{}}_num_threads{after}" for before in ("scipy_", "") for after in ("64_", "")]


@contextlib.contextmanager
def one_thread() -> Iterator[bool]:
    """NumPy and SciPy compute on one thread inside; yields whether that could be seen to.

    It can on Linux, with OpenBLAS, which their wheels bring along.
    """
    found = _libraries()
    before = [number() for number, _ in found]
    for _, choose in found:
        choose(1)
    try:
        yield bool(found)
    finally:
        for number, (_, choose) in zip(before, found):
            choose(number)


def _libraries() -> list[tuple[Any, Any]]:
    """Of every OpenBLAS that this process has loaded, what tells and what chooses its number of threads."""
    if sys.platform != "linux":
        return []
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    paths = set(re.findall(r"/\S*openblas\S*\.so\S*", maps))
    found = []
    for path in sorted(paths):
        with contextlib.suppress(OSError):  # of another namespace
            library = ctypes.CDLL(path)
            name = next((name for name in NAMES if hasattr(library, name.format("set"))), None)
            if name is not None:
                found.append((getattr(library, name.format("get")), getattr(library, name.format("set"))))
    return found
