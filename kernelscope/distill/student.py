"""One student in training: network, losses, optimiser, and what its epochs have been so far."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from kernelscope import processes
from kernelscope.activations.tap import Tap
from kernelscope.distill.balance import begins
from kernelscope.distill.batches import WEIGHTS, Batch, Splits, derived_seed
from kernelscope.distill.methods import PlacedLoss, losses_of
from kernelscope.distill.precision import autocast, half_type
from kernelscope.errors import NumericalError, UsageError, one_line
from kernelscope.networks import zoo

if TYPE_CHECKING:
    from kernelscope.distill.recipe import Recipe
    from kernelscope.distill.searching import Choice

FAR = 10  #: times cross-entropy's gradient, from where on a method's is noted


class Student:
    """What changes from step to step. Terms of the sum are ``ce`` and those of ``recipe.method``, by their words.

    Attributes:
        layers: those that are captured; teacher_layers: those of the teacher that the terms read; followed: those that
            a trajectory may have, called alike in both networks.
        history: a record per epoch. trajectory: a record per epoch of the kernel against the teacher's.
        best: validation accuracy, weights and epoch (from 1) of the best epoch, the first of equals.
        notes: what a reader of its numbers should know.
        choice: how its method was chosen, of a search.
        failed: why it is not trained on, as a loss of it was not finite; empty while it is.
    """

    def __init__(self, recipe: Recipe, splits: Splits, device: str) -> None:
        self.recipe, self.device = recipe, device
        self.losses: dict[str, PlacedLoss] = losses_of(recipe.terms)
        for name, term in self.losses.items():
            term.loss.classes, term.loss.gathered = len(splits.classes), True
            if term.loss.relational and recipe.batch_size < 2:
                raise UsageError(
                    f"{one_line(name, 60)} compares the examples of a batch; raise --batch-size to 2 at least"
                )
        self.arch_kwargs = {
            "num_classes": len(splits.classes),
            "in_channels": splits.input_shape[0],
            **recipe.arch_kwargs,
        }
        self.network = self._fresh_network().to(device)
        terms = self.losses.values()
        self.layers = sorted({"logits", *(term.of_student for term in terms)})
        self.teacher_layers = {term.of_teacher for term in terms}
        self.followed = sorted({"logits", *(term.of_student for term in terms if term.of_student == term.of_teacher)})
        Tap(self.network, self.layers)  # unknown layers are refused here
        self._parallel = processes.parallel(self.network, device)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
        half = recipe.amp and half_type(device) == torch.float16
        self._scaler = torch.amp.GradScaler(torch.device(device).type, enabled=half)
        self.history: list[dict[str, Any]] = []
        self.trajectory: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {"top1": -1.0, "weights": {}, "epoch": 0}
        self.notes: list[str] = []
        self.failed = ""
        self.choice: Choice | None = None
        self._tap: Tap | None = None
        self._clear()

    def _fresh_network(self) -> nn.Module:
        """Initial weights depend on seed and architecture alone; the global generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(self.recipe.weights_seed, WEIGHTS, 0))
            return zoo.build(self.recipe.arch, **self.arch_kwargs)

    def _clear(self) -> None:
        """Forget the epoch that is over."""
        self._values: dict[str, list[torch.Tensor]] = {}
        self._right: list[torch.Tensor] = []
        self._sizes: list[int] = []
        self._gradient: dict[str, float] | None = None

    def dry_run(self, teacher: dict[str, torch.Tensor], x: torch.Tensor, labels: torch.Tensor) -> None:
        """One step on a few examples without an update, so that what does not fit fails early.

        Raises:
            Mismatch, UsageError: see the losses.
        """
        with torch.no_grad(), Tap(self.network, self.layers, training=False) as tap:
            self.network(x)
            for term in copy.deepcopy(self.losses).values():
                term.loss.begin_epoch(0, self.recipe.epochs)
                term(tap.features, teacher, labels)

    def begin(self, epoch: int, *, begun: bool) -> None:
        """Into train mode, with hooks, for one epoch (from 0); ``begun``: resumed in its middle."""
        if not begun:
            for term in self.losses.values():
                term.loss.begin_epoch(epoch, self.recipe.epochs)
        self._tap = Tap(self.network, self.layers, detach=False, training=True).__enter__()

    def remove_hooks(self) -> None:
        """Remove hooks and restore every module's mode."""
        if self._tap is not None:
            self._tap.close()
        self._tap = None

    def step(self, batch: Batch, x: torch.Tensor, teacher: dict[str, torch.Tensor], epoch: int, done: float) -> None:
        """One update on inputs ``x``, this process's share of the batch; ``done`` is how much of the epoch is."""
        assert self._tap is not None
        self._set_rate(epoch + done)
        total = len(batch.labels)
        labels = batch.labels.to(self.device)
        with autocast(self.device, self.recipe.amp):
            self._parallel(x)
        features = {name: processes.all_gather_rows(x, total) for name, x in self._tap.features.items()}
        logits = features["logits"].float()
        terms = {"ce": functional.cross_entropy(logits, labels)}
        terms |= {name: term(features, teacher, labels) for name, term in self.losses.items()}
        self._balance(terms, epoch)
        if self.losses and not self._sizes:
            self._gradient = self._compare_gradients(terms)
        self.optimizer.zero_grad(set_to_none=True)
        # gradients are averaged over processes, and each has those of its own rows alone
        objective = torch.stack(list(terms.values())).sum() * processes.count()
        self._scaler.scale(objective).backward()
        self._scaler.step(self.optimizer)
        self._scaler.update()
        for name, value in terms.items():
            self._values.setdefault(name, []).append(value.detach())
        self._right.append((logits.detach().argmax(1) == labels).sum())
        self._sizes.append(total)

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

    def _balance(self, terms: dict[str, torch.Tensor], epoch: int) -> None:
        """Scale the terms whose weight is to be found, and see now and then what it has to be."""
        length = self.recipe.epochs, self.recipe.lr_warm_up
        for name, term in self.losses.items():
            if term.balance is None:
                continue
            if terms[name].requires_grad and term.balance.looks(epoch, *length, first=not self._sizes):
                norms = (float(self._flat_gradient(terms[which]).norm()) for which in ("ce", name))
                term.balance.observe(*norms, early=epoch < begins(*length))
            terms[name] = terms[name] * term.balance.scale

    def _compare_gradients(self, terms: dict[str, torch.Tensor]) -> dict[str, float]:
        """‖∇CE‖ and ‖∇(the other terms)‖ over all weights, and the cosine between them, on this batch."""
        others = torch.stack([value for name, value in terms.items() if name != "ce"]).sum()
        ce, distill = (self._flat_gradient(value) for value in (terms["ce"], others))
        norms = float(ce.norm()), float(distill.norm())
        product = norms[0] * norms[1]
        return {"ce": norms[0], "distill": norms[1], "cosine": float(ce @ distill) / product if product > 0 else 0.0}

    def _flat_gradient(self, value: torch.Tensor) -> torch.Tensor:
        weights = [weight for weight in self.network.parameters() if weight.requires_grad]
        if not value.requires_grad:  # a term that is not switched on yet
            return torch.zeros(sum(weight.numel() for weight in weights), device=self.device)
        found = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)
        flat = [(torch.zeros_like(w) if g is None else g).flatten() for g, w in zip(found, weights)]
        return processes.all_reduce_sum_(torch.cat(flat))

    def end_epoch(self, epoch: int, seconds: float) -> dict[str, Any]:
        """Close the epoch; its record, to which what validation shows is added.

        Raises:
            NumericalError: a loss that is not finite, naming term, batch and epoch.
        """
        for term in self.losses.values():
            term.loss.end_epoch()
        processes.broadcast_buffers_(self.network)
        sizes = torch.tensor(self._sizes, dtype=torch.float64)
        means = {}
        for name, values in self._values.items():
            found = torch.stack(values).double().cpu()
            if not torch.isfinite(found).all():
                batch = int(torch.argmax((~torch.isfinite(found)).int()))
                raise NumericalError(
                    f"loss term {one_line(name, 60)} is {float(found[batch])} in batch {batch + 1} of epoch "
                    f"{epoch + 1}; lower --lr or the method's weight"
                )
            means[name] = float(found @ sizes / sizes.sum())
        record: dict[str, Any] = {
            "epoch": epoch + 1,
            "lr": self.optimizer.param_groups[0]["lr"],
            "seconds": round(seconds, 3),
            "loss": means,
            "train_top1": int(torch.stack(self._right).sum()) / int(sizes.sum()),
        }
        if self._gradient is not None:
            record["gradient"] = self._gradient
            self._look_at_weight(self._gradient)
        self._clear()
        self.history.append(record)
        return record

    def _look_at_weight(self, gradient: dict[str, float]) -> None:
        """Note, at the first epoch in which the method has one, a gradient that drowns cross-entropy's."""
        seen = any(record.get("gradient", {}).get("distill") for record in self.history)
        if seen or gradient.get("distill", 0) <= FAR * gradient.get("ce", 0):
            return
        times = gradient["distill"] / gradient["ce"] if gradient["ce"] else float("inf")
        self.notes.append(
            f"the gradient of {one_line(self.recipe.method, 60)} is {times:.0f} times cross-entropy's as it begins; "
            "lower its weight, or write weight=auto"
        )

    def keep_if_best(self, top1: float, epoch: int) -> None:
        """Remember these weights if no earlier epoch was as good on validation."""
        if top1 > self.best["top1"]:
            self.best = {"top1": top1, "weights": self.weights(), "epoch": epoch + 1}

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of the network's state on the CPU."""
        return {key: value.detach().cpu().clone() for key, value in self.network.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, also in the middle of an epoch; plain data and tensors."""
        return {
            "recipe": self.recipe.to_dict(),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "losses": {name: term.loss.state_dict() for name, term in self.losses.items()},
            "balances": {name: term.balance.state_dict() for name, term in self.losses.items() if term.balance},
            "history": self.history,
            "trajectory": self.trajectory,
            "best": self.best,
            "notes": self.notes,
            "failed": self.failed,
            "values": {name: torch.stack(values) for name, values in self._values.items()},
            "right": list(self._right),
            "sizes": self._sizes,
            "gradient": self._gradient,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        for name, term in self.losses.items():
            term.loss.load_state_dict(state["losses"][name])
            if term.balance is not None:
                term.balance.load_state_dict(state["balances"][name])
        self.history, self.trajectory, self.best = state["history"], state["trajectory"], state["best"]
        self.notes, self.failed = state["notes"], state["failed"]
        self._values = {name: list(values.to(self.device).unbind()) for name, values in state["values"].items()}
        self._right = [count.to(self.device) for count in state["right"]]
        self._sizes, self._gradient = state["sizes"], state["gradient"]
