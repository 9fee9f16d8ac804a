"""Several processes training one network: rank, shards and collectives, all of torch.distributed but DDP's gradients.

Every process holds the whole data set and takes its shard of each batch; rows that a loss compares are gathered, so
that a loss sees the global batch and knows nothing of processes. With one process everything here is the identity.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import torch
from torch import distributed, nn

from kernelscope.errors import ResourceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

GRACE_SECONDS = 20  #: between asking a process to end and ending it


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if _together() else 1


def rank() -> int:
    """This process's number, from 0."""
    return distributed.get_rank() if _together() else 0


def is_first() -> bool:
    """Whether this is rank 0, which alone writes files and prints."""
    return rank() == 0


def launched() -> bool:
    """Whether torchrun, or something like it, started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextlib.contextmanager
def together(device: str) -> Iterator[str]:
    """Join the processes that torchrun started, and yield the device of this one (``cuda`` becomes ``cuda:RANK``).

    Raises:
        ResourceError: the others cannot be reached.
    """
    if not launched():
        yield device
        return
    on_gpu = device.startswith("cuda")
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    if on_gpu:
        torch.cuda.set_device(device)
    try:
        distributed.init_process_group("nccl" if on_gpu else "gloo")
    except (RuntimeError, ValueError) as error:
        raise ResourceError(f"the other processes cannot be reached ({error}); start them with torchrun") from error
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def shard(rows: torch.Tensor) -> torch.Tensor:
    """This process's part of a batch's rows: consecutive, and as many as the others' or one less.

    Raises:
        UsageError: fewer rows than processes.
    """
    if count() == 1:
        return rows
    if len(rows) < count():
        raise UsageError(f"a batch of {len(rows)} examples for {count()} processes; raise --batch-size")
    return rows.tensor_split(count())[rank()]


def all_gather_rows(own: torch.Tensor, total: int) -> torch.Tensor:
    """All processes' rows in the order of ranks, ``(total, ...)``; gradients flow into this process's own alone.

    Summed over processes, the gradients of a function of the result are then those one process would have.
    """
    if count() == 1:
        return own
    sizes = [len(part) for part in torch.empty(total, 0).tensor_split(count())]
    padded = own.new_zeros((max(sizes), *own.shape[1:]))
    padded[: len(own)] = own.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    distributed.all_gather(parts, padded)
    rows = [part[:size] for part, size in zip(parts, sizes)]
    rows[rank()] = own
    return torch.cat(rows)


def all_reduce_sum_(x: torch.Tensor) -> torch.Tensor:
    """Sum over processes, in place."""
    if count() > 1:
        distributed.all_reduce(x)
    return x


def all_reduce_max(number: int | None, device: str) -> int | None:
    """The largest number that any process has, in all of them; None, and 0, count as none."""
    if count() == 1:
        return number
    flag = torch.tensor(number or 0, device=device)
    distributed.all_reduce(flag, distributed.ReduceOp.MAX)
    return int(flag) or None


def parallel(network: nn.Module, device: str) -> nn.Module:
    """The network as one of several that average their gradients; itself if there is one process."""
    if count() == 1:
        return network
    ids = [torch.device(device)] if device.startswith("cuda") else None
    return nn.parallel.DistributedDataParallel(network, device_ids=ids)


def broadcast_buffers_(network: nn.Module) -> None:
    """Rank 0's buffers for all, in place: batch normalisation has seen other examples in each process."""
    if count() > 1:
        for buffer in network.buffers():
            distributed.broadcast(buffer, 0)


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def launch(processes: int, arguments: list[str]) -> int:
    """Run ``kernelscope ARGUMENTS`` in several processes on this machine, as torchrun would; the exit code.

    Rank 0 alone prints. If one fails the others are ended; a signal reaches all.
    """
    port = _free_port()
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    children = []
    for number in range(processes):
        variables = {
            "OMP_NUM_THREADS": threads,
            **os.environ,
            "RANK": str(number),
            "LOCAL_RANK": str(number),
            "WORLD_SIZE": str(processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        quiet = None if number == 0 else subprocess.DEVNULL
        command = [sys.executable, "-m", "kernelscope", *arguments]
        children.append(subprocess.Popen(command, env=variables, stdout=quiet, stderr=quiet))
    try:
        while any(child.poll() is None for child in children) and not any(child.returncode for child in children):
            time.sleep(0.05)
        time.sleep(1.0 if any(child.returncode for child in children) else 0.0)  # rank 0 may be about to print why
    finally:
        for child in children:
            if child.poll() is None:
                child.terminate()
        codes = [_ended(child) for child in children]
    failed = [code for code in codes if code > 0] or [128 - code for code in codes if code < 0]
    return failed[0] if failed else 0


def _ended(child: subprocess.Popen[bytes]) -> int:
    """Its exit code; it may save what it has, but not wait for ever for processes that are gone."""
    try:
        return child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
