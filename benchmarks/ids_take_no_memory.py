"""Memory that the ids of two feature files take while the files are paired, by number of examples.

Claims: none that grows with n, where both files hold the examples in one order (33 bytes a row when both are held).
Run: python benchmarks/ids_take_no_memory.py
"""

from __future__ import annotations

import tempfile
import tracemalloc
from pathlib import Path

import numpy as np

from kernelscope.features.header import Samples
from kernelscope.features.pair import FeaturePair
from kernelscope.features.store import FeatureStore
from kernelscope.features.writing import feature_writer

SIZES = (50_000, 200_000, 800_000)
CLAIMED = 0.01  # bytes a row: of checksums, one for 4,096 rows


def write(path: Path, n: int) -> None:
    ids = np.arange(2 * n, dtype="<u8").view(np.uint8).reshape(n, 16)
    layer = {"width": 1, "pool": "auto", "raw_shape": [1], "torch_dtype": "float32"}
    samples = Samples(ids, "order", "numbers", None, ())
    with feature_writer(path, config={}, samples=samples, dtype="float32", overwrite=True) as writer:
        writer.create_layers({"embedding": layer})
        writer.write(0, {"embedding": np.ones((n, 1), np.float32)})


def peak(folder: Path, n: int) -> int:
    """Bytes that opening and pairing two files takes at most."""
    paths = [folder / name for name in ("teacher.h5", "student.h5")]
    for path in paths:
        write(path, n)
    tracemalloc.start()
    FeaturePair(*map(FeatureStore.open, paths))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        taken = {n: peak(Path(folder), n) for n in SIZES}
    for n, most in taken.items():
        print(f"n = {n:>9,}: at most {most / 1e6:.2f} MB")
    growth = (taken[SIZES[-1]] - taken[SIZES[0]]) / (SIZES[-1] - SIZES[0])
    print(f"{growth:.3f} bytes a row (claimed: at most {CLAIMED})")


if __name__ == "__main__":
    main()
