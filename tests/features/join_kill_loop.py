"""Joins killed at random moments: ``python join_kill_loop.py FOLDER SEED KILLS`` prints what came of them as JSON.

Each run is forked from this process, so that libraries are imported once; each is killed, run again, and its sums are
compared with those of an undisturbed run, byte for byte.
"""

import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import kernelscope as ks
from kernelscope.features import join, pair

N = 4_000
SIGNALS = (signal.SIGKILL, signal.SIGTERM)


def write_sides(folder: Path) -> None:
    """A teacher, and a student in four files in another order, a few rows of it missing."""
    rng = np.random.default_rng(0)
    rows, order = rng.standard_normal((N, 8)).astype("f4"), rng.permutation(N)
    np.savez(folder / "t.npz", x=rows, ids=np.arange(N))
    for i in range(4):
        part = order[i * N // 4 : (i + 1) * N // 4][:-3]
        np.savez(folder / f"s{i}.npz", x=rows[part, :4], ids=part)


def run(out: Path) -> None:
    ks.measure(teacher="t.npz", student="shards:s*.npz", join="inner", sums_out=out)


def forked(out: Path, seconds: float | None = None, sign: int = 0) -> int:
    """Exit code of a run in a child, ended by a signal after ``seconds``."""
    child = os.fork()
    if child == 0:
        try:
            run(out)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, sign)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def sums(path: Path) -> str:
    """Everything that the sums give, but for when."""
    report = ks.measure(sums=path)
    return repr((report.pairs, report.meta["shards"]))


def main(folder: str, seed: str, kills: str) -> None:
    rng = random.Random(int(seed))
    os.chdir(folder)
    write_sides(Path())
    temporary = Path("tmp").absolute()
    temporary.mkdir()
    tempfile.tempdir = str(temporary)
    join.PART_IDS, join.BUCKET_BYTES, pair.HELD_BYTES = 1000, 1 << 12, 0
    run(Path("out.kss"))  # here, so that every library is imported before anything is timed
    whole, started = sums(Path("out.kss")), time.perf_counter()
    assert forked(Path("again.kss")) == 0
    took = time.perf_counter() - started
    assert sums(Path("again.kss")) == whole
    told = {"killed": 0, "equal": 0}
    for number in range(int(kills)):
        out = Path(f"{number}.kss")
        sign = rng.choice(SIGNALS)
        told["killed"] += forked(out, rng.uniform(0, took), sign) == -sign
        assert list(temporary.iterdir()) == []
        if not out.exists():
            assert forked(out) == 0
        told["equal"] += sums(out) == whole
        out.unlink()
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
