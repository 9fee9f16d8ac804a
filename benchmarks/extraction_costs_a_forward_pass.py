"""Extraction of nine layers, and streaming them into their Grams, against a bare forward loop.

Claims, for ResNet-34 and ResNet-18 at 32 × 32: extraction at most 1.05 times a loop that forwards the same batches and
throws the outputs away, streaming into all 81 pairs' sums at most 1.15 times; the memory of streaming does not grow
with n. ``--small`` uses resnet20 and resnet8, whose forward pass is short: reported, not claimed.
Run: python benchmarks/extraction_costs_a_forward_pass.py [--n N] [--batch B] [--device cuda] [--rounds R] [--small]
"""

from __future__ import annotations

import argparse
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import torch
from rounds import describe_machine, median_ratio, paired_rounds, print_table

from kernelscope.checkpoints.loaded import Loaded, loaded_module
from kernelscope.datasets.examples import Examples, example_ids
from kernelscope.features.extraction import extract
from kernelscope.features.request import Request
from kernelscope.features.streaming import StreamedFeatures
from kernelscope.kernels.distance.layer_grid import layer_sums
from kernelscope.networks import zoo

LARGE = "layer1.0,layer1,layer2.0,layer2,layer3.0,layer3,layer4,embedding,logits"
SMALL = "conv1,bn1,layer1,layer2.0.conv1,layer2,layer3.0.conv1,layer3,embedding,logits"


def images(n: int) -> Examples:
    inputs = np.random.default_rng(0).integers(0, 256, (n, 3, 32, 32), np.uint8)
    return Examples("noise", "test", inputs, None, example_ids(inputs), preprocess=[{"op": "scale", "by": 1 / 255}])


def forward(networks: list[Loaded], data: Examples, batch: int, device: str) -> None:
    with torch.inference_mode():
        for network in networks:
            for start in range(0, data.n, batch):
                network.module(data.batch(start, min(start + batch, data.n)).to(device)).cpu()


def store(networks: list[Loaded], data: Examples, layers: str, batch: int, device: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, network in enumerate(networks):
            out = Path(folder) / f"{number}.h5"
            extract(network, data, layers=layers, out=out, batch_size=batch, device=device).close()


def stream(networks: list[Loaded], data: Examples, layers: str, batch: int, device: str) -> None:
    teacher, student = (
        StreamedFeatures(n, data, Request(layers=layers, batch_size=batch, device=device)) for n in networks
    )
    layer_sums(
        teacher={name: teacher.features(name) for name in teacher.layers},
        student={name: student.features(name) for name in student.layers},
    )


def peak_bytes(networks: list[Loaded], n: int, layers: str, batch: int, device: str) -> int:
    """Most memory that NumPy held at once beyond the images while streaming."""
    data = images(n)
    tracemalloc.start()
    stream(networks, data, layers, batch, device)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    archs, layers = (("resnet20", "resnet8"), SMALL) if given.small else (("resnet34", "resnet18"), LARGE)
    torch.manual_seed(0)
    networks = [loaded_module(zoo.build(arch).to(given.device).eval(), name=arch) for arch in archs]
    data = images(given.n)
    how = (layers, given.batch, given.device)
    print(
        f"{' + '.join(archs)}, n = {given.n}, batch {given.batch}, 9 layers each, {given.device}; {describe_machine()}"
    )
    seconds = paired_rounds(
        {
            "forward": lambda: forward(networks, data, given.batch, given.device),
            "extraction": lambda: store(networks, data, *how),
            "streaming": lambda: stream(networks, data, *how),
        },
        given.rounds,
    )
    print_table(seconds, "forward")
    for name, target in (("extraction", 1.05), ("streaming", 1.15)):
        ratio = median_ratio(seconds, name, "forward")
        verdict = "" if given.small else f" (target {target}): {'reached' if ratio <= target else 'not reached'}"
        print(f"{name} / forward: {ratio:.3f}{verdict}")
    small = [loaded_module(zoo.build("resnet8x0.25").to(given.device), name="resnet8x0.25")] * 2
    for n in (8192, 32_768):
        print(
            f"streaming {n} examples: {peak_bytes(small, n, SMALL, given.batch, given.device) / 2**20:.0f} MiB at most"
        )


if __name__ == "__main__":
    main()
