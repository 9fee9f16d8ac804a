"""The exact loss from a glob of .npy, and from Parquet, against one HDF5 file of the same rows on each side.

Files are warm, and opened before.

Claims: at most 1.2 times the time, where the machine has a core that reads while another computes.
Run: python benchmarks/shards_and_parquet_cost_one_file.py [--n N] [--d D] [--shards K] [--rounds R]   (needs pyarrow)
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
from pyarrow import parquet
from rounds import describe_machine, median_ratio, paired_rounds, print_table

from kernelscope.features.kinds import open_features
from kernelscope.kernels.distance.exact import transfer_loss

GROUP_ROWS = 1 << 16
CLAIMED = 1.2


def write(folder: Path, n: int, d: int, shards: int, seed: int) -> dict[str, str]:
    """The same rows three times; what each is named by."""
    rng, cuts = np.random.default_rng(seed), np.linspace(0, n, shards + 1).astype(int)
    (folder / "npy").mkdir(parents=True)
    kind = pa.list_(pa.float32(), d)
    with (
        h5py.File(folder / "one.h5", "w") as file,
        parquet.ParquetWriter(folder / "one.parquet", pa.schema([("features", kind)])) as writer,
    ):
        data = file.create_dataset("features", (n, d), "f4")
        for i, (start, stop) in enumerate(itertools.pairwise(cuts)):
            rows = np.maximum(rng.standard_normal((stop - start, d), dtype=np.float32), 0)
            data[start:stop] = rows
            np.save(folder / "npy" / f"p{i}.npy", rows)
            column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), d)
            writer.write_table(pa.table({"features": column}), row_group_size=GROUP_ROWS)
    return {
        "HDF5": f"{folder}/one.h5",
        ".npy shards": f"shards:{folder}/npy/p*.npy",
        "Parquet": f"{folder}/one.parquet",
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = given.n, given.d, given.shards
        sides = [write(Path(folder) / side, *size, seed) for seed, side in enumerate(("teacher", "student"))]

        rows = {kind: [open_features(side[kind]).features("features") for side in sides] for kind in sides[0]}

        def loss(kind: str) -> float:
            return transfer_loss(teacher=rows[kind][0], student=rows[kind][1]).value

        values = {kind: loss(kind) for kind in sides[0]}
        seconds = paired_rounds({kind: lambda kind=kind: loss(kind) for kind in values}, given.rounds)
    print(f"n = {given.n:,}, {given.d} + {given.d} features, {given.shards} shards; {describe_machine()}")
    print_table(seconds, "HDF5")
    assert len(set(values.values())) == 1, values
    for kind in ("Parquet", ".npy shards"):
        print(f"{kind}: {median_ratio(seconds, kind, 'HDF5'):.3f} of HDF5 (claimed: at most {CLAIMED})")


if __name__ == "__main__":
    main()
