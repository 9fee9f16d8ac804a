"""What KDA remembers of an epoch to make the next one's landmarks from: sums over classes, or the examples seen last.

Both networks' landmarks come from the same examples, so landmark l means the same in both spaces. Memory is O(m d),
whatever the number of examples.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch

from kernelscope.errors import Mismatch, UsageError

NUDGE = 0.1  #: about how far the halves of a split cell start from its mean, in standard deviations

Tensors = dict[str, torch.Tensor]


class LandmarkMemory(Protocol):
    """Takes every batch of an epoch; :meth:`finish` closes the epoch."""

    def begin(self) -> None: ...

    def add(
        self, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor | None, classes: int | None
    ) -> None:
        """One batch of rows ``(r, d_S)`` and ``(r, d_T)``, without gradients, and the number of classes if known."""

    def finish(self) -> Tensors:
        """Landmarks ``student (m, d_S)`` and ``teacher (m, d_T)``; nothing if no batch was seen."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class LastExamples:
    """The m examples seen last: random landmarks, which are the same examples in both networks.

    The loop visits a random permutation of the examples in every epoch, so the last m of an epoch are drawn uniformly
    and without replacement, anew every epoch, and of all such samples theirs are the student's freshest features.

    Args:
        m: how many; None for as many as there are classes. An epoch of fewer examples gives all of them.
    """

    def __init__(self, m: int | None = None) -> None:
        self.m = m
        self.rows: Tensors = {}

    def begin(self) -> None:
        self.rows = {}

    def add(
        self, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor | None, classes: int | None
    ) -> None:
        m = self.m or classes
        if m is None:
            raise UsageError("uniform landmarks need their number; write landmarks='uniform:20'")
        for side, x in (("student", student), ("teacher", teacher)):
            new = x[-m:]
            old = self.rows.get(side, x[:0]).to(x.device)
            self.rows[side] = torch.cat([old[max(0, len(old) + len(new) - m) :], new])

    def finish(self) -> Tensors:
        return self.rows

    def state_dict(self) -> dict[str, Any]:
        return {"rows": copied(self.rows)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = copied(state["rows"])


class ClassCentres:
    """Means of both networks over k cells of every class: equation 3, and with k > 1 the k-means of Figure 7.

    Every epoch is one pass of Lloyd's algorithm in the *teacher's* space: an example joins the cell of its own class
    whose teacher centre of the epoch before is nearest, and that one partition gives both networks' means, exact for
    the epoch. Cells arise by splitting (Linde, Buzo and Gray 1980): a class begins as one cell, its mean; a cell that
    nobody joined is put beside the one with the largest scatter, and the two start a little to either side of its
    mean. So there are up to 2, 4, 8 … cells a class after 1, 2, 3 … epochs until there are k. Cells without examples
    give no landmark; neither does a class that did not occur, whose cells stay where they were.

    A split goes along ``Σ ε_i (x_i − mean)``, ε random signs: it has the cell's own covariance, so it favours the
    directions in which the cell is wide, and turns with the features. All that is kept are sums over examples, of
    shape ``(classes · k, d)`` at most.

    Args:
        k: cells per class.
        seed: of the signs.
    """

    def __init__(self, k: int = 1, seed: int = 0) -> None:
        self.k, self.seed = k, seed
        self.epoch, self.seen = 0, 0  # epochs that are over, examples of this one
        self.sums: Tensors = {}  # counts, student, teacher; for k > 1 also the teacher's signs, signed and scatter
        self.cells: Tensors = {}  # for k > 1: the teacher's centres of the epoch before, and which of them live

    def begin(self) -> None:
        self.sums, self.seen = {}, 0

    def add(
        self, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor | None, classes: int | None
    ) -> None:
        self.sums, self.cells = moved(self.sums, student.device), moved(self.cells, student.device)
        labels, classes = required_labels(labels, len(student), classes)
        labels = labels.to(student.device)
        self._make_room(student, teacher, classes)
        cell = labels if self.k == 1 else self._join(teacher, labels)
        self.sums["counts"].index_add_(0, cell, torch.ones_like(cell))
        self.sums["student"].index_add_(0, cell, student)
        self.sums["teacher"].index_add_(0, cell, teacher)
        self.seen += len(cell)

    def _make_room(self, student: torch.Tensor, teacher: torch.Tensor, classes: int) -> None:
        """Rows for every class there is, as far as is known yet."""
        m = max(classes * self.k, len(self.cells.get("live", ())))
        if not self.sums:
            self.sums = {
                "counts": torch.zeros(m, dtype=torch.int64, device=student.device),
                "student": student.new_zeros((m, student.shape[1])),
                "teacher": teacher.new_zeros((m, teacher.shape[1])),
            }
            if self.k > 1:
                self.sums |= {"signs": teacher.new_zeros(m), "scatter": teacher.new_zeros(m)}
                self.sums["signed"] = torch.zeros_like(self.sums["teacher"])
                if not self.cells:
                    centres = torch.zeros_like(self.sums["teacher"])
                    self.cells = {"centres": centres, "live": self.sums["counts"] > 0}
        self.sums = {name: room_for(x, m) for name, x in self.sums.items()}
        self.cells = {name: room_for(x, m) for name, x in self.cells.items()}

    def _join(self, teacher: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The cell each example joins, the first of its class where none lives yet; sums for splits are taken."""
        own = self.cells["centres"].unflatten(0, (-1, self.k))[labels]
        live = self.cells["live"].unflatten(0, (-1, self.k))[labels]
        distances = (teacher[:, None] - own).square().sum(2)
        cell: torch.Tensor = labels * self.k + distances.masked_fill(~live, torch.inf).argmin(1)
        # from the centres, as sums about a far origin would cancel
        away = teacher - self.cells["centres"][cell]
        drawn = np.random.default_rng([self.seed, self.epoch, self.seen]).choice([-1.0, 1.0], len(cell))
        signs = torch.as_tensor(drawn).to(away)
        self.sums["signs"].index_add_(0, cell, signs)
        self.sums["signed"].index_add_(0, cell, signs[:, None] * away)
        self.sums["scatter"].index_add_(0, cell, away.square().sum(1))
        return cell

    def finish(self) -> Tensors:
        if not self.sums:
            return {}
        counts = self.sums["counts"]
        filled = counts > 0
        if self.k > 1:
            self._move_cells()
        self.epoch += 1
        return {side: self.sums[side][filled] / counts[filled, None] for side in ("student", "teacher")}

    def _move_cells(self) -> None:
        """Cells move to their means; in classes that occurred, those that nobody joined split others."""
        sums = {name: x.unflatten(0, (-1, self.k)) for name, x in self.sums.items()}
        centres, live = (self.cells[name].unflatten(0, (-1, self.k)) for name in ("centres", "live"))
        counts, filled = sums["counts"], sums["counts"] > 0
        means = sums["teacher"] / counts.clamp_min(1)[:, :, None]
        moves = means - centres
        scatter = torch.where(filled, sums["scatter"] - counts * moves.square().sum(2), 0)
        directions = sums["signed"] - sums["signs"][:, :, None] * moves
        centres = torch.where(filled[:, :, None], means, centres)
        live = torch.where(filled.any(1, keepdim=True), filled, live)
        label, split, empty = _splits(filled, scatter)
        steps = NUDGE * directions[label, split] / counts[label, split, None].sqrt()
        centres[label, empty] = means[label, split] - steps
        centres[label, split] += steps
        live[label, empty] = True
        self.cells = {"centres": centres.flatten(0, 1), "live": live.flatten()}

    def state_dict(self) -> dict[str, Any]:
        counted = {"epoch": self.epoch, "seen": self.seen}
        return {**counted, "sums": copied(self.sums), "cells": copied(self.cells)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.seen = state["epoch"], state["seen"]
        self.sums, self.cells = copied(state["sums"]), copied(state["cells"])


def _splits(filled: torch.Tensor, scatter: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """``(class, cell to split, empty cell)`` of every split; a cell is split once at most, one without scatter never.

    Args:
        filled, scatter: of every class's cells, ``(classes, k)``.
    """
    empty_first = filled.int().argsort(dim=1, stable=True)
    largest_first = scatter.argsort(dim=1, descending=True, stable=True)
    most = torch.minimum((~filled).sum(1), (scatter > 0).sum(1))
    label, number = (torch.arange(filled.shape[1], device=most.device) < most[:, None]).nonzero(as_tuple=True)
    return label, largest_first[label, number], empty_first[label, number]


def room_for(x: torch.Tensor, m: int) -> torch.Tensor:
    """``x`` with m rows at least, those that were added 0."""
    return x if len(x) >= m else torch.cat([x, x.new_zeros((m - len(x), *x.shape[1:]))])


def required_labels(labels: torch.Tensor | None, r: int, classes: int | None) -> tuple[torch.Tensor, int]:
    """Labels ``(r,)`` as whole numbers, and the number of classes: given, or one more than the highest.

    Raises:
        UsageError: no labels. Mismatch: not one class index for each example.
    """
    if labels is None:
        raise UsageError("class means need the labels of the batch; give them, or write landmarks='uniform:20'")
    if tuple(labels.shape) != (r,) or labels.is_floating_point():
        found = f"{labels.dtype} {tuple(labels.shape)}".removeprefix("torch.")
        raise Mismatch(f"labels are {found}, expected whole numbers ({r},); give one class index per example")
    if classes is None and r and int(labels.min()) < 0:
        raise Mismatch(f"a label is {int(labels.min())}, expected class indices from 0; leave that example out")
    return labels.long(), classes or (int(labels.max()) + 1 if r else 1)


def copied(tensors: Tensors) -> Tensors:
    """Copies, as running sums are added to in place."""
    return {name: x.clone() for name, x in tensors.items()}


def moved(tensors: Tensors, device: torch.device) -> Tensors:
    """On the device; a state is read on the CPU, and the features it belongs to may be elsewhere."""
    return {name: x.to(device) for name, x in tensors.items()}
