"""The command's peak memory under the least ``--max-memory`` that it accepts, for every pass.

Each case is run once with a limit far too low, whose refusal names what would do, and then with that. In a cgroup
(``--cgroup``, the folder of one whose memory may be limited) the system enforces the same limit, the file cache
included, and ends a case that takes more.

    python benchmarks/memory_stays_below_the_limit.py [--large] [--cgroup /sys/fs/cgroup/memory/mine]
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

#: examples, teacher's and student's features, classes (0: no labels), and words of the command line
CASES = [
    (20_000, 64, 64, 0, []),
    (20_000, 64, 64, 10, []),
    (20_000, 64, 64, 0, ["--neighbours", "10"]),
    (6_000, 256, 256, 100, ["--neighbours", "10"]),
    (6_000, 256, 256, 0, ["--route", "tsqr"]),
    (6_000, 256, 256, 0, ["--route", "blocked"]),
    (20_000, 256, 256, 0, ["--landmarks", "kmeans:500"]),
    (3_000, 700, 700, 10, ["--html", "page.html", "--overwrite"]),
    (500, 2_000, 1_000, 10, []),
    (200_000, 8, 8, 10, []),
    (20_000, 64, 64, 0, ["--sums-out", "sums.kss", "--overwrite"]),
]
LARGE = [
    (50_000, 512, 512, 100, []),
    (50_000, 512, 512, 0, ["--neighbours", "10"]),
    (12_000, 1_024, 1_024, 10, []),
    (2_000_000, 16, 16, 10, []),
]
UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true", help="also larger files, some minutes")
    parser.add_argument("--cgroup", type=Path, metavar="DIR")
    asked = parser.parse_args()
    cases = CASES + (LARGE if asked.large else [])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    print(f"{'n':>9} {'d_T':>5} {'d_S':>5} {'classes':>7} {'limit':>8} {'peak':>8} {'share':>6}  words")
    with tempfile.TemporaryDirectory() as folder:
        for n, d_T, d_S, classes, words in cases:
            command = [sys.executable, "-m", "kernelscope", "measure", *_files(Path(folder), n, d_T, d_S, classes)]
            command += words
            options = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
            refused = subprocess.run([*command, "--max-memory", "1M"], **options)
            assert refused.returncode == 7, refused.stderr
            number, unit = re.search(r"take ([\d.,]+) (\wB) in all", refused.stderr).groups()
            limit = int(float(number.replace(",", "")) * UNITS[unit] * 1.005) + 10**5  # printed to three digits
            peak = _peak([*command, "--max-memory", str(limit)], limit, asked.cgroup, options)
            print(
                f"{n:9,} {d_T:5} {d_S:5} {classes:7} {limit / 1e6:5.0f} MB {peak / 1e6:5.0f} MB {peak / limit:6.2f}  "
                f"{' '.join(words)}",
                flush=True,
            )


def _files(folder: Path, n: int, d_T: int, d_S: int, classes: int) -> list[str]:
    """Feature files, written a block at a time, and labels; the words that name them."""
    rng = np.random.default_rng(0)
    W = rng.standard_normal((d_T, d_S)).astype(np.float32) / np.sqrt(d_T)
    sides = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, (n, d))
        for name, d in (("t", d_T), ("s", d_S))
    }
    for start in range(0, n, 8192):
        X = rng.standard_normal((min(8192, n - start), d_T), dtype=np.float32)
        sides["t"][start : start + len(X)] = X
        sides["s"][start : start + len(X)] = np.maximum(X @ W, 0)
    del sides
    words = ["--teacher", "t.npy", "--student", "s.npy"]
    if classes:
        np.save(folder / "y.npy", np.arange(n) % classes)
        words += ["--labels", "y.npy"]
    return words


def _peak(command: list[str], limit: int, cgroup: Path | None, options: dict) -> int:
    """Bytes resident at the peak of one run of the command."""
    if cgroup is not None:
        name = "memory.max" if (cgroup / "memory.max").exists() else "memory.limit_in_bytes"
        (cgroup / name).write_text(str(limit))

    def enter() -> None:
        if cgroup is not None:
            (cgroup / "cgroup.procs").write_text(str(os.getpid()))

    found = subprocess.run([sys.executable, "-c", PEAK, *command], preexec_fn=enter, **options)
    if found.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {found.returncode}: {found.stderr[-500:]}")
    return int(found.stdout.splitlines()[-1])


PEAK = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
sys.exit(code)
"""

if __name__ == "__main__":
    main()
