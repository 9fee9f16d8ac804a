"""Extraction killed at random moments: ``python -m tests.features.kill_loop FOLDER SEED KILLS PAIRS``.

Each run is forked from this process, so that torch is imported once; each is killed and run again, and its file
compared with that of an undisturbed run, byte for byte. First runs of one process, then runs of two, of which one is
killed, that are run again in one to three. What came of both is printed as JSON.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from kernelscope.checkpoints.loaded import loaded_module
from kernelscope.datasets.sources import load
from kernelscope.features.extraction import extract
from tests.jobs import ended, results, started

PAUSE = 0.002  # seconds between batches, so that there is something to interrupt


class Slow(nn.Module):
    """A tiny network that takes its time and writes down how many examples it saw."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden = nn.Linear(64, 32)
        self.fc = nn.Linear(32, 10)
        self.seen = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(PAUSE)
        self.seen += len(x)
        return self.fc(self.hidden(x.flatten(1)).relu())


def run(out: Path, seen: Path | None = None) -> int:
    """How many examples this process ran."""
    network = Slow()
    with extract(loaded_module(network, name="net"), EXAMPLES, layers="hidden,embedding,logits", out=out, batch_size=8):
        if seen is not None:
            seen.write_text(str(network.seen))
    return network.seen


def killed_job(folder: Path, out: Path, count: int, rank: int, seconds: float) -> list[int]:
    """Exit codes of processes that extract together, of which one is killed, and the others soon, as by a launcher."""
    children = started(folder, count, lambda: run(out))
    time.sleep(seconds)
    os.kill(children[rank], signal.SIGKILL)
    return ended(children, seconds=3)


def forked(work: Callable[[], None], seconds: float | None = None) -> int:
    """Exit code of ``work`` in a child, killed after ``seconds``."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: str, seed: str, kills: str, pairs: str) -> None:
    rng, here = random.Random(int(seed)), Path(folder)
    began = time.perf_counter()
    assert forked(lambda: run(here / "whole.h5")) == 0
    took = time.perf_counter() - began
    print(json.dumps([loop(here, rng, int(kills), 1, took), loop(here, rng, int(pairs), 2, took)]))


def loop(here: Path, rng: random.Random, kills: int, count: int, took: float) -> dict[str, int]:
    """What came of so many runs of ``count`` processes that were killed within the seconds that one takes."""
    whole = (here / "whole.h5").read_bytes()
    told = {"killed": 0, "begun": 0, "equal": 0, "seen": 0, "n": EXAMPLES.n, "alone": 0}
    for number in range(kills):
        out, jobs, seconds = here / f"{number}.h5", here / f"jobs{number}", rng.uniform(0, took)
        if count == 1:
            killed = forked(lambda out=out: run(out), seconds=seconds) == -signal.SIGKILL
        else:
            codes = killed_job(jobs, out, count, rng.randrange(count), seconds)
            killed = -signal.SIGKILL in codes
            told["alone"] += killed and codes.count(0) > 0 and not out.exists()
        told["killed"] += killed
        told["begun"] += killed and out.with_name(out.name + ".partial").exists()
        if not out.exists():
            again = rng.randint(1, 3) if count > 1 else 1
            if again == 1:
                assert forked(lambda out=out: run(out, here / "seen")) == 0
                told["seen"] += int((here / "seen").read_text())
            else:
                told["seen"] += sum(results(here / f"again{number}", again, lambda out=out: run(out)))
        else:  # killed after the file had its name: at most the dead process's lock is left
            out.with_name(out.name + ".lock").unlink(missing_ok=True)
        told["equal"] += out.read_bytes() == whole
        assert {path.name for path in here.glob(f"{number}.h5*")} == {out.name}
        out.unlink()
    return told


if __name__ == "__main__":
    torch.set_num_threads(1)
    EXAMPLES = load("digits", "test")
    main(*sys.argv[1:])
