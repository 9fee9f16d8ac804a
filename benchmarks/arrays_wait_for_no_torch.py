"""``kernelscope measure`` and ``inspect`` on ``.npy`` files against ``python -c "import torch"`` as whole processes.

Claims: ``measure`` of two arrays at most 0.6 and ``inspect`` at most 0.3 of the time torch takes to import, which
neither of them does.
Run: OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/arrays_wait_for_no_torch.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rounds import describe_machine, median_ratio, paired_rounds, print_table

N, D_T, D_S = 500, 64, 32
CLAIMED = {"measure": 0.6, "measure --labels --json": 0.6, "inspect": 0.3}


def process(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    rng = np.random.default_rng(0)
    X_T = rng.standard_normal((N, D_T), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        teacher, student, labels = (str(Path(folder) / f"{name}.npy") for name in ("teacher", "student", "labels"))
        np.save(teacher, X_T)
        np.save(student, X_T[:, :D_S] + rng.standard_normal((N, D_S), np.float32))
        np.save(labels, rng.integers(0, 10, N))
        program = [sys.executable, "-m", "kernelscope"]
        pair = [*program, "measure", "--teacher", teacher, "--student", student, "--quiet"]
        seconds = paired_rounds(
            {
                "import torch": lambda: process(sys.executable, "-c", "import torch"),
                "measure": lambda: process(*pair),
                "measure --labels --json": lambda: process(*pair, "--labels", labels, "--json"),
                "inspect": lambda: process(*program, "inspect", teacher),
            },
            rounds=9,
        )
    print(f"{describe_machine()}; n = {N}, d = {D_T} + {D_S}")
    print_table(seconds, "import torch")
    for name, claimed in CLAIMED.items():
        print(f"{name}: ratio {median_ratio(seconds, name, 'import torch'):.3f} (claimed: at most {claimed})")


if __name__ == "__main__":
    main()
