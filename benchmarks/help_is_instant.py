"""``kernelscope --help`` against ``python -c "import torch"`` as whole processes.

Claims: at most 0.25 s, and at most 0.2 of the time torch takes to import.
Run: python benchmarks/help_is_instant.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

from rounds import describe_machine, median_ratio, paired_rounds, print_table


def process(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    program = str(Path(sys.executable).with_name("kernelscope"))
    seconds = paired_rounds(
        {
            "kernelscope --help": lambda: process(program, "--help"),
            "import torch": lambda: process(sys.executable, "-c", "import torch"),
        },
        rounds=9,
    )
    print(describe_machine())
    print_table(seconds, "import torch")
    print(f"--help takes {statistics.median(seconds['kernelscope --help']):.3f} s (claimed: at most 0.25)")
    print(f"ratio {median_ratio(seconds, 'kernelscope --help', 'import torch'):.3f} (claimed: at most 0.2)")


if __name__ == "__main__":
    main()
