"""Examples per second of the training loop, against the loop of most published distillation code.

Theirs is stated anew from what it does: a DataLoader that decodes, crops, flips and normalises image by image with
Pillow, the teacher's forward pass without gradients, KL and cross-entropy, running means by ``.item()`` in every step.
Same networks, data, batch size, optimiser and loss.
Claim: at least theirs.
Run: python benchmarks/the_loop_is_no_slower_than_peers.py [--rounds R] [--steps N] [--workers W]
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from PIL import Image
from rounds import describe_machine, median_ratio, paired_rounds, print_table
from steps import Steps
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from kernelscope.distill.recipe import Recipe
from kernelscope.networks import zoo


class PillowImages(Dataset[tuple[torch.Tensor, int]]):
    """Random crop after padding by 4, random flip, to tensor, normalise: one image at a time."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images.transpose(0, 2, 3, 1), labels
        self.mean, self.std = torch.full((3, 1, 1), 0.5), torch.full((3, 1, 1), 0.25)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = Image.fromarray(self.images[index])
        size = image.size[0]
        padded = Image.new("RGB", (size + 8, size + 8))
        padded.paste(image, (4, 4))
        left, top = (int(torch.randint(0, 9, (1,))) for _ in range(2))
        image = padded.crop((left, top, left + size, top + size))
        if torch.rand(1) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
        return (x - self.mean) / self.std, int(self.labels[index])


class PeerLoop:
    """KD with T = 4 at 0.1 : 0.9 over shuffled batches, meters fed in every step."""

    def __init__(self, run: Steps, workers: int) -> None:
        kwargs = {"num_classes": len(run.splits.classes), "in_channels": 3}
        self.student = zoo.build(run.recipe.arch, **kwargs).train()
        self.teacher = run.teacher.network
        training = run.splits.training
        assert isinstance(training.inputs, np.ndarray) and training.labels is not None
        self.loader: Any = DataLoader(
            PillowImages(training.inputs, training.labels),
            batch_size=run.recipe.batch_size,
            shuffle=True,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        self.optimizer = torch.optim.SGD(self.student.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
        self.batches = iter(self.loader)
        self.meters = {"loss": 0.0, "top1": 0.0, "top5": 0.0}

    def take(self, steps: int) -> None:
        criterion = nn.CrossEntropyLoss()
        for _ in range(steps):
            try:
                x, y = next(self.batches)
            except StopIteration:
                self.batches = iter(self.loader)
                x, y = next(self.batches)
            logits = self.student(x)
            with torch.no_grad():
                said = self.teacher(x)
            p_S, p_T = functional.log_softmax(logits / 4, dim=1), functional.softmax(said / 4, dim=1)
            divergence = functional.kl_div(p_S, p_T, reduction="sum") * 16 / len(x)
            loss = 0.1 * criterion(logits, y) + 0.9 * divergence
            _, guesses = logits.topk(5, 1)
            right = guesses.eq(y[:, None])
            self.meters["loss"] += loss.item() * len(x)
            self.meters["top1"] += right[:, 0].float().sum().mul(100 / len(x)).item()
            self.meters["top5"] += right.float().sum().mul(100 / len(x)).item()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", default="shapes(size=32,classes=100,n=1280)")
    given = parser.parse_args()
    for student, teacher in (("resnet8", "resnet20"), ("resnet18x0.25", "resnet34x0.25")):
        recipe = Recipe(arch=student, method="kd", epochs=20, batch_size=64, lr=1e-3, pad=4, flip=True)
        run = Steps([recipe], given.data, teacher)
        print(f"{student} from {teacher}, {given.data}, batch 64, {given.steps} steps; {describe_machine()}")
        variants = {"kernelscope": lambda run=run: run.take(given.steps)}
        for workers in sorted({0, given.workers}):
            peer = PeerLoop(run, workers)
            variants[f"DataLoader, {workers} workers"] = lambda peer=peer: peer.take(given.steps)
        seconds = paired_rounds(variants, given.rounds)
        print_table(seconds, "kernelscope")
        best = min(median_ratio(seconds, name, "kernelscope") for name in list(variants)[1:])
        print(f"their time / ours: {best:.2f} (at least 1): {'reached' if best >= 1 else 'not reached'}\n")


if __name__ == "__main__":
    main()
