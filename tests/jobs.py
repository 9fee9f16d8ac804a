"""Jobs of several processes that torch.distributed joins, forked from this one, so that torch is imported once."""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import distributed


def started(folder: Path, count: int, work: Callable[[], Any]) -> list[int]:
    """Processes that do the work together; each leaves what it returns in ``folder``, in JSON under its rank."""
    folder.mkdir()
    children = []
    for rank in range(count):
        child = os.fork()
        if child == 0:
            _run(folder, rank, count, work)
        children.append(child)
    return children


def _run(folder: Path, rank: int, count: int, work: Callable[[], Any]) -> None:
    try:
        distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=count)
        (folder / str(rank)).write_text(json.dumps(work()))
        distributed.destroy_process_group()
    except BaseException as error:
        (folder / f"{rank}.error").write_text(f"{type(error).__name__}: {error}")
        if "-v" in sys.argv:
            traceback.print_exc()
        os._exit(1)
    os._exit(0)


def ended(children: list[int], seconds: float = 120) -> list[int]:
    """Their exit codes; one that has not ended by then is killed."""
    until, codes = time.monotonic() + seconds, {}
    while len(codes) < len(children):
        late = time.monotonic() > until
        for child in children:
            if child not in codes and (done := os.waitpid(child, os.WNOHANG))[0]:
                codes[child] = os.waitstatus_to_exitcode(done[1])
            elif child not in codes and late:
                os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    return [codes[child] for child in children]


def results(folder: Path, count: int, work: Callable[[], Any]) -> list[Any]:
    """What each process returned, in the order of ranks."""
    codes = ended(started(folder, count, work))
    assert codes == [0] * count, [path.read_text() for path in folder.glob("*.error")]
    return [json.loads((folder / str(rank)).read_text()) for rank in range(count)]
