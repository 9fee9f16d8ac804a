"""Running full kernel, the batch's own Gram and KDA alone, without cross-entropy, in batches of 8 to 256.

A small network learns the kernel of a teacher's embedding from the teacher's second stage, by the loss alone; KDA alone
sees labels. Learning rates were chosen for each loss and batch size on other seeds. Held-out loss is of other images.
Claims at batch 8: running full kernel at most 0.9 times the batch Gram's loss and 0.4 times KDA's. At large batches the
batch Gram is as good or better, which is printed too.
With --micro N gradients of N micro-batches are added up before each step: what that changes for either loss.
Run: python benchmarks/full_kernel_in_small_batches.py [--batches 8,32,128,256] [--seeds N] [--micro N] [--jobs N]
    [--losses NAME ...] [--save FILE.json]
The figure of several such files: ... --draw FILE.png --saved FILE.json ...
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import t as student_t
from students import Setting, teacher_file, train_teacher
from torch import nn

import kernelscope as ks
from kernelscope.activations.tap import Tap
from kernelscope.checkpoints.loading import load
from kernelscope.datasets.preprocess import apply
from kernelscope.datasets.sources import load as load_data

if TYPE_CHECKING:
    from collections.abc import Callable

LOSSES: dict[str, Callable[[], nn.Module]] = {
    "running full kernel": lambda: ks.losses.FullKernel(weight=1.0),
    "batch Gram": lambda: ks.losses.Gram(weight=1.0),
    "KDA, epoch before": lambda: ks.losses.KDA(weight=1.0, normalization="entries"),
    "KDA, running": lambda: ks.losses.KDA(weight=1.0, normalization="entries", landmarks="running:30"),
}
RATES = (1e-3, 2e-3, 4e-3)
SEARCHED_ON = (100,)
SETTING = Setting(data="shapes(size=12,classes=48,n=2000,difficulty=0.5,seed={seed})")


@dataclass(frozen=True)
class Rows:
    """Maps of the teacher's second stage, its embedding, and labels."""

    maps: torch.Tensor
    embedding: torch.Tensor
    labels: torch.Tensor


def rows(path: Path, split: str, n: int) -> Rows:
    examples = load_data(SETTING.images.replace("n=2000", f"n={n}"), split)
    network = load(path).module
    x = apply(examples.preprocess, torch.as_tensor(examples.raw(np.arange(examples.n))))
    with torch.no_grad(), Tap(network, ["layer2", "embedding"], training=False) as tap:
        network(x)
        found = tap.features
    return Rows(found["layer2"].flatten(1), found["embedding"], torch.as_tensor(examples.labels))


def held_out_loss(job: tuple[str, int, int, float, int, int, str, int]) -> float:
    """Transfer loss on held-out images of a student trained by one loss."""
    name, batch, seed, rate, epochs, micro, folder, d = job
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    training, test = (torch.load(Path(folder) / f"{split}.pt", weights_only=False) for split in ("train", "test"))
    net = nn.Sequential(nn.Linear(training.maps.shape[1], 64), nn.ReLU(), nn.Linear(64, d), nn.ReLU())
    loss, optimizer = LOSSES[name](), torch.optim.Adam(net.parameters(), lr=rate)
    if micro > 1 and hasattr(loss, "window"):
        loss = ks.losses.FullKernel(weight=1.0, window=8 * micro)  # the same window in examples
    order = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        loss.begin_epoch(epoch, epochs)
        for chosen in torch.randperm(len(training.maps), generator=order).split(batch):
            optimizer.zero_grad()
            for part in chosen.tensor_split(micro):
                value = loss(net(training.maps[part]), training.embedding[part], training.labels[part]) / micro
                if value.requires_grad:
                    value.backward()
            optimizer.step()
    with torch.no_grad():
        return float(ks.transfer_loss(teacher=test.embedding.numpy(), student=net(test.maps).numpy()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batches", default="8,32,128,256")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--micro", type=int, default=1)
    parser.add_argument("--d", type=int, default=32)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=tuple(LOSSES), metavar="NAME")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--draw", type=Path, metavar="PNG")
    parser.add_argument("--saved", type=Path, nargs="+", default=())
    given = parser.parse_args()
    if given.draw:
        draw([row for path in given.saved for row in json.loads(path.read_text())], given.draw)
        return
    batches = [int(batch) for batch in given.batches.split(",")]
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(given.jobs) as pool:
        train_teacher(SETTING, Path(folder))
        path = teacher_file(SETTING, Path(folder))
        torch.save(rows(path, "train", 2000), Path(folder) / "train.pt")
        torch.save(rows(path, "test", 8000), Path(folder) / "test.pt")
        how = (given.epochs, given.micro, folder, given.d)
        search = [(n, b, s, r, *how) for n in given.losses for b in batches for r in RATES for s in SEARCHED_ON]
        found = dict(zip([job[:4] for job in search], pool.map(held_out_loss, search, chunksize=1)))
        rates = {
            (n, b): min(RATES, key=lambda r: np.mean([found[n, b, s, r] for s in SEARCHED_ON]))
            for n in given.losses
            for b in batches
        }
        jobs = [(n, b, s, rates[n, b], *how) for n in given.losses for b in batches for s in range(given.seeds)]
        losses = dict(zip([job[:3] for job in jobs], pool.map(held_out_loss, jobs, chunksize=1)))
    if given.save:
        found = [
            {"batch": b, "micro": given.micro, "loss": n, "held_out": [losses[n, b, s] for s in range(given.seeds)]}
            for n in given.losses
            for b in batches
        ]
        given.save.write_text(json.dumps(found))
    print(f"n = 2,000, 48 classes, {given.epochs} epochs, {given.seeds} seeds, {given.micro} micro-batches a step")
    for b in batches:
        at = {n: np.array([losses[n, b, s] for s in range(given.seeds)]) for n in given.losses}
        for n, values in at.items():
            print(f"batch {b:>4}  {n:<20} rate {rates[n, b]:g}  {values.mean():.4f} ± {values.std(ddof=1):.4f}")
        first, *others = given.losses
        for other in others:
            logs = np.log(at[first] / at[other])
            half = student_t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / len(logs) ** 0.5
            low, mid, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half])
            print(f"batch {b:>4}  {first} / {other}: {mid:.3f} [{low:.3f}, {high:.3f}]")


def draw(rows: list[dict], path: Path) -> None:
    """Held-out loss against the batch size, mean and standard deviation over seeds."""
    from kernelscope.rendering.plots import canvas

    with canvas.own_style():
        axes = canvas.new_axes(5.4, 3.4)
        ends = []
        for number, name in enumerate(dict.fromkeys(r["loss"] for r in rows if r["micro"] == 1)):
            drawn = canvas.stroke(number)
            points = sorted((r["batch"], r["held_out"]) for r in rows if r["loss"] == name and r["micro"] == 1)
            batches, values = [b for b, _ in points], np.array([v for _, v in points])
            spread = values.std(axis=1, ddof=1)
            axes.errorbar(batches, values.mean(axis=1), spread, color=drawn.colour, marker=drawn.marker, capsize=2)
            ends.append((float(values[-1].mean()), name, drawn.colour))
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        canvas.log_ticks(axes, "y")
        axes.set_xticks(batches, labels=[str(b) for b in batches])
        axes.minorticks_off()
        title = "A kernel loss alone, by the size of its batches"
        canvas.dress(axes, title, x="examples in a batch", y="transfer loss, held out (log scale)")
        canvas.label_ends(axes, ends)
        axes.figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
