"""Tap: what named layers of a network take in and put out, captured by forward hooks; the network stays as it is.

Layer names: ``named_modules()`` paths (``layer3.1``), ``fc:in`` (what a module takes in), ``fc:out`` (the default),
``name@1`` (second call in one forward; without ``@`` the last), globs ``layer*.1`` (a star stays within one level),
``re:...`` (the whole path), and two words: ``embedding`` (the input of the last ``nn.Linear`` to run, the paper's
"before the last FC") and ``logits`` (what the network returns).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from kernelscope.activations.layer_names import parts, pattern, split
from kernelscope.errors import Mismatch, UsageError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

WORDS = ("embedding", "logits")  #: a module that bears one of these names is reached as ``logits:out``


@dataclass(frozen=True)
class _Wanted:
    """One layer to capture: the name as asked, the module's path, its side (in, out, or a word), and which call."""

    name: str
    path: str
    side: str
    call: int | None


def resolve_layers(net: nn.Module, layers: str | Sequence[str] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """``(names, notes)``: globs and ``re:`` opened up, every name checked before any data is read.

    ``None`` means the default, ``embedding,logits``; a default that does not exist is dropped with a note.

    Raises:
        UsageError: an unknown name, with the nearest ones.
    """
    if layers is None:
        if any(isinstance(module, nn.Linear) for module in net.modules()):
            return WORDS, ()
        return ("logits",), ("no embedding: the network has no nn.Linear",)
    names: list[str] = []
    for word in split(layers):
        names += [name for name in _matches(net, word) if name not in names]
    if not names:
        raise UsageError("no layer named; give for example embedding,logits")
    return tuple(names), ()


class Tap:
    """Captures ``layers`` of ``net`` while open; ``features`` holds the last forward's tensors by name as asked.

    Tensors are clones, so in-place operations after a layer do not reach them; with ``detach=False`` they keep the
    autograd graph. Hooks are removed and every module's train/eval mode is restored on leaving, also by an exception.
    With ``keep`` what is kept is made at once, while the layer's tensor is still in cache, and the tensor let go.

        with Tap(net, ["embedding"], training=False) as tap:
            net(x)
            tap.features["embedding"]

    Args:
        training: mode to run in while open; None leaves the network as it is.
        keep: what to keep of a layer's tensor, given its name and the tensor; by default all of it.
    """

    def __init__(
        self,
        net: nn.Module,
        layers: Sequence[str],
        *,
        detach: bool = True,
        training: bool | None = None,
        keep: Callable[[str, torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self.net = net
        self.detach = detach
        self.keep = keep
        self.training = training
        names, _ = resolve_layers(net, list(layers))
        self.wanted = [_parse(name) for name in names]
        self._captured: dict[str, torch.Tensor] = {}
        self._calls: dict[tuple[str, str], int] = {}
        self._linear = self._linear_before = 0  # how many linear layers ran in this forward, and in the one before
        self._maybe_last: Any = None
        self._handles: list[Any] = []
        self._modes: dict[nn.Module, bool] = {}

    def __enter__(self) -> Tap:
        self._modes = {module: module.training for module in self.net.modules()}
        try:
            self._hook()
            if self.training is not None:
                self.net.train(self.training)
        except BaseException:  # __exit__ is not called for a failed __enter__
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove every hook and restore every module's mode; what was captured stays."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        for module, mode in self._modes.items():
            module.training = mode

    @property
    def features(self) -> dict[str, torch.Tensor]:
        """The captured outputs of the last forward pass.

        Raises:
            UsageError: a layer that did not run, by name.
        """
        for w in self.wanted:
            if w.name not in self._captured:
                calls = self._calls.get((w.path, w.side), 0)
                ran = f"ran {calls} times in the forward pass, not {(w.call or 0) + 1}" if calls else "did not run"
                raise UsageError(f"layer {w.name} {ran}; choose a layer that is used")
        return {w.name: self._captured[w.name] for w in self.wanted}

    def _hook(self) -> None:
        modules = dict(self.net.named_modules())
        self._handles.append(self.net.register_forward_pre_hook(self._forget))
        for path in {w.path for w in self.wanted if w.side != "word"}:
            self._hook_module(modules[path], path)
        words = {w.name for w in self.wanted if w.side == "word"}
        if "embedding" in words:
            for module in modules.values():
                if isinstance(module, nn.Linear):
                    self._handles.append(module.register_forward_pre_hook(self._capture_embedding, with_kwargs=True))
            self._handles.append(self.net.register_forward_hook(self._settle_embedding))
        if "logits" in words:
            self._handles.append(self.net.register_forward_hook(self._capture_logits))

    def _forget(self, module: nn.Module, inputs: object) -> None:
        self._linear_before, self._linear = self._linear, 0
        self._captured.clear()
        self._calls.clear()

    def _hook_module(self, module: nn.Module, path: str) -> None:
        def before(module: nn.Module, inputs: Any, named: Any) -> None:
            self._capture(path, "in", inputs or tuple(named.values()))

        def after(module: nn.Module, inputs: object, output: object) -> None:
            self._capture(path, "out", output)

        self._handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        self._handles.append(module.register_forward_hook(after))

    def _capture(self, path: str, side: str, value: object) -> None:
        call = self._calls.get((path, side), 0)
        self._calls[path, side] = call + 1
        for w in self.wanted:
            if w.path == path and w.side == side and w.call in (None, call):
                self._keep(w.name, value)

    def _capture_embedding(self, module: nn.Module, inputs: Any, named: Any) -> None:
        """Any linear layer may be the last; from the second forward on only those are copied that were before."""
        self._linear += 1
        value = inputs or tuple(named.values())
        if self._linear >= self._linear_before:
            self._keep("embedding", value)
        else:
            self._maybe_last = value

    def _settle_embedding(self, module: nn.Module, inputs: object, output: object) -> None:
        if "embedding" not in self._captured and self._linear:  # fewer linear layers ran than in the forward before
            self._keep("embedding", self._maybe_last)
        self._maybe_last = None

    def _capture_logits(self, module: nn.Module, inputs: object, output: object) -> None:
        self._keep("logits", output)

    def _keep(self, name: str, value: object) -> None:
        tensor = first_tensor(value)
        if tensor is None:
            raise Mismatch(f"layer {name} gives a {type(value).__name__} without a tensor; choose another layer")
        value = tensor.detach() if self.detach else tensor
        kept = value if self.keep is None else self.keep(name, value)
        shared = kept.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
        self._captured[name] = kept.clone() if shared else kept


def _parse(name: str) -> _Wanted:
    if name in WORDS:
        return _Wanted(name, name, "word", None)
    path, side, call = parts(name)
    return _Wanted(name, path, side.removeprefix(":") or "out", int(call[1:]) if call else None)


def _matches(net: nn.Module, word: str) -> list[str]:
    """Names that ``word`` stands for."""
    paths = [path for path, _ in net.named_modules() if path]
    if word in WORDS:
        return [word]
    path, side, call = parts(word)
    wanted = pattern(word)
    found = [known for known in paths if wanted.fullmatch(known)]
    if not found:
        known = [*WORDS, *paths]
        near = difflib.get_close_matches(path, known, n=3, cutoff=0.4) or known[:6]
        raise UsageError(f"unknown layer {one_line(word, 60)!r}; nearest: {', '.join(near)}")
    return [path + side + call for path in found]


def first_tensor(value: object) -> torch.Tensor | None:
    """The tensor in what a module takes in or puts out: itself, its ``logits``, or the first of a sequence."""
    if isinstance(value, torch.Tensor):
        return value
    if hasattr(value, "logits"):
        return first_tensor(value.logits)
    if isinstance(value, dict):
        return first_tensor(value.get("logits", tuple(value.values())))
    if isinstance(value, (tuple, list)):
        return next((t for t in map(first_tensor, value) if t is not None), None)
    return None
