"""What a newcomer waits for first, against ``python -c "import torch"``, in CPU seconds of whole processes.

Claims: ``import kernelscope`` at most 0.02 of the time torch takes to import, ``kernelscope --help`` 0.05, the help of
a verb 0.06, and ``measure`` of two small arrays 0.6.
Run: OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/help_is_instant.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rounds import describe_machine

ROUNDS = 9
CLAIMED = {"import kernelscope": 0.02, "--help": 0.05, "measure --help": 0.06, "measure of two arrays": 0.6}


def cpu_seconds(command: list[str]) -> float:
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    program = str(Path(sys.executable).with_name("kernelscope"))
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        teacher, student = (str(Path(folder) / name) for name in ("t.npy", "s.npy"))
        np.save(teacher, rng.standard_normal((300, 16), np.float32))
        np.save(student, rng.standard_normal((300, 8), np.float32))
        commands = {
            "import torch": [sys.executable, "-c", "import torch"],
            "import kernelscope": [sys.executable, "-c", "import kernelscope"],
            "--help": [program, "--help"],
            "measure --help": [program, "measure", "--help"],
            "measure of two arrays": [program, "measure", "--teacher", teacher, "--student", student],
        }
        seconds = [{name: cpu_seconds(command) for name, command in commands.items()} for _ in range(ROUNDS + 1)][1:]
    print(f"{describe_machine()}; median of {ROUNDS} rounds, the first one not counted")
    for name, claimed in CLAIMED.items():
        ratio = statistics.median(each[name] / each["import torch"] for each in seconds)
        taken = statistics.median(each[name] for each in seconds)
        print(f"{name:24s} {taken:6.3f} s, ratio {ratio:.3f} (claimed: at most {claimed})")


if __name__ == "__main__":
    main()
