"""`pin` and `drift`: alarms of mere re-runs, and silent changes beside five canaries at cosine 0.99.

Claims: re-runs of the pinned network fail no more often than asked for; all silent changes are found.
Run: python benchmarks/has_it_drifted.py [--n 40] [--shams 1000] [--epochs 2]
"""

from __future__ import annotations

import argparse
import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from rounds import describe_machine
from torch import nn
from torch.nn import functional

import kernelscope as ks
from kernelscope.checkpoints.loaded import loaded_module
from kernelscope.datasets.sources import load
from kernelscope.features.request import Request
from kernelscope.measurement import reruns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATA = "shapes(classes=10,n=800)"
KINDS = ("float64", "float16", "bfloat16")
ALARMS = (0.05, 0.01, 0.001)
CANARIES, COSINE = 5, 0.99


class Before(nn.Module):
    """A network whose inputs are changed first."""

    def __init__(self, net: nn.Module, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.net, self.change = net, change

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(self.change(x))


def resized(size: int, mode: str) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(x: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(functional.interpolate(x, size, mode=mode), x.shape[-1], mode=mode)

    return change


def on_weights(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The network with one layer, or all, rounded, scaled, or lost."""
    layers = [name for name, each in net.named_modules() if isinstance(each, (nn.Conv2d, nn.Linear))]
    norms = [name for name, each in net.named_modules() if isinstance(each, nn.BatchNorm2d)]

    def changed(names: list[str], change: Callable[[nn.Module], object]) -> nn.Module:
        other = copy.deepcopy(net)
        with torch.no_grad():
            for name in names:
                change(other.get_submodule(name))
        return other

    def rounded(bits: int) -> Callable[[nn.Module], object]:
        def change(each: nn.Module) -> None:
            step = each.weight.abs().max() / (2 ** (bits - 1) - 1)
            each.weight.copy_((each.weight / step).round() * step)

        return change

    for name in (layers[0], layers[2], layers[4], layers[-1]):
        yield f"{name} in 8 bits", changed([name], rounded(8))
        yield f"{name} 1 % larger", changed([name], lambda each: each.weight.mul_(1.01))
    yield "all weights in 8 bits", changed(layers, rounded(8))
    yield "all weights in 6 bits", changed(layers, rounded(6))
    for dtype in (torch.float16, torch.bfloat16):
        text = str(dtype).removeprefix("torch.")
        yield (
            f"weights rounded to {text}",
            changed(layers, lambda each, kind=dtype: each.weight.copy_(each.weight.to(kind))),
        )
    yield "two filters swapped", changed(layers[1:2], lambda each: each.weight.copy_(each.weight.flip(0)))
    yield "statistics of one norm gone", changed(norms[1:2], lambda each: each.running_mean.zero_())
    yield "eps of all norms 1e-3", changed(norms, lambda each: setattr(each, "eps", 1e-3))
    pooled = copy.deepcopy(net)
    pooled.avgpool = nn.AdaptiveMaxPool2d(1)
    yield "maximum for average pooling", pooled
    yield "one bias moved by 0.01", changed(layers[-1:], lambda each: each.bias[:1].add_(0.01))


def on_inputs(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The network behind another preprocessing."""
    changes: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "BGR": lambda x: x.flip(1),
        "grey": lambda x: x.mean(1, keepdim=True).expand_as(x),
        "mirrored": lambda x: x.flip(3),
        "one pixel lower": lambda x: x.roll(1, 2),
        "resized by half and back": resized(16, "bilinear"),
        "resized to 31 and back": resized(31, "bilinear"),
        "resized to 30, nearest": resized(30, "nearest"),
        "1/256 for 1/255": lambda x: x * (255 / 256),
        "inputs of 6 bits": lambda x: (x * 32).round() / 32,
        "no normalisation": lambda x: 0.25 * x + 0.5,
        "mean left": lambda x: x + 0.05,
        "resized to 24 and back": resized(24, "bicubic"),
        "clipped at 1": lambda x: x.clamp(-1, 1),
    }
    for name, change in changes.items():
        yield name, Before(net, change)


def print_rows(names: list[str], rows: list[list[object]]) -> None:
    for row in (names, *rows):
        print(f"{row[0]!s:<32}" + "".join(f"{cell!s:>18}" for cell in row[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=40)
    parser.add_argument("--shams", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=2)
    given = parser.parse_args()
    trained = [
        ks.load(ks.train(ks.recipe(arch="resnet8x0.5", epochs=epochs), data=DATA).last)
        for epochs in (given.epochs, given.epochs + 1)
    ]
    net, later = (each.module.eval() for each in trained)
    examples = load(DATA).head(given.n)
    loaded = loaded_module(net, name="network")
    operations = trained[0].checkpoint.preprocess
    print(f"{given.n} examples, {given.shams} re-runs of each type; {describe_machine()}")
    run = reruns.NetworkRun(loaded, examples, operations, Request(layers="embedding"))
    pinned = {name: X.astype(np.float64) for name, X in run.rows("embedding").rows.items()}
    first = dict(reruns.reruns(run, pinned, KINDS, 10, seed=0))
    rows = []
    for dtype, changes in reruns.reruns(run, pinned, KINDS, given.shams, seed=1):
        found = np.array(changes["embedding"])
        alarms = [int((found > reruns.limit(first[dtype]["embedding"], alarm)).sum()) for alarm in ALARMS]
        rows.append([dtype, f"{np.median(found):.2g}", f"{np.log(found).std():.3f}", *alarms])
    rng, draws = np.random.default_rng(0), 2000  # what re-runs would give that are as the model takes them to be
    changes = np.exp(rng.normal(-9, 0.7, (draws, 11)))
    alarms = [sum(each[10] > reruns.limit(each[:10], alarm) for each in changes) for alarm in ALARMS]
    rows.append([f"(log-normal, {draws:,} drawn)", "", "0.700", *alarms])
    print_rows(["re-runs in", "change", "spread (log)", *(f"alarms at {alarm:g}" for alarm in ALARMS)], rows)

    reference = ks.pin(net, data=DATA, limit=given.n, preprocess=operations)
    E = reference.features(reference.layers[0])
    rows, found, by_canaries = [], 0, 0
    for name, other in (*on_weights(net), *on_inputs(net), ("one epoch more", later)):
        drift = ks.drift(pinned=reference, student=other.eval())
        now = reruns.NetworkRun(loaded_module(other, name=name), examples, operations, run.request)
        S = now.rows("embedding").rows["embedding"][:CANARIES].astype(np.float64)
        P = E[:CANARIES]
        cosines = (S * P).sum(1) / (np.linalg.norm(S, axis=1) * np.linalg.norm(P, axis=1))
        found, by_canaries = found + drift.drifted, by_canaries + bool((cosines < COSINE).any())
        rows.append([name, f"{drift.most.change:.2g}", drift.drifted, f"{cosines.min():.4f}", cosines.min() < COSINE])
    print_rows(
        ["silent change", "change", "found", "least cosine", "by canaries"], [list(map(str, row)) for row in rows]
    )
    print(f"found: {found} of {len(rows)}; by {CANARIES} canaries at cosine {COSINE}: {by_canaries}")


if __name__ == "__main__":
    main()
