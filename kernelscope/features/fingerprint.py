"""What a network computes, in one number: weights alone do not decide it, as two networks may share them."""

from __future__ import annotations

import hashlib
import types
from typing import TYPE_CHECKING

from kernelscope.checkpoints.loaded import weights_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

OUR_CODE = ("kernelscope.networks.", "torch.nn.modules.")


def fingerprint(network: nn.Module) -> str:
    """Hex SHA-256 over weights, all buffers, the tree of modules with their settings, and the code of their classes.

    What a class reads from elsewhere (globals, closures, files) is not in it.
    """
    weights = network.state_dict()
    digest = hashlib.sha256(weights_sha256(weights).encode())
    passing = {name: buffer for name, buffer in network.named_buffers() if name not in weights}
    digest.update(weights_sha256(passing).encode())
    classes = {}
    for path, module in network.named_modules():
        kind = type(module)
        classes[kind.__module__, kind.__qualname__] = kind
        digest.update(f"{path} {kind.__module__} {kind.__qualname__} {module.extra_repr()}\n".encode())
    for _, kind in sorted(classes.items()):
        if not kind.__module__.startswith("torch."):
            for code in _codes(kind):
                digest.update(code)
    return digest.hexdigest()


def is_ours(network: nn.Module) -> bool:
    """Whether every module is of a built-in architecture or of torch.nn, and nothing was put over its forward."""
    return all(
        type(module).__module__.startswith(OUR_CODE)
        and "forward" not in vars(module)
        and not (module._forward_hooks or module._forward_pre_hooks)
        for module in network.modules()
    )


def _codes(kind: type) -> Iterator[bytes]:
    """The byte code of a class's own functions, with the constants and names it uses."""
    for name, member in sorted(vars(kind).items(), key=lambda item: item[0]):
        function = getattr(member, "__func__", member)
        if isinstance(function, types.FunctionType):
            yield name.encode()
            yield from _code(function.__code__)


def _code(code: types.CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr(code.co_names).encode()
    for constant in code.co_consts:
        yield from _code(constant) if isinstance(constant, types.CodeType) else _constant(constant)


def _constant(constant: object) -> Iterator[bytes]:
    # the order of a set of constants changes from run to run
    yield repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant).encode()
