"""Draws the figures of the documentation site from what ``kernelscope demo`` leaves, and from two small sweeps.

kernelscope demo --out out
python docs/figures/site_figures.py out docs/figures
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure

import kernelscope as ks
from kernelscope.rendering.plots.canvas import COLOURS, GRID

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# text as outlines: a page that shows the file as an image has no fonts of its own to offer
STYLE = {"svg.fonttype": "path", "svg.hashsalt": "site", "font.family": "DejaVu Sans", "font.size": 9.5}
SIZES = (500, 1000, 2000, 4000, 8000)
FEW = (30, 60, 120, 250, 500, 1000, 2000, 4000)


def blank() -> Axes:
    ax = Figure(figsize=(5.2, 3.1), layout="constrained").subplots()
    ax.grid(color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def formed_in_float32() -> Axes:
    """Loss from both n × n kernels in float32, against the certified one; features as in the benchmark of that name."""
    rng, d = np.random.default_rng(0), 512
    centres, errors = 2 * rng.standard_normal((100, d)), []
    for n in SIZES:
        T = np.maximum(centres[rng.integers(0, 100, n)] + rng.standard_normal((n, d)), 0).astype(np.float32)
        S = np.maximum(T + 0.7 * rng.standard_normal((n, d)), 0).astype(np.float32)
        K_T = torch.from_numpy(T @ T.T)
        formed = float(torch.linalg.norm(torch.from_numpy(S @ S.T) - K_T) / torch.linalg.norm(K_T))
        exact = ks.transfer_loss(teacher=T, student=S)
        errors.append((abs(formed / exact.value - 1), (exact.interval[1] - exact.interval[0]) / 2 / exact.value))
        print(f"n = {n:5}: formed in float32 {errors[-1][0]:.1e} off, half-width of the interval {errors[-1][1]:.1e}")
    ax = blank()
    ax.loglog(SIZES, [each[0] for each in errors], "o-", color=COLOURS[1], label="formed in float32: relative error")
    ax.loglog(SIZES, [each[1] for each in errors], "o-", color=COLOURS[0], label="kernelscope: certified half-width")
    ax.set_xticks(SIZES, [f"{n:,}" for n in SIZES])
    ax.minorticks_off()
    ax.set_xlabel("examples n (d = 512 + 512)")
    ax.set_ylabel("relative to the loss")
    ax.legend(frameon=False)
    return ax


def unrelated() -> Axes:
    """Loss of two unrelated Gaussian networks with 64 features, and its population loss, against n."""
    rng, found = np.random.default_rng(0), []
    for n in FEW:
        pair = ks.measure(teacher=rng.standard_normal((n, 64)), student=rng.standard_normal((n, 64)), neighbours=0)
        found.append((pair.transfer_loss, pair.null.transfer_loss, pair.population_loss))
        print(f"n = {n:5}: loss {found[-1][0]:.3f}, chance {found[-1][1]:.3f}, population loss {found[-1][2]:.3f}")
    ax = blank()
    for i, (label, style) in enumerate((("loss as printed", "o-"), ("chance", "--"), ("population loss", "s-"))):
        ax.semilogx(FEW, [each[i] for each in found], style, color=COLOURS[(0, 3, 2)[i]], label=label)
    ax.set_xticks(FEW, [f"{n:,}" for n in FEW])
    ax.minorticks_off()
    ax.set_ylim(0, 1.6)
    ax.set_xlabel("examples n, two unrelated networks with 64 features")
    ax.legend(frameon=False)
    return ax


def of_the_demo(out: Path) -> dict[str, Axes]:
    """Figures that reports draw of the demo's networks."""
    students = [out / f"{name}.pt" for name in ("kda", "ce", "kd")]
    report = ks.measure(teacher=out / "teacher.pt", student=students, layers="embedding")
    drawn = {"ladder": report.plot("ladder"), "bounds": report.plot("bounds", student="kda.pt")}
    drawn["neighbours"] = report.plot("neighbours")
    drawn["layers"] = ks.match(teacher=out / "teacher.pt", student=out / "kda.pt").plot()
    drawn["depth"] = ks.blame(teacher=out / "kda.pt", student=rounded(out / "kda.pt"), data="digits").plot()
    return drawn


def rounded(path: Path) -> torch.nn.Module:
    """The network with one convolution's weights rounded to 3 bits."""
    network = ks.load(path).module
    weight = network.get_submodule("layer2.0.conv1").weight.data
    step = weight.abs().max() / 3
    weight.copy_((weight / step).round() * step)
    return network


def small(svg: str) -> str:
    """Without comments, and with places to two decimals; scales of glyphs need all of theirs."""
    svg = re.sub(r" *<!--.*?-->\n", "", svg, flags=re.DOTALL)
    return re.sub(r'd="[^"]*"|translate\([^)]*\)', lambda place: re.sub(r"(\.\d\d)\d+", r"\1", place[0]), svg)


def main(out: Path, folder: Path) -> None:
    with rc_context(STYLE):
        drawn = {"formed_in_float32": formed_in_float32(), "unrelated": unrelated(), **of_the_demo(out)}
        for name, ax in drawn.items():
            stream = io.StringIO()
            ax.get_figure().savefig(stream, format="svg", facecolor="#fefefe", metadata={"Date": None, "Creator": None})
            (folder / f"{name}.svg").write_text(small(stream.getvalue()), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
