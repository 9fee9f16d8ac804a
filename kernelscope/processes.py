"""Several processes with one task: rank, shards and collectives, all of torch.distributed but DDP's gradients.

In training every process holds the whole data set and takes its shard of each batch; rows that a loss compares are
gathered, so that a loss sees the global batch and knows nothing of processes. In measuring all run the same code, and
:mod:`kernelscope.exchange` is how they share its passes. With one process everything here is the identity, and nothing
but :func:`together` imports torch.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from kernelscope.devices import require_device
from kernelscope.errors import ResourceError, UsageError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import nn

RENDEZVOUS_SECONDS = 25  #: that processes wait for one another at the start
REPORT = "KERNELSCOPE_PROCESS_REPORT"  #: the file that a process we started is to say its last words in
GRACE_SECONDS = 15  #: between asking a process to end and ending it
LOST = "the connection to the other processes broke"
#: what gloo and NCCL say when another process has gone
BROKEN = re.compile(r"gloo|nccl|connection (closed|reset|refused)|broken pipe|peer|socket", re.IGNORECASE)


def count() -> int:
    """How many processes work together."""
    if not _together():
        return 1
    from torch import distributed

    return distributed.get_world_size()


def rank() -> int:
    """This process's number, from 0."""
    if not _together():
        return 0
    from torch import distributed

    return distributed.get_rank()


def is_first() -> bool:
    """Whether this is rank 0, which alone writes files and prints."""
    return rank() == 0


def launched() -> bool:
    """Whether torchrun, or something like it, started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextlib.contextmanager
def together(device: str) -> Iterator[str]:
    """Join the processes that were started beside this one, and yield its device (``cuda`` becomes ``cuda:RANK``).

    Raises:
        UsageError: more processes than devices. ResourceError: the others cannot be reached, or are lost on the way.
    """
    if not launched():
        yield device
        return
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    on_gpu = device.startswith("cuda")
    if device == "cuda":
        device = require_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
    if on_gpu:
        torch.cuda.set_device(device)
    try:
        store, number, size = next(rendezvous("env://", timeout=timedelta(seconds=RENDEZVOUS_SECONDS)))
        backend = "nccl" if on_gpu else "gloo"
        distributed.init_process_group(backend, store=store, rank=number, world_size=size)
    except (RuntimeError, ValueError) as error:
        reason = one_line(str(error), 80)
        raise ResourceError(f"the other processes cannot be reached ({reason}); start them with torchrun") from error
    try:
        yield device
    except RuntimeError as error:
        if (gone := lost(error)) is not None:
            raise gone from error
        raise
    finally:
        distributed.destroy_process_group()


def lost(error: Exception) -> ResourceError | None:
    """What is told where a collective failed because another process has gone; None for any other error."""
    if isinstance(error, RuntimeError) and BROKEN.search(str(error)):
        return ResourceError(f"{LOST} ({one_line(str(error), 60)}); see what they say")
    return None


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
    import torch
    from torch import distributed

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
        from torch import distributed

        distributed.all_reduce(x)
    return x


def all_reduce_max(number: int | None, device: str) -> int | None:
    """The largest number that any process has, in all of them; None, and 0, count as none."""
    if count() == 1:
        return number
    import torch
    from torch import distributed

    flag = torch.tensor(number or 0, device=device)
    distributed.all_reduce(flag, distributed.ReduceOp.MAX)
    return int(flag) or None


def parallel(network: nn.Module, device: str) -> nn.Module:
    """The network as one of several that average their gradients; itself if there is one process."""
    if count() == 1:
        return network
    import torch
    from torch import nn

    ids = [torch.device(device)] if device.startswith("cuda") else None
    return nn.parallel.DistributedDataParallel(network, device_ids=ids)


def broadcast_buffers_(network: nn.Module) -> None:
    """Rank 0's buffers for all, in place: batch normalisation has seen other examples in each process."""
    if count() > 1:
        from torch import distributed

        for buffer in network.buffers():
            distributed.broadcast(buffer, 0)


def _together() -> bool:
    torch = sys.modules.get("torch")  # processes are joined by torch, so that without it there is but this one
    return torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized()
