"""Every teacher layer against every student layer in one pass, against the pairs one by one; from an HDF5 file.

Run: python benchmarks/a_grid_of_layers_reads_once.py [--n N] [--d D] [--layers L] [--rounds R]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import h5py
import numpy as np
from rounds import describe_machine, median_ratio, paired_rounds, print_table

from kernelscope.kernels.distance.exact import transfer_loss
from kernelscope.kernels.distance.layer_grid import layer_sums


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--d", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"n = {given.n}, {given.layers} x {given.layers} layers of {given.d} features; {describe_machine()}")
    with tempfile.TemporaryDirectory() as folder, h5py.File(Path(folder) / "features.h5", "w") as file:
        names = [str(i) for i in range(given.layers)]
        for role in ("teacher", "student"):
            for name in names:
                file[f"{role}/{name}"] = rng.standard_normal((given.n, given.d), np.float32)
        teacher, student = ({name: file[role][name] for name in names} for role in ("teacher", "student"))

        def one_pass() -> float:
            sums = layer_sums(teacher=teacher, student=student)
            return sum(sums.pair(t, s).difference_squared for t in names for s in names)

        def one_by_one() -> float:
            return sum(float(transfer_loss(teacher=teacher[t], student=student[s])) for t in names for s in names)

        seconds = paired_rounds({"one pass": one_pass, "pair by pair": one_by_one}, given.rounds)
    print_table(seconds, "one pass")
    print(f"pair by pair / one pass: {median_ratio(seconds, 'pair by pair', 'one pass'):.2f}")


if __name__ == "__main__":
    main()
