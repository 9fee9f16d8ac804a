"""A probe in other people's trainers: what they call after a step, made into a look."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, Protocol

from kernelscope.errors import UsageError, one_line

if TYPE_CHECKING:
    from torch import nn


class Stepped(Protocol):
    """What a callback needs of a :class:`kernelscope.distill.probe.Probe`."""

    def check(self, student: nn.Module, /) -> None: ...

    def __call__(self, student: nn.Module, step: int, /) -> Any: ...


class HuggingFaceSteps:
    """What a Hugging Face Trainer calls; its ``global_step`` counts from 1, once per optimiser step."""

    def __init__(self, probe: Stepped) -> None:
        self.probe = probe

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        if state.is_world_process_zero:
            self.probe.check(model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        if state.is_world_process_zero:
            self.probe(model, state.global_step)


class LightningSteps:
    """What a Lightning Trainer calls; its ``global_step`` stays where it is while gradients accumulate."""

    def __init__(self, probe: Stepped, student: str) -> None:
        self.probe, self.student = probe, student
        self._last = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        student = self._part(pl_module)
        self._last = trainer.global_step
        if trainer.is_global_zero:
            self.probe.check(student)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *others: Any
    ) -> None:
        step = trainer.global_step
        if step != self._last and trainer.is_global_zero:
            self.probe(self._part(pl_module), step)
        self._last = step

    def _part(self, module: nn.Module) -> nn.Module:
        try:
            return module.get_submodule(self.student)
        except AttributeError as error:
            known = one_line(", ".join(name for name, _ in module.named_children()), 80)
            raise UsageError(
                f"the LightningModule has no module {one_line(self.student, 60)!r}; it has {known}"
            ) from error


def huggingface(probe: Stepped) -> Any:
    """A ``transformers.TrainerCallback``.

    Raises:
        UsageError: transformers is not installed.
    """
    base = _library(["transformers"], "transformers").TrainerCallback
    return type("ProbeCallback", (HuggingFaceSteps, base), {})(probe)


def lightning(probe: Stepped, student: str) -> Any:
    """A ``Callback`` of lightning or of pytorch_lightning, whichever the caller has imported already.

    Raises:
        UsageError: neither is installed.
    """
    known = ["lightning.pytorch", "pytorch_lightning"]
    known.sort(key=lambda name: name not in sys.modules)
    base = _library(known, "lightning").Callback
    return type("ProbeCallback", (LightningSteps, base), {})(probe, student)


def _library(modules: list[str], package: str) -> Any:
    reasons = []
    for module in modules:
        try:
            return importlib.import_module(module)
        except Exception as error:  # another library may fail in any way while it is imported
            reasons.append(one_line(f"{type(error).__name__}: {error}", 80))
    raise UsageError(f"{package} cannot be imported ({reasons[-1]}); run pip install {package}")
