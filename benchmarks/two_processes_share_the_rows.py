"""Two processes of one thread measure n = 200,000 rows of 512 + 512 features at least 1.6 times as fast as one.

``OMP_NUM_THREADS=1 python benchmarks/two_processes_share_the_rows.py [ROWS] [ROUNDS]``. From one HDF5 file each and
from folders of shards in ``.npy``. ``measure`` alone is timed in processes that have imported everything, forked from
this one; the commands include what they import, torch in the place of nothing for arrays in one process. Beside seconds
of the clock stand those of the processor, of the process that took most: what cores of their own would take.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import torch
from rounds import describe_machine, median_ratio, paired_rounds, print_table
from torch import distributed

import kernelscope as ks

D, SHARDS = 512, 8


def write_rows(folder: Path, n: int) -> None:
    """``t.h5`` and ``s.h5``, and the same rows in folders ``t`` and ``s``."""
    step = -(-n // SHARDS)
    for name in ("t", "s"):
        (folder / name).mkdir()
        with h5py.File(folder / f"{name}.h5", "w") as file:
            rows = file.create_dataset("features", (n, D), "f4")
            for start in range(0, n, step):
                rng = np.random.default_rng(start)
                X = rng.standard_normal((min(step, n - start), D), np.float32) * np.linspace(1.5, 0.2, D, dtype="f4")
                if name == "s":
                    X += 0.3 * rng.standard_normal(X.shape, np.float32)
                rows[start : start + len(X)] = X
                np.save(folder / name / f"{start:09d}.npy", X)


def measured(folder: Path, count: int, suffix: str) -> float:
    """``ks.measure`` in so many forked processes; the processor's seconds of the one that took most."""
    with tempfile.TemporaryDirectory() as job:
        children = []
        for rank in range(count):
            if (child := os.fork()) == 0:
                if count > 1:
                    where = f"file://{job}/store"
                    distributed.init_process_group("gloo", init_method=where, rank=rank, world_size=count)
                began = time.process_time()
                ks.measure(teacher=folder / f"t{suffix}", student=folder / f"s{suffix}", cache=False)
                Path(job, str(rank)).write_text(json.dumps(time.process_time() - began))
                os._exit(0)
            children.append(child)
        assert not any(os.waitpid(child, 0)[1] for child in children)
        return max(json.loads(Path(job, str(rank)).read_text()) for rank in range(count))


def command(folder: Path, count: int, suffix: str) -> None:
    sides = ("--teacher", folder / f"t{suffix}", "--student", folder / f"s{suffix}")
    words = ("kernelscope", "measure", *sides, "--nproc", count, "--json", "--quiet")
    subprocess.run([sys.executable, "-m", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def main(n: int = 200_000, rounds: int = 3) -> None:
    torch.set_num_threads(1)
    print(f"{describe_machine()}; n = {n:,}, {D} + {D} features; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder), n)
        for suffix, what in ((".h5", "HDF5"), ("", "shards")):
            busy: dict[int, list[float]] = {1: [], 2: []}

            def job(count: int, suffix: str = suffix, busy: dict[int, list[float]] = busy) -> None:
                busy[count].append(measured(Path(folder), count, suffix))

            variants = {"measure, 1 process": lambda job=job: job(1), "measure, 2 processes": lambda job=job: job(2)}
            if suffix:
                variants |= {
                    f"command, {count} process": lambda count=count: command(Path(folder), count, ".h5")
                    for count in (1, 2)
                }
            seconds = paired_rounds(variants, rounds)
            print(f"\n{what}; load {os.getloadavg()[0]:.1f}")
            print_table(seconds, "measure, 1 process")
            print(f"two processes: {median_ratio(seconds, 'measure, 1 process', 'measure, 2 processes'):.2f} x")
            ratios = [one / two for one, two in zip(busy[1], busy[2])]
            print(f"by the processor's seconds of the busier one: {np.median(ratios):.2f} x")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
