"""Interleaved timing: every round runs each variant once, and ratios are taken within a round.

Machines are noisy: the speed drifts, so a ratio of two separate timings says little and the median of paired
ratios says what there is to say.
"""

from __future__ import annotations

import platform
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


def paired_rounds(variants: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, list[float]]:
    """Seconds per round of each variant, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for round_number in range(rounds + 1):
        for name, run in variants.items():
            time.sleep(0.2)  # idle threads of the library just used spin for a while; they must not slow the next
            start = time.perf_counter()
            run()
            if round_number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def median_ratio(seconds: dict[str, list[float]], numerator: str, denominator: str) -> float:
    """Median over rounds of ``numerator / denominator``."""
    return statistics.median(a / b for a, b in zip(seconds[numerator], seconds[denominator]))


def print_table(seconds: dict[str, list[float]], reference: str) -> None:
    """Each variant's median seconds and its median paired ratio to ``reference``."""
    print(f"{'variant':<44}{'median s':>10}{'ratio to ' + reference:>34}")
    for name, values in seconds.items():
        print(f"{name:<44}{statistics.median(values):>10.3f}{median_ratio(seconds, name, reference):>34.3f}")


def describe_machine() -> str:
    """Processor, threads and library versions, for the head of a table."""
    import torch

    return f"{platform.machine()}, {torch.get_num_threads()} threads, NumPy {np.__version__}, torch {torch.__version__}"
