"""`blame` on injured networks: is the injured layer named, beside what cosine and SQNR of the layers' outputs name.

One layer of a network is injured (rounded to few bits, scaled, two channels swapped, pruned, noise) and everything else
is noise of 0.1 % of every weight, as after fine-tuning. Cosine and SQNR of both networks' outputs name the layer at
which they fall most, as debugging tools do, or the worst one.

Claims: named in at least 95 % of single injuries, both among the first three in 90 % of double ones; at most 2.5 times
two bare forward passes.
Run: python benchmarks/which_layer_broke_it.py [--injuries 500] [--double 100] [--rounds 5]
"""

from __future__ import annotations

import argparse
import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from rounds import describe_machine, median_ratio, paired_rounds, print_table
from torch import nn

import kernelscope as ks
from kernelscope.activations.unit_calls import UnitCalls
from kernelscope.networks import zoo

if TYPE_CHECKING:
    from collections.abc import Callable

N = 64


class Tiny(nn.Module):
    """A transformer of two layers over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(64, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.encoder, self.fc = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.encoder(self.embed(x)).mean(1))


def networks() -> dict[str, tuple[nn.Module, torch.Tensor]]:
    """By name a network with weights that are not those of its start, and inputs."""
    torch.manual_seed(0)
    images, tokens = torch.randn(N, 3, 32, 32), torch.randint(0, 64, (N, 16))
    found = {
        "resnet20": (zoo.build("resnet20", in_channels=3, num_classes=10), images),
        "shufflenetv2": (zoo.build("shufflenetv2", in_channels=3, num_classes=10), images),
        "transformer": (Tiny(), tokens),
    }
    for net, _ in found.values():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, 0, 0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
                nn.init.uniform_(module.weight, 0.5, 1.5)
        net.eval()
    return found


def rounded(w: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    steps = 2 ** int(rng.integers(2, 4)) - 1
    scale = w.abs().max() / steps
    return (w / scale).round() * scale


def swapped(w: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    a, b = rng.choice(len(w), 2, replace=False)
    w = w.clone()
    w[[a, b]] = w[[b, a]]
    return w


def pruned(w: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    return torch.where(w.abs() < w.abs().flatten().quantile(rng.uniform(0.4, 0.8)), 0.0, w)


INJURIES: dict[str, Callable[[torch.Tensor, np.random.Generator], torch.Tensor]] = {
    "bits": rounded,
    "scale": lambda w, rng: w * rng.choice([0.5, 0.7, 1.4, 2.0]),
    "swap": swapped,
    "prune": pruned,
    "noise": lambda w, rng: w + rng.uniform(0.1, 0.5) * w.std() * torch.randn_like(w),
}


def weights(net: nn.Module) -> dict[str, torch.Tensor]:
    """The matrices of layers that may be injured, by the layer that ``blame`` should name."""
    found = {}
    for name, module in net.named_modules():
        for key, value in module.named_parameters(recurse=False):
            if value.dim() > 1 and len(value) > 1 and not name.endswith("out_proj"):
                found[name] = getattr(module, key)
    return found


def injured(net: nn.Module, layers: list[str], rng: np.random.Generator) -> tuple[nn.Module, str]:
    """A copy whose weights all moved a little, and those of ``layers`` much; and how the last of them did."""
    student, kind = copy.deepcopy(net), ""
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.mul_(1 + 1e-3 * torch.randn_like(parameter))
        for layer in layers:
            kind = str(rng.choice(list(INJURIES)))
            weight = weights(student)[layer]
            weight.copy_(INJURIES[kind](weight, rng))
    return student, kind


def by_outputs(teacher: nn.Module, student: nn.Module, inputs: torch.Tensor) -> dict[str, str]:
    """The layers that cosine and SQNR of both networks' outputs name, at their worst and where they fall most."""
    outputs = []
    for net in (teacher, student):
        with UnitCalls(net) as calls, torch.inference_mode():
            net(inputs)
        outputs.append({name: call.tensors()[0].flatten() for (name, _), call in calls.calls.items()})
    names = list(outputs[0])
    cosine = np.array([float(nn.functional.cosine_similarity(outputs[0][n], outputs[1][n], dim=0)) for n in names])
    noise = np.array([float((outputs[0][n] - outputs[1][n]).norm() / outputs[0][n].norm()) for n in names])
    sqnr = -20 * np.log10(np.maximum(noise, 1e-9))
    fall = {key: np.diff(values, prepend=values[:1]) for key, values in (("cosine", cosine), ("SQNR", sqnr))}
    return {
        "lowest cosine": names[int(cosine.argmin())],
        "largest fall of the cosine": names[int(fall["cosine"].argmin())],
        "lowest SQNR": names[int(sqnr.argmin())],
        "largest fall of the SQNR": names[int(fall["SQNR"].argmin())],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--injuries", type=int, default=500)
    parser.add_argument("--double", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    rng, found = np.random.default_rng(0), networks()
    print(f"{N} examples; {describe_machine()}")
    hits: dict[str, list[bool]] = {}
    for number in range(given.injuries):
        name = list(found)[number % len(found)]
        teacher, inputs = found[name]
        layer = str(rng.choice(list(weights(teacher))))
        student, kind = injured(teacher, [layer], rng)
        answer = ks.blame(teacher=teacher, student=student, data=(inputs, torch.zeros(N, dtype=torch.long)))
        named = {"blame": answer.ranked[0].layer, **by_outputs(teacher, student, inputs)}
        for way, said in named.items():
            for group in (way, *((f"{way}, {name}", f"{way}, {kind}") if way == "blame" else ())):
                hits.setdefault(group, []).append(said == layer)
    both = []
    for number in range(given.double):
        teacher, inputs = found[list(found)[number % len(found)]]
        layers = [str(each) for each in rng.choice(list(weights(teacher)), 2, replace=False)]
        student, _ = injured(teacher, layers, rng)
        answer = ks.blame(teacher=teacher, student=student, data=(inputs, torch.zeros(N, dtype=torch.long)))
        both.append(set(layers) <= {each.layer for each in answer.ranked[:3]})
    for group, right in hits.items():
        print(f"  {group}: {np.mean(right):.3f} of {len(right)}")
    if both:
        print(f"  two injuries, both among the first three: {np.mean(both):.3f} of {len(both)}")
    for name, (teacher, inputs) in found.items():
        first = next(iter(weights(teacher)))
        student, _ = injured(teacher, [first], rng)
        one = copy.deepcopy(teacher)
        weights(one)[first].data.mul_(1.5)

        def bare(teacher: nn.Module = teacher, student: nn.Module = student, inputs: torch.Tensor = inputs) -> None:
            with torch.inference_mode():
                teacher(inputs)
                student(inputs)

        options = {"teacher": teacher, "data": (inputs, torch.zeros(N, dtype=torch.long))}
        seconds = paired_rounds(
            {
                "two bare forward passes": bare,
                "blame, every layer changed": lambda s=student, o=options: ks.blame(student=s, **o),
                "blame, one layer changed": lambda s=one, o=options: ks.blame(student=s, **o),
            },
            given.rounds,
        )
        print(name)
        print_table(seconds, "two bare forward passes")
        ratio = median_ratio(seconds, "blame, one layer changed", "two bare forward passes")
        print(f"{name}: one layer changed, {ratio:.2f} x two bare forward passes (claimed: at most 2.5)")


if __name__ == "__main__":
    main()
