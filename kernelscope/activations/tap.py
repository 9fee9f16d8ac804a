"""Tap: what named layers of a network take in and put out, captured by forward hooks; the network stays as it is.

Layer names: ``named_modules()`` paths (``layer3.1``), ``fc:in`` (what a module takes in), ``fc:out`` (the default),
``lstm[1][0]`` (of several tensors that one; without brackets the first), ``name@1`` (second call in one forward;
without ``@`` the last), ``lstm#1`` (examples lie along axis 1), globs ``layer*.1`` (a star stays within one level),
``re:...`` (the whole path), and three words: ``embedding`` (the input of the last ``nn.Linear`` to run, the paper's
"before the last FC"; of a sentence encoder its output), ``logits`` (what the network returns; of several tensors see
:func:`kernelscope.activations.outputs.the_tensor`) and ``output`` (the same, unless a module bears that name).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from kernelscope.activations import fast_path
from kernelscope.activations.outputs import member_of, the_tensor
from kernelscope.activations.resolving import Wanted, is_embedder, resolve_layers, wanted_layer
from kernelscope.errors import KernelscopeError, Mismatch, UsageError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import TracebackType


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
        optional: layers that may do without rows; ``passed_over`` then says why.

    Attributes:
        chosen: of layers that gave several tensors, which one was taken.
        last_linear: path of the linear layer that ``embedding`` is the input of.
    """

    def __init__(
        self,
        net: nn.Module,
        layers: Sequence[str],
        *,
        detach: bool = True,
        training: bool | None = None,
        keep: Callable[[str, torch.Tensor], torch.Tensor] | None = None,
        optional: Collection[str] = (),
    ) -> None:
        self.net = net
        self.detach = detach
        self.keep = keep
        self.training = training
        names, _ = resolve_layers(net, list(layers))
        paths = {path for path, _ in net.named_modules()}
        self.wanted = [wanted_layer(name, paths) for name in names]
        self.optional = set(optional)
        self.passed_over: dict[str, str] = {}
        self.chosen: dict[str, str] = {}
        self.last_linear: str | None = None
        self._captured: dict[str, torch.Tensor] = {}
        self._calls: dict[tuple[str, str], int] = {}
        self._linear = self._linear_before = 0  # how many linear layers ran in this forward, and in the one before
        self._maybe_last: Any = None
        self._put_out: torch.Tensor | None = None  # by the last linear layer, until what is meant by logits is known
        self._logits: str | None = None
        self._handles: list[Any] = []
        self._modes: dict[nn.Module, bool] = {}
        self._is_open = False

    def __enter__(self) -> Tap:
        self._modes = {module: module.training for module in self.net.modules()}
        fast_path.switch_off()
        self._is_open = True
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
        if self._is_open:
            fast_path.restore()
        self._is_open = False

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
                if w.name not in self.optional:
                    raise UsageError(f"layer {w.name} {ran}; choose a layer that is used")
                self.passed_over.setdefault(w.name, ran)
        return {w.name: self._captured[w.name] for w in self.wanted if w.name in self._captured}

    def settle(self) -> None:
        """Let go for good of the layers that were passed over; from now on every other one must give its rows."""
        self.wanted = [w for w in self.wanted if w.name not in self.passed_over]
        self.optional.clear()

    def _hook(self) -> None:
        modules = dict(self.net.named_modules())
        self._handles.append(self.net.register_forward_pre_hook(self._forget))
        for path in {w.path for w in self.wanted if w.side != "word"}:
            self._hook_module(modules[path], path)
        if words := {"output" if self._is_output(w) else w.path for w in self.wanted if w.side == "word"}:
            for path, module in modules.items():
                if isinstance(module, nn.Linear):
                    self._hook_linear(module, path, words)
            self._handles.append(self.net.register_forward_hook(self._after))

    def _forget(self, module: nn.Module, inputs: object) -> None:
        self._linear_before, self._linear = self._linear, 0
        self._captured.clear()
        self._calls.clear()

    def _hook_module(self, module: nn.Module, path: str) -> None:
        def before(module: nn.Module, inputs: Any, named: Any) -> None:
            self._capture(path, "in", inputs if not named else {**dict(enumerate(inputs)), **named})

        def after(module: nn.Module, inputs: object, output: object) -> None:
            self._capture(path, "out", output)

        self._handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        self._handles.append(module.register_forward_hook(after))

    def _capture(self, path: str, side: str, value: object) -> None:
        call = self._calls.get((path, side), 0)
        self._calls[path, side] = call + 1
        for w in self.wanted:
            if w.path == path and w.side == side and w.call in (None, call):
                self._keep(w, value)

    def _hook_linear(self, module: nn.Module, path: str, words: set[str]) -> None:
        """Any linear layer may be the last; from the second forward on only those are copied that were before."""

        def before(module: nn.Module, inputs: Any, named: Any) -> None:
            self._linear += 1
            self.last_linear = path
            value = inputs or tuple(named.values())
            if self._linear >= self._linear_before:
                self._keep_embedding(value)
            else:
                self._maybe_last = value

        def after(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
            if self._logits is None:
                self._put_out = output

        if "embedding" in words:
            self._handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        if words != {"embedding"}:
            self._handles.append(module.register_forward_hook(after))

    def _keep_embedding(self, value: object) -> None:
        for w in self.wanted:
            if w.side == "word" and w.path == "embedding":
                self._keep(w, value)

    def _after(self, module: nn.Module, inputs: object, output: object) -> None:
        if self._linear and self._maybe_last is not None and not self._has_embedding():
            self._keep_embedding(self._maybe_last)  # fewer linear layers ran than in the forward before
        self._maybe_last = None
        of_output = [w for w in self.wanted if self._is_output(w)]
        if of_output and self._logits is None:
            found = the_tensor(output, self._put_out)
            self._logits, why = found or ("", "")
            self._put_out = None
            if why:
                self.chosen.update({w.name: why for w in of_output if not w.member})
        for w in of_output:
            self._keep(w, output)

    def _is_output(self, w: Wanted) -> bool:
        """Whether a word stands for what the network returns."""
        return w.side == "word" and (w.path != "embedding" or is_embedder(self.net))

    def _has_embedding(self) -> bool:
        return any(w.name in self._captured for w in self.wanted if w.side == "word" and w.path == "embedding")

    def _keep(self, w: Wanted, value: object) -> None:
        try:
            self._captured[w.name] = self._kept(w, value)
        except KernelscopeError as error:
            if w.name not in self.optional:
                raise
            self.passed_over.setdefault(w.name, one_line(str(error), 80))

    def _kept(self, w: Wanted, value: object) -> torch.Tensor:
        member = w.member or (self._logits if self._is_output(w) else "") or ""
        part = member_of(value, member, w.name) if member else value
        if not isinstance(part, torch.Tensor) and (found := the_tensor(part)) is not None:
            inner, why = found
            part = member_of(part, inner, w.name)
            if why:
                self.chosen.setdefault(w.name, why)
        if not isinstance(part, torch.Tensor):
            raise Mismatch(f"layer {w.name} gives a {type(part).__name__} without a tensor; choose another layer")
        if part.is_complex():
            raise Mismatch(f"layer {w.name} gives complex numbers; give their real and imaginary parts side by side")
        detached = part.detach() if self.detach else part
        kept = detached if self.keep is None else self.keep(w.name, detached)
        shared = kept.untyped_storage().data_ptr() == part.untyped_storage().data_ptr()
        return kept.clone() if shared else kept
