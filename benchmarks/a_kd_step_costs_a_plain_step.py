"""A step of the training loop with KD, against the same step written out in plain torch.

Same networks, images, augmentation, loss and optimiser; the plain loop registers no hooks, checks nothing and remembers
only the loss. On the digits, where a step takes milliseconds, whatever is done around it shows.
Claim: at most 1.08 times the plain step.
Run: OMP_NUM_THREADS=1 python benchmarks/a_kd_step_costs_a_plain_step.py [--rounds R] [--steps N]
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from rounds import describe_machine, median_ratio, paired_rounds, print_table
from steps import Steps
from torch.nn import functional

from kernelscope.datasets.augment import shift_and_flip
from kernelscope.distill.recipe import Recipe
from kernelscope.networks import zoo

CLAIMED = 1.08


class Plain:
    """Cross-entropy and KD with T = 4 and weight 9, a batch after the other."""

    def __init__(self, run: Steps) -> None:
        self.recipe, training = run.recipe, run.splits.training
        assert isinstance(training.inputs, np.ndarray) and training.labels is not None
        self.images = torch.from_numpy(training.inputs).float()
        self.labels = torch.from_numpy(training.labels)
        scale, normalize = run.splits.operations
        self.scale, self.mean, self.std = scale["by"], normalize["mean"][0], normalize["std"][0]
        self.student = zoo.build(run.recipe.arch, num_classes=10, in_channels=1).train()
        self.teacher = run.teacher.network
        self.optimizer = torch.optim.SGD(self.student.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
        self.generator, self.losses = torch.Generator().manual_seed(0), []
        self.batches: list[torch.Tensor] = []

    def take(self, steps: int) -> None:
        for _ in range(steps):
            if not self.batches:
                order = torch.randperm(len(self.images), generator=self.generator)
                self.batches = list(order.split(self.recipe.batch_size))
            rows = self.batches.pop()
            x = shift_and_flip(self.images[rows], self.generator, pad=self.recipe.pad, flip=False)
            x = (x * self.scale - self.mean) / self.std
            with torch.no_grad():
                teacher = self.teacher(x)
            logits = self.student(x)
            p_S, p_T = functional.log_softmax(logits / 4, 1), functional.log_softmax(teacher / 4, 1)
            divergence = functional.kl_div(p_S, p_T, reduction="batchmean", log_target=True)
            loss = functional.cross_entropy(logits, self.labels[rows]) + 9 * 16 * divergence
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            self.losses.append(loss.detach())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--teacher", default="resnet8")
    given = parser.parse_args()
    recipe = Recipe(arch="resnet8x0.25", method="kd", lr=1e-3)
    run = Steps([recipe], "digits", given.teacher)
    print(f"{recipe.arch} from {given.teacher}, digits, batch {recipe.batch_size}; {describe_machine()}")
    variants = {"plain": Plain(run).take, "kernelscope": run.take}
    seconds = paired_rounds(
        {name: lambda take=take: take(given.steps) for name, take in variants.items()}, given.rounds
    )
    print_table(seconds, "plain")
    print(f"ratio {median_ratio(seconds, 'kernelscope', 'plain'):.3f} (claimed: at most {CLAIMED})")


if __name__ == "__main__":
    main()
