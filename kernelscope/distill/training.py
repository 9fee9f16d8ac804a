"""The training loop: plain torch, data in memory, any sum of losses; it names none of them."""

from __future__ import annotations

import datetime
import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from kernelscope.datasets import sources
from kernelscope.datasets.augment import shift_and_flip
from kernelscope.datasets.examples import Examples
from kernelscope.datasets.preprocess import Operations, apply, split_geometry
from kernelscope.distill.losses.step import Loss, Step
from kernelscope.distill.methods import losses_of
from kernelscope.distill.recipe import Recipe
from kernelscope.errors import Mismatch, NumericalError, UsageError
from kernelscope.networks import zoo
from kernelscope.networks.checkpoint import Checkpoint
from kernelscope.networks.sources import Loaded
from kernelscope.networks.tap import Tap

WEIGHTS, ORDER, AUGMENTATION = range(3)  #: independent random streams of one seed

Progress = Callable[[int, int, float, float], None]  #: epoch, epochs, mean loss, validation accuracy


@dataclass(frozen=True)
class Trained:
    """``last``: after the last epoch. ``best``: at the highest validation accuracy (the first of equals)."""

    last: Checkpoint
    best: Checkpoint


def train(
    recipe: Recipe,
    *,
    data: str | tuple[Examples, Examples, Examples] = "digits",
    teacher: Loaded | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Trained:
    """Train one network as ``recipe`` says; the test split is looked at once, at the end.

    Runs that differ only in their method share initial weights, order of examples and augmentation: all three are
    drawn from (seed, stream, epoch).

    Args:
        data: a data set's name, or its training, validation and test examples.
        teacher: the network to learn from; methods beside ``ce`` need one.
        progress: called after every epoch with epoch, epochs, mean loss and validation accuracy.

    Raises:
        UsageError: no teacher for a method that needs one, an unknown method or layer.
        Mismatch: teacher and student of different classes.
        NumericalError: a loss that is not finite, naming term and epoch.
    """
    losses = losses_of(recipe.method)
    parts = _examples(data)
    network = _fresh_network(recipe, parts[0]).to(device)
    _require_teacher(losses, teacher, parts[0])
    run = _Run(recipe, losses, parts, network, teacher, device)
    for epoch in range(recipe.epochs):
        run.train_epoch(epoch)
        if progress is not None:
            record = run.history[-1]
            progress(epoch + 1, recipe.epochs, math.fsum(record["loss"].values()), record["validation_top1"])
    return run.finish()


class _Run:
    """One training run: what changes from epoch to epoch."""

    def __init__(
        self,
        recipe: Recipe,
        losses: dict[str, Loss],
        parts: tuple[Examples, Examples, Examples],
        network: nn.Module,
        teacher: Loaded | None,
        device: str,
    ) -> None:
        self.recipe, self.losses, self.network, self.device = recipe, losses, network, device
        self.training, self.validation, self.test = parts
        self.teacher = teacher if losses else None
        self.teacher_network = None if self.teacher is None else self.teacher.module.to(device)
        self.layers = sorted({"logits", *(layer for loss in losses.values() for layer in loss.layers)})
        self.geometry, self.operations = _sizes_settled(self.training)
        self.labels = _labels(self.training)
        self.optimizer = torch.optim.SGD(
            network.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
        self.history: list[dict[str, Any]] = []
        self.best: tuple[float, dict[str, torch.Tensor], int] = (-1.0, {}, 0)

    def train_epoch(self, epoch: int) -> None:
        """One pass over the training examples, then the validation accuracy."""
        recipe, started = self.recipe, time.perf_counter()
        order = torch.randperm(self.training.n, generator=_generator(recipe.seed, ORDER, epoch))
        augmentation = _generator(recipe.seed, AUGMENTATION, epoch)
        for loss in self.losses.values():
            loss.begin_epoch(epoch, recipe.epochs)
        totals: dict[str, torch.Tensor] = {}
        correct = torch.zeros((), dtype=torch.long, device=self.device)
        batches = order.split(recipe.batch_size)
        if len(batches) > 1 and len(batches[-1]) == 1:  # batch normalisation cannot take one example
            batches = (*batches[:-2], torch.cat(batches[-2:]))
        self.network.train()
        with Tap(self.network, self.layers, detach=False) as student:
            for number, rows in enumerate(batches):
                self._set_rate(epoch + number / len(batches))
                terms, right = self._step(rows, augmentation, student, epoch)
                correct += right
                for name, value in terms.items():
                    totals[name] = totals.get(name, torch.zeros_like(value)) + value * len(rows)
        for loss in self.losses.values():
            loss.end_epoch()
        means = {name: float(value) / self.training.n for name, value in totals.items()}
        for name, mean in means.items():
            if not math.isfinite(mean):
                raise NumericalError(
                    f"loss term {name} is {mean} in epoch {epoch + 1}; lower --lr or the term's weight"
                )
        accuracy = top1(self.network, self.validation, self.device)
        if accuracy > self.best[0]:
            weights = {key: value.detach().clone() for key, value in self.network.state_dict().items()}
            self.best = (accuracy, weights, epoch + 1)
        self.history.append(
            {
                "epoch": epoch + 1,
                "lr": self.optimizer.param_groups[0]["lr"],
                "seconds": round(time.perf_counter() - started, 3),
                "loss": means,
                "train_top1": int(correct) / self.training.n,
                "validation_top1": accuracy,
            }
        )

    def _step(
        self, rows: torch.Tensor, augmentation: torch.Generator, student: Tap, epoch: int
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """One update; the value of every term and how many were right, left on the device."""
        recipe = self.recipe
        found = self.training.raw(rows.numpy())
        assert not isinstance(found, dict)
        raw = apply(self.geometry, found)
        if recipe.pad or recipe.flip:
            raw = shift_and_flip(raw, augmentation, pad=recipe.pad, flip=recipe.flip)
        x = apply(self.operations, raw).to(self.device)
        labels = self.labels[rows].to(self.device)
        logits = self.network(x)
        terms = {"ce": functional.cross_entropy(logits, labels)}
        if self.losses:
            step = Step(student.features, self._teacher_says(raw), labels, logits.shape[1], epoch, recipe.epochs)
            terms |= {name: loss(step) for name, loss in self.losses.items()}
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        self.optimizer.step()
        return {name: term.detach() for name, term in terms.items()}, (logits.detach().argmax(1) == labels).sum()

    def _teacher_says(self, raw: torch.Tensor) -> dict[str, torch.Tensor]:
        """The teacher's layers on the same augmented images: its own preprocessing, eval mode, no gradients."""
        assert self.teacher is not None and self.teacher_network is not None
        checkpoint = self.teacher.checkpoint
        operations = self.training.preprocess if checkpoint is None else checkpoint.preprocess
        if self.geometry and operations[: len(self.geometry)] == self.geometry:
            operations = operations[len(self.geometry) :]  # done before the augmentation that both share
        with torch.no_grad(), Tap(self.teacher_network, self.layers, training=False) as tap:
            self.teacher_network(apply(operations, raw).to(self.device))
            return tap.features

    def _set_rate(self, progress: float) -> None:
        """Linear from 0 over the warm-up epochs, then a cosine to 0; ``progress`` in epochs."""
        recipe = self.recipe
        if progress < recipe.lr_warm_up:
            factor = (progress + 1 / 64) / recipe.lr_warm_up
        else:
            done = (progress - recipe.lr_warm_up) / max(1e-9, recipe.epochs - recipe.lr_warm_up)
            factor = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.lr * factor

    def finish(self) -> Trained:
        """Both checkpoints, each with its accuracy on the test examples."""
        last = {key: value.detach().clone() for key, value in self.network.state_dict().items()}
        scores = {"last": top1(self.network, self.test, self.device)}
        _, best, best_epoch = self.best
        self.network.load_state_dict(best)
        scores["best"] = top1(self.network, self.test, self.device)
        return Trained(
            self._checkpoint(last, scores, "last", self.recipe.epochs),
            self._checkpoint(best, scores, "best", best_epoch),
        )

    def _checkpoint(
        self, weights: dict[str, torch.Tensor], scores: dict[str, float], which: str, epoch: int
    ) -> Checkpoint:
        test = self.test
        return Checkpoint(
            arch=self.recipe.arch,
            arch_kwargs=_arch_kwargs(self.recipe, self.training),
            state_dict={key: value.cpu() for key, value in weights.items()},
            layers={"embedding": "fc:in", "logits": "fc:out"},
            input={"shape": list(_shape(self.training)), "layout": "NCHW"},
            preprocess=self.training.preprocess,
            classes=list(self.training.classes),
            data={
                "name": test.name,
                "split": test.split,
                "n": test.n,
                "seed": test.seed,
                "order_sha256": test.order_sha256,
            },
            metrics={
                "top1": scores[which],
                "top1_last": scores["last"],
                "top1_best": scores["best"],
                "split": test.split,
            },
            training={
                "recipe": self.recipe.to_dict(),
                "epoch": epoch,
                "history": self.history,
                "trajectory": None,
                "teacher_sha256": None if self.teacher is None else self.teacher.sha256,
            },
            versions={"python": platform.python_version(), "torch": str(torch.__version__), "numpy": np.__version__},
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )


def top1(network: nn.Module, examples: Examples, device: str = "cpu", batch_size: int = 512) -> float:
    """Share of examples whose largest logit is their label, in eval mode; the network's mode is restored."""
    right, labels = 0, _labels(examples)
    with torch.inference_mode(), Tap(network, ["logits"], training=False):
        for start in range(0, examples.n, batch_size):
            stop = min(start + batch_size, examples.n)
            x = examples.batch(start, stop)
            assert not isinstance(x, dict)
            guess = network(x.to(device)).argmax(1).cpu()
            right += int((guess == labels[start:stop]).sum())
    return right / examples.n


def _examples(data: str | tuple[Examples, Examples, Examples]) -> tuple[Examples, Examples, Examples]:
    training, validation, test = sources.parts(data) if isinstance(data, str) else data
    parts = [replace(part, preprocess=training.preprocess).for_training() for part in (training, validation, test)]
    for part in parts:
        _labels(part)
        if _shape(part) != _shape(training):
            raise Mismatch(
                f"{part.name}/{part.split} gives inputs of shape {_shape(part)} and training {_shape(training)}; "
                "add a resize to --preprocess"
            )
    return parts[0], parts[1], parts[2]


def _shape(examples: Examples) -> tuple[int, ...]:
    """Shape of one input as a network takes it.

    Raises:
        UsageError: named inputs, such as tokens, which the built-in networks do not take.
    """
    shape = examples.example_shape()
    if shape is None:
        raise UsageError(f"{examples.name} gives named inputs, which built-in networks do not take; give images")
    return shape


def _sizes_settled(training: Examples) -> tuple[Operations, Operations]:
    """Operations before the augmentation, which takes images of one size, and those after it."""
    one_size = isinstance(training.inputs, np.ndarray)
    return ([], training.preprocess) if one_size else split_geometry(training.preprocess)


def _arch_kwargs(recipe: Recipe, training: Examples) -> dict[str, Any]:
    """What the data decide, unless the recipe says otherwise."""
    implied = {"num_classes": len(training.classes), "in_channels": _shape(training)[0]}
    return {**implied, **recipe.arch_kwargs}


def _fresh_network(recipe: Recipe, training: Examples) -> nn.Module:
    """Initial weights depend on seed and architecture alone; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_derived_seed(recipe.seed, WEIGHTS, 0))
        return zoo.build(recipe.arch, **_arch_kwargs(recipe, training))


def _require_teacher(losses: dict[str, Loss], teacher: Loaded | None, training: Examples) -> None:
    if not losses:
        return
    if teacher is None:
        raise UsageError(f"method {'+'.join(losses)} needs a teacher; pass --teacher t.pt")
    checkpoint = teacher.checkpoint
    if checkpoint is not None and list(checkpoint.classes) != list(training.classes):
        raise Mismatch(
            f"teacher {teacher.name} has {len(checkpoint.classes)} classes and the data {len(training.classes)}; "
            "use a teacher of the same classes"
        )


def _labels(examples: Examples) -> torch.Tensor:
    if examples.labels is None:
        raise UsageError(f"{examples.name} has no labels; training needs them")
    return torch.from_numpy(np.ascontiguousarray(examples.labels))


def _derived_seed(seed: int, stream: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, stream, epoch]).generate_state(1)[0])


def _generator(seed: int, stream: int, epoch: int) -> torch.Generator:
    return torch.Generator().manual_seed(_derived_seed(seed, stream, epoch))
