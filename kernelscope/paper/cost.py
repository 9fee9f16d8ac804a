"""Cost: what a plan's networks will take, from two steps of each architecture on images of their size."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from kernelscope.errors import UsageError
from kernelscope.networks import zoo
from kernelscope.paper.jobs import MOST, Job
from kernelscope.paper.training import examples_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kernelscope.paper.rows import Row
    from kernelscope.paper.scenes import Images

STEPS = 2
PIXELS = 32 * 32 * 32  #: of the images of a rehearsal's step at most, so that large networks on a CPU end soon
FORWARD = 1 / 3  #: of a step
MEASURING = 5e-4  #: seconds per test image: report and audit of both layers beside the forward pass


@dataclass(frozen=True)
class Sizes:
    """How many images a job reads, and what they are like."""

    training: int
    validation: int
    test: int
    shape: tuple[int, ...]
    classes: int


#: of data that is planned for and not there
KNOWN = {
    "cifar100:DIR": Sizes(45_000, 5_000, 10_000, (3, 32, 32), 100),
    "tiny-imagenet:DIR": Sizes(90_000, 10_000, 10_000, (3, 64, 64), 200),
}


@dataclass
class Cost:
    """Seconds of jobs on one core, or on one device.

    Attributes:
        factor: by which what was measured exceeded what had been rehearsed.
    """

    device: str = "cpu"
    factor: float = 1.0
    _sizes: dict[Images, Sizes] = field(default_factory=dict)
    _per_image: dict[tuple[str, Sizes, int], float] = field(default_factory=dict)

    def __call__(self, job: Job) -> float:
        """Seconds of a job in a cohort of the usual size."""
        sizes = self.sizes(job.images)
        own = self._seconds(job.recipe.arch, sizes, job.recipe.batch_size)
        epochs, per_epoch = job.recipe.epochs, sizes.training + FORWARD * sizes.validation
        seconds = own * (epochs * per_epoch + 2 * FORWARD * sizes.test)
        if job.teacher is not None:
            of_teacher = FORWARD * self._seconds(job.teacher.arch, sizes, job.recipe.batch_size)
            seconds += of_teacher * (epochs * sizes.training + 2 * sizes.test) / MOST + MEASURING * sizes.test
        return self.factor * seconds

    def calibrate(self, rows: Mapping[str, Row], jobs: Iterable[Job]) -> None:
        """Let what finished networks took correct what the others are expected to take."""
        ratios = [
            seconds / self(job) for job in jobs if job.key in rows and (seconds := rows[job.key].seconds) is not None
        ]
        if ratios:
            self.factor *= median(ratios)

    def sizes(self, images: Images) -> Sizes:
        """Of the data a job reads, read if need be.

        Raises:
            UnreadableInput, UsageError: data that cannot be read.
        """
        if images not in self._sizes:
            self._sizes[images] = KNOWN[images.training] if images.training in KNOWN else _read(images)
        return self._sizes[images]

    def _seconds(self, arch: str, sizes: Sizes, batch: int) -> float:
        key = arch, sizes, batch
        if key not in self._per_image:
            try:
                self._per_image[key] = _rehearsed(arch, sizes, batch, self.device)
            except UsageError:  # a teacher that is none of ours; what rows took corrects this
                self._per_image[key] = 0.0
        return self._per_image[key]


def _read(images: Images) -> Sizes:
    training, validation, test = examples_of(images)
    shape = training.example_shape()
    return Sizes(training.n, validation.n, test.n, shape or (), len(training.classes))


def _rehearsed(arch: str, sizes: Sizes, batch: int, device: str) -> float:
    """Seconds per training image, from steps without augmentation and method, in one thread as jobs have."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _stepped(arch, sizes, batch, device)
    finally:
        torch.set_num_threads(threads)


def _stepped(arch: str, sizes: Sizes, batch: int, device: str) -> float:
    count = max(2, min(batch, PIXELS // (sizes.shape[1] * sizes.shape[2])))
    with torch.random.fork_rng(devices=[]):
        network = zoo.build(arch, num_classes=sizes.classes, in_channels=sizes.shape[0]).to(device)
    x, labels = torch.zeros(count, *sizes.shape, device=device), torch.zeros(count, dtype=torch.long, device=device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    clock = time.process_time if device == "cpu" else time.perf_counter
    taken = []
    for _ in range(STEPS):
        started = clock()
        loss = functional.cross_entropy(network(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # waits for the device
        taken.append(clock() - started)
    return min(taken) / count
