"""How a network is called: by which names, and with which type of numbers; its first call settles both."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch

from kernelscope import devices
from kernelscope.activations.batch import Batch, tensors_of
from kernelscope.datasets.items import IMAGE_NAMES
from kernelscope.errors import KernelscopeError, Mismatch, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

#: what foreign networks raise for inputs they do not take; anything else is a bug and keeps its traceback
REFUSALS = (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError)
#: in their messages, what another form of the same inputs may mend
OF_FORM = re.compile(r"dtype|scalar type|\b(Long|Int|Half|Double)\b|unexpected keyword")


@dataclass(frozen=True)
class Form:
    """What a batch becomes: ``names`` of it, or the one that goes in by its place; numbers of type ``kind``.

    ``whole``: whole numbers become floats as well.
    """

    kind: torch.dtype
    names: tuple[str, ...] | str | None = None
    whole: bool = False

    def of(self, batch: Batch) -> Batch:
        if isinstance(batch, tuple):
            return tuple(map(self._tensor, batch))
        if not isinstance(batch, dict):
            return self._tensor(batch)
        if isinstance(self.names, str):
            return self._tensor(batch[self.names])
        return {name: self._tensor(batch[name]) for name in self.names or batch}

    def _tensor(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(self.kind) if self.whole or x.is_floating_point() else x


class Entry:
    """A network that is called with batches, which become what it takes.

    Floats become of the type of the first weights that they meet. Whole numbers stay so where the network takes them,
    else they become floats. Of named inputs those go in that its forward names; a single one may go in by its place.
    """

    def __init__(self, network: nn.Module, name: str, device: str | torch.device | None) -> None:
        self.network, self.name, self.device = network, name, device
        self._form: Form | None = None
        self._left_out: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """Which named inputs the network does not take; empty where it takes all."""
        return f"inputs that the network does not take: {', '.join(self._left_out)}" if self._left_out else ""

    def call(self, batch: Batch) -> Batch:
        """Run the network on a batch; gives the batch on the network's device.

        Raises:
            Mismatch: inputs that it does not take. ResourceError: the device fails, or its memory is full.
        """
        batch = _placed(batch, self.device)
        if self._form is not None:
            self._run(self._form, batch)
            return batch
        refused: list[Mismatch] = []
        for form in self._forms(batch):
            try:
                self._run(form, batch)
            except Mismatch as error:
                refused.append(error)
                continue
            self._form = form
            if isinstance(batch, dict):
                taken = (form.names,) if isinstance(form.names, str) else form.names or ()
                self._left_out = tuple(name for name in batch if name not in taken)
            return batch
        raise next((error for error in refused if not OF_FORM.search(str(error))), refused[0])

    def _run(self, form: Form, batch: Batch) -> None:
        formed = form.of(batch)
        try:
            if isinstance(formed, dict):
                self.network(**formed)
            else:
                self.network(*(formed if isinstance(formed, tuple) else (formed,)))
        except KernelscopeError:
            raise
        except REFUSALS as error:
            if (fault := devices.fault(error, self.name)) is not None:
                raise fault from error
            reason = one_line(str(error), 80)
            raise Mismatch(
                f"{self.name} does not take inputs of {_shape(batch)} ({reason}); check data and preprocessing"
            ) from error

    def _forms(self, batch: Batch) -> Iterator[Form]:
        """Ways to call the network, the most likely first."""
        kinds = _types(self.network)
        whole = not isinstance(batch, dict) and not any(x.is_floating_point() for x in tensors_of(batch))
        for names in self._namings(batch):
            plain = Form(kinds[0], names)
            if whole:
                yield plain
            first = self._first_met(plain, batch) if len(kinds) > 1 else kinds[0]
            for kind in dict.fromkeys((first, *kinds)):
                yield replace(plain, kind=kind, whole=whole)

    def _namings(self, batch: Batch) -> Iterator[tuple[str, ...] | str | None]:
        if not isinstance(batch, dict):
            yield None
            return
        parameters = inspect.signature(self.network.forward).parameters.values()
        known = {each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
        takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
        named = tuple(name for name in batch if name in known)
        if takes_any:
            yield tuple(batch)
        if named:
            yield named
            return
        images = [name for name in batch if name in IMAGE_NAMES]
        if len(batch) == 1 or len(images) == 1:
            yield images[0] if images else next(iter(batch))
        elif not takes_any:
            raise Mismatch(
                f"{self.name} takes {one_line(', '.join(sorted(known)) or 'no names', 60)} and the data give "
                f"{one_line(', '.join(batch), 60)}; name the inputs as its forward does"
            )

    def _first_met(self, form: Form, batch: Batch) -> torch.dtype:
        """The type of the weights of the innermost module that runs first; where none does, of the first weights."""

        def stop(module: nn.Module, inputs: object) -> None:
            raise _MetError(_types(module)[0])

        leaves = [m for m in self.network.modules() if next(m.children(), None) is None and _floats(m)]
        handles = [module.register_forward_pre_hook(stop) for module in leaves]
        try:
            self._run(form, batch)
        except _MetError as met:
            return met.kind
        except Mismatch:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return form.kind


class _MetError(Exception):
    def __init__(self, kind: torch.dtype) -> None:
        super().__init__(kind)
        self.kind = kind


def _types(network: nn.Module) -> list[torch.dtype]:
    """Types of float weights in their order, then of buffers; float32 where there are none."""
    return list(dict.fromkeys(x.dtype for x in _floats(network))) or [torch.float32]


def _floats(network: nn.Module) -> list[torch.Tensor]:
    return [x for x in chain(network.parameters(), network.buffers()) if x.is_floating_point()]


def _placed(batch: Batch, device: Any) -> Batch:
    if isinstance(batch, dict):
        return {key: x.to(device) for key, x in batch.items()}
    return tuple(x.to(device) for x in batch) if isinstance(batch, tuple) else batch.to(device)


def _shape(batch: Batch) -> str:
    if isinstance(batch, dict):
        return one_line(", ".join(f"{key} {tuple(x.shape)}" for key, x in batch.items()), 60)
    return f"shape {' and '.join(str(tuple(x.shape)) for x in tensors_of(batch))}"
