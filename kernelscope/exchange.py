"""How processes that run the same code share its passes over rows: each takes its own, and all learn what all found.

Everything goes through :func:`in_turn`: each process gives arrays, and all are handed those of all in the order of
ranks, so that what is added up has the same bits everywhere and all take the same decisions. An error in one process is
raised in all. Nothing is shared outside of :func:`joint`, nor with one process; torch is then not imported.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from kernelscope import errors, processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch

V = TypeVar("V")

START_SECONDS = 300  #: that processes of a job wait for one another to begin to measure
_shared = False


def count() -> int:
    """How many processes share what is done now."""
    return processes.count() if _shared else 1


def rank() -> int:
    """This process's number among them, from 0."""
    return processes.rank() if _shared else 0


@contextlib.contextmanager
def joint() -> Iterator[None]:
    """Share what runs inside among the processes that torch.distributed has joined, if any; also a decorator.

    All of them must run it. The process group is left as it was.

    Raises:
        ResourceError: others do not begin, or are lost on the way. Whatever another process raises, if that is an error
            of ours.
    """
    global _shared
    if _shared or processes.count() == 1:
        yield
        return
    _await_all()
    _shared = True
    try:
        with alike():
            yield
            _headers(0)  # so that an error of the last process is one of all
    except RuntimeError as error:
        if (gone := processes.lost(error)) is not None:
            raise gone from error
        raise
    finally:
        _shared = False


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Nothing inside is shared: for what one process alone does, as after an error."""
    global _shared
    before, _shared = _shared, False
    try:
        yield
    finally:
        _shared = before


@contextlib.contextmanager
def alike() -> Iterator[None]:
    """An error inside is raised in all processes, wherever they are inside of the same."""
    try:
        yield
    except Exception as error:
        if count() > 1 and not hasattr(error, "told") and processes.lost(error) is None:
            _tell(error)
        raise


def decided(make: Callable[[], V]) -> V:
    """What the first process makes of it, a value that JSON holds, in all of them."""
    if count() == 1:
        return make()
    with alike():
        said = json.dumps(make()).encode() if rank() == 0 else b""
    first, *_ = [part for (part,) in in_turn([np.frombuffer(said, np.uint8)])]
    value: V = json.loads(first.tobytes())
    return value


def in_turn(own: Sequence[np.ndarray], *, to_all: bool = True) -> Iterator[list[np.ndarray]]:
    """Every process's arrays in the order of ranks; without ``to_all`` the first one's alone gets them.

    Must be exhausted. Shapes and types may differ from process to process.

    Raises:
        KernelscopeError: what another process raised in the place of calling it.
    """
    if count() == 1:
        yield [*own]
        return
    from torch import distributed

    packed = _packed(own)
    sizes = _headers(len(packed))
    for source, size in enumerate(sizes):
        if source == rank():
            room = _placed(packed)
        elif to_all or rank() == 0:
            room = _placed(np.empty(size, np.uint8))
        else:
            continue
        if to_all:
            distributed.broadcast(room, source)
        elif source == rank() != 0:
            distributed.send(room, 0)
        elif source != rank():
            distributed.recv(room, source)
        if to_all or rank() == 0:
            yield [*own] if source == rank() else _unpacked(room.cpu().numpy())


def _packed(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Types and shapes in JSON, and the bytes: nothing that a reader would have to execute."""
    head = json.dumps([[array.dtype.str, array.shape] for array in arrays]).encode()
    parts = [np.frombuffer(len(head).to_bytes(8, "little") + head, np.uint8)]
    return np.concatenate([*parts, *(np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in arrays)])


def _unpacked(packed: np.ndarray) -> list[np.ndarray]:
    start = 8 + int.from_bytes(packed[:8].tobytes(), "little")
    arrays = []
    for kind, shape in json.loads(packed[8:start].tobytes()):
        stop = start + np.dtype(kind).itemsize * math.prod(shape)
        arrays.append(packed[start:stop].copy().view(kind).reshape(shape))
        start = stop
    return arrays


def _placed(values: np.ndarray) -> torch.Tensor:
    """Where the process group's backend takes tensors from."""
    import torch
    from torch import distributed

    tensor = torch.from_numpy(values)
    return tensor.cuda() if distributed.get_backend() == "nccl" else tensor


def _headers(own: int) -> list[int]:
    """Every process's number of bytes.

    Raises:
        KernelscopeError: what another process told in its place, whose number is below 0.
    """
    from torch import distributed

    mine = _placed(np.array([own]))
    numbers = [mine.new_zeros(1) for _ in range(count())]
    distributed.all_gather(numbers, mine)
    sizes = [int(number) for number in numbers]
    failed = next((source for source, size in enumerate(sizes) if size < 0), None)
    if failed is not None and own >= 0:
        room = _placed(np.empty(-sizes[failed], np.uint8))
        distributed.broadcast(room, failed)
        raise _told(failed, *json.loads(room.cpu().numpy().tobytes()))
    if failed is not None:  # this one failed too, and says so itself
        distributed.broadcast(_placed(np.empty(-sizes[failed], np.uint8)), failed)
    return sizes


def _tell(error: Exception) -> None:
    """Raise an error in the others, too, in the place of whatever they exchange next."""
    from torch import distributed

    error.told = True  # type: ignore[attr-defined]
    ours = isinstance(error, errors.KernelscopeError)
    text = json.dumps([type(error).__name__, error.args[0] if ours else None])
    said = np.frombuffer(bytearray(text.encode()), np.uint8)
    mine = _placed(np.array([-len(said)]))
    numbers = [mine.new_zeros(1) for _ in range(count())]
    with contextlib.suppress(RuntimeError):  # the others are gone
        distributed.all_gather(numbers, mine)
        sizes = [int(number) for number in numbers]
        failed = next(source for source, size in enumerate(sizes) if size < 0)
        distributed.broadcast(_placed(said if failed == rank() else np.empty(-sizes[failed], np.uint8)), failed)


def _told(source: int, name: str, text: str | None) -> Exception:
    kind: Any = getattr(errors, name, None)
    if text is None or not isinstance(kind, type):
        error: Exception = errors.ResourceError(f"{processes.LOST} (process {source} met an error); see what it says")
    else:
        error = kind(text)
    error.told = True  # type: ignore[attr-defined]
    return error


def _await_all() -> None:
    """Until all processes are here: one that never comes is told in time."""
    from datetime import timedelta

    from torch import distributed

    if distributed.get_backend() != "gloo":
        return
    try:
        distributed.monitored_barrier(timeout=timedelta(seconds=START_SECONDS))
    except RuntimeError as error:
        gone = processes.lost(error) if re.search(r"closed|reset|refused|broken", str(error), re.IGNORECASE) else None
        raise gone or errors.ResourceError(
            "the other processes of this job do not measure; measure in all of them at once, or before they are joined"
        ) from error
