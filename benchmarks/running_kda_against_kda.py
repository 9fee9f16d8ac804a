"""KDA with running class means against KDA with those of the epoch before, at the same weight.

Claims, over two teachers and two seeds of the data, 16 and 28 epochs, 8 seeds each: loss raw, after the best scalar and
after a held-out linear head are lower, top-1 is higher, each paired 95 % interval off 0. The weight was chosen for the
plain KDA, on other seeds and other images. KDA's warm-up is one epoch.
With --weight the search is left out, and only these two methods are compared.
Run: python benchmarks/running_kda_against_kda.py [--jobs N] [--seeds N] [--epochs 16,28] [--weight W] [--quick]
    [--save FILE]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from students import METRICS, Run, Setting, column, run_all

from kernelscope.distill.comparison import paired

WEIGHTS = {
    "kda(weight={},warm_up=1)": (0.05, 0.1, 0.2, 0.4, 0.8),
    "kda(weight={},landmarks=running:30)": (0.1, 0.2, 0.4, 0.8, 1.6),
    "kd(T=4,weight={})": (0.5, 1, 2),
    "rkd(distance={},angle={})": (2.5, 5, 10),
    "gram(weight={})": (2, 4, 8),
    "full_kernel(weight={},window=8)": (2, 4, 8),
    "kda(weight={},landmarks=running:30)+kd(T=4,weight=1)": (0.1, 0.2, 0.4),
    "kda(weight={},landmarks=running:30)+rkd(distance=5,angle=10)": (0.1, 0.2, 0.4),
}
SEARCHED_ON = (100, 101, 102)  #: seeds; and on validation images of other data


def written(method: str, weight: float) -> str:
    return method.format(weight, 2 * weight)


def chosen(setting: Setting, folder: Path, jobs: int) -> dict[str, float]:
    """The weight of every method with the best top-1."""
    methods = [written(method, weight) for method, weights in WEIGHTS.items() for weight in weights]
    runs = [Run(setting, seed, tuple(methods), split="validation") for seed in SEARCHED_ON]
    found = run_all(runs, folder, jobs)
    best = {}
    for method, weights in WEIGHTS.items():
        means = [float(column(found, runs, written(method, weight), "top-1").mean()) for weight in weights]
        best[method] = weights[int(np.argmax(means))]
        print(f"{method:<60}" + "  ".join(f"{w:g}: {m:.3f}" for w, m in zip(weights, means)) + f"  -> {best[method]:g}")
    return best


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="two seeds of one setting, four epochs")
    parser.add_argument("--epochs", default="16,28")
    parser.add_argument("--weight", type=float, help="KDA's, where it was chosen before")
    parser.add_argument("--save", type=Path)
    given = parser.parse_args()
    base = Setting(epochs=4, teacher_epochs=8, test=400) if given.quick else Setting()
    with tempfile.TemporaryDirectory() as folder:
        plain = "kda(weight={},warm_up=1)"
        # data of seed 2 are those of no comparison
        best = {plain: given.weight} if given.weight else chosen(replace(base, data_seed=2), Path(folder), given.jobs)
        print(f"chosen: {best}", flush=True)
        weight = best[plain]
        old, new = f"kda(weight={weight},warm_up=1)", f"kda(weight={weight},landmarks=running:30)"
        others = [written(method, w) for method, w in best.items()]
        found, runs = {}, []
        for epochs in (4,) if given.quick else map(int, given.epochs.split(",")):
            # what else there is, is compared at the shorter training
            methods = tuple(dict.fromkeys(["ce", old, new, *(others if epochs < 28 else ())]))
            settings = [
                replace(base, data_seed=data, teacher_seed=teacher, epochs=epochs)
                for data in ((0,) if given.quick else (0, 1))
                for teacher in ((1000,) if given.quick else (1000, 1001))
            ]
            these = [Run(s, seed, methods) for s in settings for seed in range(given.seeds)]
            found |= run_all(these, Path(folder), given.jobs)
            runs += these
            if given.save:
                rows = [{"setting": str(r.setting), "seed": r.seed, "methods": numbers} for r, numbers in found.items()]
                given.save.write_text(json.dumps(rows))
            for s in settings:
                of_setting = [run for run in these if run.setting == s]
                title = f"data seed {s.data_seed}, teacher {s.teacher_seed}, {epochs} epochs, {len(of_setting)} seeds"
                show(found, of_setting, methods, title)
                compare(found, of_setting, new, old)
            show(found, these, methods, f"{epochs} epochs, all settings together, {len(these)} students a method")
            compare(found, these, new, old)
            against(found, these, methods, old)
            against(found, these, methods, "ce")
    print(f"\nall settings together, {len(runs)} pairs of students")
    compare(found, runs, new, old)


def show(found, runs, methods, title: str) -> None:
    print(f"\n{title}")
    print(f"{'':<62}" + "".join(f"{metric:>16}" for metric in METRICS))
    for method in methods:
        cells = [column(found, runs, method, metric) for metric in METRICS]
        print(f"{method:<62}" + "".join(f"{c.mean():>9.3f} ± {c.std(ddof=1):.3f}" for c in cells), flush=True)


def against(found, runs, methods, other: str) -> None:
    """Every method less one of them, paired."""
    print(f"\ndifferences to {other}, {len(runs)} pairs")
    for method in methods:
        if method != other:
            ds = [paired(column(found, runs, method, m), column(found, runs, other, m), "seeds") for m in METRICS]
            print(f"{method:<62}" + "".join(f"{d.value:>+9.3f} ± {d.half_width or np.nan:.3f}" for d in ds))


def compare(found, runs, new: str, old: str) -> None:
    for metric in METRICS:
        a, b = column(found, runs, new, metric), column(found, runs, old, metric)
        d = paired(a, b, "seeds")
        better = int((a > b).sum() if metric in ("top-1", "neighbours") else (a < b).sum())
        half = d.half_width or float("nan")
        off = "off 0" if abs(d.value) > half else "not off 0"
        print(f"  {metric:<14} running − plain: {d.value:+.4f} ± {half:.4f}, better in {better} of {len(runs)}: {off}")


if __name__ == "__main__":
    main()
