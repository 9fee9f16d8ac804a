"""A look of ks.Probe at a student, against the training steps that lie between two looks.

Claim: at every 500 steps it costs at most 2 % of training, for a ResNet-18 of a quarter of the channels at 32 × 32 in
batches of 64, its teacher of twice that width, on 1,000 examples.
Run: python benchmarks/the_probe_costs_little.py [--n N] [--every STEPS] [--width W] [--rounds R]
"""

from __future__ import annotations

import argparse

import torch
from rounds import describe_machine, median_ratio, paired_rounds, print_table
from torch import nn

import kernelscope as ks
from kernelscope.networks import zoo

BATCH, STEPS = 64, 6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--every", type=int, default=500)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    torch.manual_seed(0)
    x, y = torch.randn(max(given.n, BATCH * STEPS), 3, 32, 32), torch.arange(max(given.n, BATCH * STEPS)) % 100
    teacher, student = (zoo.build(f"resnet18x{width}", num_classes=100) for width in (2 * given.width, given.width))
    probe = ks.Probe(teacher=teacher, data=(x, y), every=given.every, n=given.n, student=student)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.01, momentum=0.9)

    def steps() -> None:
        for rows in torch.arange(BATCH * STEPS).split(BATCH):
            loss = nn.functional.cross_entropy(student(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    widths = f"embeddings of {int(1024 * given.width)} (teacher) and {int(512 * given.width)}"
    print(f"n = {given.n}, {widths}, batch {BATCH}; {describe_machine()}")
    seconds = paired_rounds({"steps": steps, "a look": lambda: probe.look(student, 0)}, given.rounds)
    each = {"a training step": [taken / STEPS for taken in seconds["steps"]], "a look": seconds["a look"]}
    print_table(each, "a training step")
    ratio = median_ratio(each, "a look", "a training step") / given.every
    print(f"look / ({given.every} steps): {ratio:.4f} (target 0.02): {'reached' if ratio <= 0.02 else 'not reached'}")


if __name__ == "__main__":
    main()
