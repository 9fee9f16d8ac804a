"""What looks into files in a child process, forked from this one instead of started anew: a millisecond, not 300."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from kernelscope import isolated
from kernelscope.datasets import hdf5_outline
from kernelscope.features import outline


def in_a_child(look: Callable[[], dict]) -> tuple[int, bytes, bytes]:
    """As ``isolated.ask``, of what ``look`` finds."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            with os.fdopen(writing, "w") as sys.stdout:
                isolated.answer("outline", look, kind="file", cpu_seconds=2)  # some files hang the library
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        answer = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), answer, b""


def ask(script: str, path: Path, *arguments: str, fix: str) -> tuple[int, bytes, bytes]:
    """``isolated.ask`` itself, of the scripts that are asked most."""
    if script == hdf5_outline.__file__:
        texts, *deep = arguments
        return in_a_child(lambda: hdf5_outline.outline(str(path), set(texts.split(",")), deep=bool(deep)))
    assert script == outline.__file__
    return in_a_child(lambda: outline.read_outline(path))
