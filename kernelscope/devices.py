"""Torch's devices: which there are, before any work, and what their faults mean. The CPU is known without torch."""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from typing import TYPE_CHECKING

from kernelscope.errors import ResourceError, UsageError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

CPU = "cpu"
LIBRARIES = "cuda|cublas|cudnn|cusolver|cusparse|cufft|nvrtc|nccl|hip|miopen|mps|xpu|level zero|mtia|npu"
#: what torch's plain RuntimeErrors say of a device, beside those that have a class of their own
BROKEN = re.compile(
    rf"\b({LIBRARIES})\b.{{0,30}}\b(error|out of memory|failed|gpus are available)|no nvidia driver|cudaGetDeviceCount",
    re.IGNORECASE | re.DOTALL,
)
FULL = re.compile(r"out of memory|allocate memory|not enough memory|_ALLOC_FAILED", re.IGNORECASE)


def require_device(device: object) -> str:
    """The device's name, ``cpu`` however it is written, if this machine has such a device.

    Raises:
        UsageError: it has none of that name; the message names those that there are.
    """
    name = str(device) if _is_torch_device(device) else device
    if not isinstance(name, str):
        raise UsageError(f"device is {one_line(repr(device), 40)}, expected a name such as cpu or cuda:0")
    if name in (CPU, "cpu:0"):
        return CPU
    there = available()
    if name not in there and f"{name}:0" not in there:
        shown = one_line(repr(name), 40)
        raise UsageError(f"device {shown} is not available; this machine has {one_line(', '.join(there), 100)}")
    return name


def for_double(device: str) -> str:
    """The device itself where it computes in double precision, which Apple's does not: then the CPU."""
    return CPU if device.partition(":")[0] == "mps" else device


def available() -> tuple[str, ...]:
    """The names of this machine's devices, the CPU first."""
    import torch

    with warnings.catch_warnings():  # a driver that does not fit warns, and then there is no such device
        warnings.simplefilter("ignore")
        found = torch.accelerator.current_accelerator(check_available=True)
        count = torch.accelerator.device_count() if found is not None else 0
    return (CPU, *(f"{found.type}:{number}" for number in range(count) if found is not None))


@contextlib.contextmanager
def faults(what: str = "") -> Iterator[None]:
    """Tell a device that fails, or whose memory is full, from a bug; also a decorator.

    Args:
        what: was computed, for the message.

    Raises:
        ResourceError: in the place of torch's error for it.
    """
    try:
        yield
    except RuntimeError as error:
        if (found := fault(error, what)) is not None:
            raise found from error
        raise


def fault(error: BaseException, what: str = "") -> ResourceError | None:
    """The error as a device's fault; None for any other."""
    torch = sys.modules.get("torch")  # nothing of torch was raised if it was not imported
    if torch is None or not isinstance(error, RuntimeError):
        return None
    text, of = str(error), f" for {one_line(what, 60)}" if what else ""
    if isinstance(error, torch.OutOfMemoryError) or (FULL.search(text) and _is_of_device(error, text)):
        return ResourceError(f"the device's memory is too small{of}; lower the batch size, or use another device")
    if _is_of_device(error, text):
        return ResourceError(f"the device failed{of} ({one_line(text, 80)}); run again, or use another device")
    return None


def _is_of_device(error: BaseException, text: str) -> bool:
    import torch

    return isinstance(error, torch.AcceleratorError) or "CPUAllocator" in text or BROKEN.search(text) is not None


def _is_torch_device(device: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(device, torch.device)
