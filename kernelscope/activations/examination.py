"""What one forward pass shows of a network: what its output is made of, and whether it has a head at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from kernelscope.activations.outputs import follows, is_same, logits_by_name, member_of, tensors_in, the_tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_HEADS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.RNNBase,
)  #: layers that end encoders and no classifiers


class Examination:
    """Hooks for one forward pass on every module with weights of its own; :meth:`close` comes after it.

    Attributes:
        elsewhere: whether the network's output is other than what its last linear layer put out, row by row; None
            where no linear layer ran.
        headless: whether what comes out are features: it is called ``last_hidden_state``, or as wide as a normalisation
            or recurrent layer that was the last with weights to run; and neither called logits nor put out by a linear
            layer.
    """

    def __init__(self, network: nn.Module) -> None:
        self.elsewhere: bool | None = None
        self.headless = False
        self._linear: torch.Tensor | None = None
        self._last: tuple[nn.Module, object] | None = None
        weighted = [m for m in network.modules() if m is not network and any(True for _ in m.parameters(recurse=False))]
        self._handles = [module.register_forward_hook(self._after_layer) for module in weighted]
        if isinstance(network, (nn.Linear, *NO_HEADS)):
            self._handles.append(network.register_forward_hook(self._after_layer))
        self._handles.append(network.register_forward_hook(self._after))

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._linear, self._last = None, None

    def _after_layer(self, module: nn.Module, inputs: object, output: Any) -> None:
        self._last = (module, output)
        if isinstance(module, nn.Linear):
            self._linear = output

    def _after(self, module: nn.Module, inputs: object, output: object) -> None:
        found = the_tensor(output, self._linear)
        if found is None:
            return
        x: Any = member_of(output, found[0], "logits")
        linear = self._linear
        if linear is not None and bool(torch.isfinite(x).all()):
            self.elsewhere = not (x.ndim and len(x) == len(linear) and follows(x, linear))
        named = logits_by_name(output) is not None
        if not named and (linear is None or not is_same(x, linear)):
            self.headless = "[last_hidden_state]" in tensors_in(output) or self._ends_without_head(x)

    def _ends_without_head(self, x: torch.Tensor) -> bool:
        if self._last is None or not isinstance(self._last[0], NO_HEADS):
            return False
        last: Mapping[str, torch.Tensor] = tensors_in(self._last[1])
        widths = {y.shape[axis] for y in last.values() if y.ndim > 1 for axis in (1, -1)}
        return x.ndim > 1 and x.shape[1 if x.ndim == 4 else -1] in widths
