"""Every certified interval against exact arithmetic on every matrix kernel that OpenBLAS brings for this machine.

NumPy's and SciPy's BLAS choose a kernel by the processor; OPENBLAS_CORETYPE names another, for a process of its own
(OpenBLAS calls that of Prescott Katmai). Kernels differ in how many rows they add up before they add to the result,
which is what an interval could be wrong about. Of each: 10,000,000 rows that all round one way, by panels of 64 to
2,048, and 40 pairs of 3,000 rows of every kind and storage type. The blocked route multiplies by torch's library,
which OPENBLAS_CORETYPE does not reach.

Claim: no interval misses the exact loss, and no Gram is further off than its proved bound, whatever the kernel.
Run: python benchmarks/intervals_hold_on_every_blas_kernel.py [--n N] [--kernels NAME,NAME]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.kernels.distance.exact import ScaledSums, loss_from_sums, transfer_loss, well_scaled_sums
from kernelscope.kernels.distance.layer_grid import layer_sums
from kernelscope.kernels.rows import Rows, identical
from kernelscope.kernels.self_check.attacks import CHANGES, DTYPES, KINDS, PANELS, many_rows, pair_of_kind, stored_as
from kernelscope.kernels.self_check.whole_numbers import exact_squares, lies_between

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernelscope.kernels.distance.answers import TransferLoss

X86 = "Prescott Core2 Penryn Nehalem Barcelona Atom Sandybridge Bulldozer Piledriver Steamroller Excavator Haswell Zen "
X86 += "SkylakeX Cooperlake SapphireRapids"
ARM = "ARMV8 CORTEXA53 CORTEXA57 CORTEXA72 CORTEXA76 NEOVERSEN1 NEOVERSEN2 NEOVERSEV1 THUNDERX2T99 A64FX ARMV8SVE"
ROUTES = ("auto", "gram", "pair", "tsqr")
SECONDS = 1800  #: after which a kernel is given up


def loaded() -> dict[str, str]:
    """The kernel that each BLAS in this process uses, by the package that brings it."""
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_info

    found = [info for info in threadpool_info() if info["internal_api"] == "openblas"]
    return {("scipy" if "scipy.libs" in i["filepath"] else "numpy"): str(i["architecture"]) for i in found}


def multiplies() -> bool:
    """Whether whole numbers come out right; a kernel that this processor lacks instructions for dies here."""
    X = np.random.default_rng(0).integers(-99, 99, (500, 300)).astype(float)
    from scipy.linalg.blas import dgemm, dsyrk

    exact = X.astype(np.int64).T @ X.astype(np.int64)
    products = X.T @ (X + 0.0), dgemm(1.0, X.T, X.T, trans_b=1), dsyrk(1.0, X.T) + np.tril(exact, -1)
    return all(np.array_equal(product, exact) for product in products)


def read_once(student: Rows, teacher: Rows) -> TransferLoss:
    """The loss of rows that can be read once, as a grid of layers streams them."""
    sums = layer_sums(teacher={"layer": teacher}, student={"layer": student}, once=True)
    same = identical(teacher, student)
    return loss_from_sums(ScaledSums(teacher, student, sums.pair("layer", "layer"), 1.0, same, once=True))


def long_sums(n: int) -> Iterator[dict[str, Any]]:
    """Of each panel the error of G_TT over its bound, and the routes that missed."""
    for panel in PANELS:
        student, teacher, truth = many_rows(n, panel)
        scaled = well_scaled_sums(teacher=teacher, student=student)
        exact = 1 + (n - 1) * Fraction(float(teacher[1, 0])) ** 2
        found = {route: loss_from_sums(scaled, route=route) for route in ("auto", "pair")}
        found["once"] = read_once(student, teacher)
        error = abs(Fraction(float(scaled.sums.G_TT[0, 0])) - exact) / Fraction(scaled.sums.errors.teacher)
        missed = [f"panel {panel}, {route}" for route, loss in found.items() if not lies_between(loss.interval, truth)]
        yield {"ratio": float(error), "missed": missed, "tried": len(found)}


def pairs(n: int = 3000, d: int = 24) -> Iterator[dict[str, Any]]:
    """Every kind of data in every storage type, noise from 1e-9 to 1."""
    for number, (kind, dtype) in enumerate((kind, dtype) for kind in KINDS for dtype in DTYPES):
        rng = np.random.default_rng(number)
        change, noise = CHANGES[rng.integers(len(CHANGES))], 10.0 ** rng.uniform(-9, 0)
        student, teacher = (stored_as(X, dtype) for X in pair_of_kind(kind, change, n, d, noise, rng))
        truth = exact_squares(student=student.double().numpy(), teacher=teacher.double().numpy())
        found = {route: transfer_loss(teacher=teacher, student=student, route=route) for route in ROUTES}
        found["once"] = read_once(student, teacher)
        missed = [f"{kind}, {dtype}, {route}" for route, l in found.items() if not lies_between(l.interval, truth)]
        yield {"ratio": 0.0, "missed": missed, "tried": len(found)}


def run(kernel: str, task: str, n: int) -> dict[str, Any]:
    """What this script prints for one task in a process of its own, or why it printed nothing."""
    command = [sys.executable, __file__, "--task", task, "--n", str(n)]
    environment = {**os.environ, "OPENBLAS_CORETYPE": kernel}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return {"why": f"not done after {SECONDS} s"}
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return {"why": f"ended by {name}" + ": this processor lacks its instructions" * (name == "SIGILL")}
    if done.returncode:
        return {"why": f"failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def task(name: str, n: int) -> dict[str, Any]:
    if name == "look":
        return {"kernels": loaded(), "right": multiplies()}
    results = [*long_sums(n), *pairs()]
    return {
        "kernels": loaded(),
        "ratio": max(each["ratio"] for each in results),
        "missed": [miss for each in results for miss in each["missed"]],
        "tried": sum(each["tried"] for each in results),
    }


def line(asked: str, seen: str, words: str) -> None:
    print(f"{asked:<16}{seen:<28}{words}", flush=True)


def holds(kernel: str, n: int, tried: dict[str, str]) -> bool:
    """Print the line of a kernel; False if something is wrong. ``tried``: those that were, by what was got."""
    look = run(kernel, "look", n)
    if "why" in look:
        line(kernel, "", look["why"])
        return True
    seen = " ".join(look["kernels"].get(package, "?") for package in ("scipy", "numpy"))
    if seen in tried:
        line(kernel, seen, f"as {tried[seen]}")
        return True
    tried[seen] = kernel
    found = run(kernel, "try", n) if look["right"] else {"why": "whole numbers do not come out right"}
    if "why" in found:
        line(kernel, seen, found["why"])
        return False
    missed = found["missed"]
    line(kernel, seen, f"{found['ratio']:>18.4f}{found['tried']:>15}{len(missed):>8} {'; '.join(missed[:3])}".rstrip())
    return not missed and found["ratio"] <= 1


def main() -> None:
    names = X86 if platform.machine() in ("x86_64", "AMD64") else ARM
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=10_000_000)
    parser.add_argument("--kernels", default=",".join(names.split()))
    parser.add_argument("--task", choices=("look", "try"), help="used by the script itself")
    given = parser.parse_args()
    if given.task:
        print(json.dumps(task(given.task, given.n)))
        return
    panels = f"panels of {PANELS[0]} to {PANELS[-1]:,}"
    print(f"{given.n:,} rows in {panels}, and 40 pairs of 3,000 rows; {platform.machine()}, NumPy {np.__version__}")
    line("asked for", "got (SciPy, NumPy)", "G_TT error / bound      intervals  missed")
    tried: dict[str, str] = {}
    right = [holds(kernel, given.n, tried) for kernel in given.kernels.split(",")]
    print(f"every interval holds on {len(tried)} kernels" if all(right) else "NOT every interval holds")
    sys.exit(not all(right))


if __name__ == "__main__":
    main()
