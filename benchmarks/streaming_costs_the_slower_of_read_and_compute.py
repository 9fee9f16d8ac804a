"""The exact loss from HDF5, checksums included, against reading alone and computing alone; time and memory against n.

Claims: at most 1.05 times the slower of the two on a warm file, once it is open; peak memory at most 700 MB with torch
imported and independent of n; time(2n) / time(n) at most 2.1. Opening, where a child process looks into each file, has
a row of its own, as it takes the same time whatever n is.
Run: python benchmarks/streaming_costs_the_slower_of_read_and_compute.py [--n N] [--rounds R]   (n = 1281167 by hand)
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from rounds import describe_machine, median_ratio, paired_rounds, print_table

from kernelscope.features.header import Samples
from kernelscope.features.store import CHECKED_ROWS, FeatureStore
from kernelscope.features.writing import feature_writer
from kernelscope.kernels.distance.exact import transfer_loss
from kernelscope.kernels.rows import BLOCK_ROWS
from kernelscope.memory import peak_bytes

D = 512


def write_store(path: Path, n: int, seed: int) -> None:
    """Random float32 features in the store's own layout."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((n, 16), np.uint8)
    layer = {"width": D, "pool": "auto", "raw_shape": [D], "torch_dtype": "float32"}
    samples = Samples(ids, "", "", None, ())
    with feature_writer(path, config={"seed": seed}, samples=samples, dtype="float32") as writer:
        writer.create_layers({"embedding": layer})
        for start in range(0, n, CHECKED_ROWS):
            block = rng.standard_normal((min(CHECKED_ROWS, n - start), D), dtype=np.float32)
            writer.write(start, {"embedding": np.maximum(block, 0)})


def read_alone(paths: list[Path]) -> None:
    """Both files through h5py in the same blocks, no checksum, nothing computed."""
    for path in paths:
        with h5py.File(path) as file:
            data = file["layers/0000/features"]
            for start in range(0, len(data), CHECKED_ROWS):
                data[start : start + CHECKED_ROWS]


class Repeated:
    """n rows that are one block over and over: the arithmetic without the reading."""

    def __init__(self, n: int, seed: int) -> None:
        self.shape = (n, D)
        self.block = np.random.default_rng(seed).standard_normal((BLOCK_ROWS, D), dtype=np.float32)

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        return self.block[: stop - start]


class Stores:
    """Two files that are opened afresh before each pass, so that it verifies every checksum."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.open()

    def open(self) -> None:
        self.teacher, self.student = map(FeatureStore.open, self.paths)

    def streamed(self) -> float:
        rows = {"teacher": self.teacher.features("embedding"), "student": self.student.features("embedding")}
        return transfer_loss(**rows).value


def peak_megabytes(paths: list[Path]) -> float:
    """Peak resident memory of a process that imports torch and streams the two files."""
    command = [sys.executable, __file__, "--child", json.dumps([str(path) for path in paths])]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child")
    given = parser.parse_args()
    if given.child:
        import torch  # noqa: F401

        Stores([Path(path) for path in json.loads(given.child)]).streamed()
        print(peak_bytes() / 2**20)
        return
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for n in (given.n // 2, given.n):
            files[n] = [Path(folder) / f"{name}{n}.h5" for name in ("teacher", "student")]
            for seed, path in enumerate(files[n]):
                write_store(path, n, seed)
        whole, half = files[given.n], files[given.n // 2]
        stores, stores_of_half = Stores(whole), Stores(half)
        repeated = [Repeated(given.n, seed) for seed in (0, 1)]
        print(f"n = {given.n}, d = {D} + {D}, float32 in HDF5; {describe_machine()}")
        seconds = paired_rounds(
            {
                "read alone": lambda: read_alone(whole),
                "compute alone": lambda: transfer_loss(teacher=repeated[0], student=repeated[1]),
                "open": stores.open,
                "streamed": stores.streamed,
                "open, n / 2": stores_of_half.open,
                "streamed, n / 2": stores_of_half.streamed,
            },
            given.rounds,
        )
        print_table(seconds, "compute alone")
        slower = min(median_ratio(seconds, "streamed", other) for other in ("read alone", "compute alone"))
        print(f"streamed / slower of the two: {slower:.3f} (claimed: at most 1.05)")
        print(f"time(2n) / time(n): {median_ratio(seconds, 'streamed', 'streamed, n / 2'):.3f} (claimed: at most 2.1)")
        print(
            f"peak memory: {peak_megabytes(half):.0f} MB at n / 2, {peak_megabytes(whole):.0f} MB at n (claimed: 700)"
        )


if __name__ == "__main__":
    main()
