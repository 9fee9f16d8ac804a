"""A student whose rows stand in another order, joined by id out of core, against the same rows in order; both on disk.

Claims: a join of 2,000,000 shuffled rows x 256 float32 and its measurement take at most 3 times the measurement of the
ordered rows, and under 1 GB of memory (peak RSS of a process of its own).
Run: python benchmarks/a_join_costs_a_few_passes.py [--n N] [--d D] [--rounds R]   (n = 2000000 by hand)
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from rounds import describe_machine

CLAIMED, MOST_MEMORY = 3.0, 1e9
SHARDS = 8


def write(folder: Path, n: int, d: int) -> None:
    """A teacher, a student in its order, and the same student shuffled, each in shards with numbers for ids."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    order, cuts = rng.permutation(n), np.linspace(0, n, SHARDS + 1).astype(int)
    held = open_memmap(folder / "rows.npy", "w+", np.float32, (n, d))
    for start in range(0, n, 1 << 16):
        held[start : start + (1 << 16)] = rng.standard_normal((min(1 << 16, n - start), d), dtype=np.float32)
    for i, (start, stop) in enumerate(itertools.pairwise(cuts)):
        numbers = np.arange(start, stop)
        save_file({"features": np.maximum(held[start:stop], 0), "ids": numbers}, folder / f"t{i}.safetensors")
        save_file({"features": held[start:stop], "ids": numbers}, folder / f"ordered{i}.safetensors")
        chosen = order[start:stop]
        save_file({"features": held[chosen], "ids": chosen}, folder / f"shuffled{i}.safetensors")
    del held
    (folder / "rows.npy").unlink()


def measured(student: str) -> None:
    """One measurement in this process; seconds, peak memory and loss on stdout."""
    import kernelscope as ks

    began = time.perf_counter()
    report = ks.measure(
        teacher="shards:t*.safetensors", student=f"shards:{student}*.safetensors", align="ids", neighbours=0
    )
    seconds = time.perf_counter() - began
    print(json.dumps([seconds, peak_bytes(), report.transfer_loss]))


def peak_bytes() -> int:
    """Of this process alone; what getrusage tells begins with its parent's."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None, "peak memory is read where Linux tells it"
    return int(found[1]) * 1024


def run(folder: str, student: str) -> list[float]:
    done = subprocess.run(
        [sys.executable, Path(__file__).absolute(), "--measure", student], cwd=folder, capture_output=True, check=True
    )
    found: list[float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=200_000)
    parser.add_argument("--d", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        return measured(given.measure)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), given.n, given.d)
        rounds = [{name: run(folder, name) for name in ("ordered", "shuffled")} for _ in range(given.rounds)]
    print(f"n = {given.n:,} x {given.d} float32, {SHARDS} shards a side; {describe_machine()}")
    for name in ("ordered", "shuffled"):
        seconds, most = (statistics.median(each[name][i] for each in rounds) for i in (0, 1))
        print(f"{name:<10}{seconds:>9.2f} s{most / 1e6:>9.0f} MB")
    ratio = statistics.median(each["shuffled"][0] / each["ordered"][0] for each in rounds)
    losses = {each[name][2] for each in rounds for name in each}
    print(f"shuffled / ordered: {ratio:.3f} (claimed: at most {CLAIMED}); memory at most {MOST_MEMORY / 1e6:,.0f} MB")
    print(f"losses: {sorted(losses)}")
    return None


if __name__ == "__main__":
    main()
