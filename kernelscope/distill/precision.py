"""Half precision of forward passes, and operations whose results do not change from run to run."""

from __future__ import annotations

import contextlib
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from kernelscope.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

CPU_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")  #: as Linux names processors that multiply in bfloat16


def half_type(device: str) -> torch.dtype:
    """bfloat16 where the device multiplies in it, else float16 on a GPU.

    Raises:
        UsageError: a CPU without bfloat16, which would only emulate it, slower than float32.
    """
    if torch.device(device).type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if torch.device(device).type == "cpu" and not _cpu_has_bfloat16():
        raise UsageError("this CPU has no bfloat16 arithmetic, so --amp would slow training down; leave it out")
    return torch.bfloat16


def autocast(device: str, amp: bool) -> AbstractContextManager[object]:
    """The forward pass in half precision if asked for."""
    return torch.autocast(torch.device(device).type, half_type(device)) if amp else nullcontext()


@contextlib.contextmanager
def reproducible(asked: bool) -> Iterator[None]:
    """Deterministic operations only, while open; on a CPU they all are, for one number of threads."""
    if not asked:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may choose between kernels
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


def _cpu_has_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:  # not Linux: take it, torch runs it anywhere
        return True
    return any(flag in flags for flag in CPU_FLAGS)
