"""Objects of refused classes, read as inert stubs: what they carry is kept, nothing of theirs is imported or run."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, BinaryIO, TypeGuard

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernelscope.pickles.things import Survey

#: modules and functions that do something to the machine: a file that names one is an attack, not a checkpoint
HARMFUL_MODULES = {
    "os", "posix", "nt", "sys", "subprocess", "pty", "socket", "shutil", "runpy", "importlib", "ctypes", "code",
    "commands", "webbrowser", "signal", "multiprocessing", "asyncio", "pip", "timeit", "pdb", "bdb", "marshal",
}  # fmt: skip
HARMFUL = {f"builtins.{name}" for name in ("eval", "exec", "compile", "__import__", "open", "input", "breakpoint")}
#: torch keeps stubs in one table for the whole process
_LOCK = threading.Lock()


class Stub:
    """Stands for an object of a class that was not imported; ``state`` and ``arguments`` are what the file gave it."""

    name = ""
    arguments: tuple[object, ...]
    state: object

    def __new__(cls, *arguments: object) -> Any:
        """Takes whatever the file passes to the class it stands for."""
        made = super().__new__(cls)
        made.arguments, made.state = arguments, None
        return made

    def __init__(self, *arguments: object) -> None:
        """Nothing: everything is set in ``__new__``, which alone is called when a pickle makes an object."""

    def __setstate__(self, state: object) -> None:
        """Keeps the state as it is: a file sets no attribute."""
        self.state = state

    def parts(self) -> list[object]:
        """What the object may hold tensors in."""
        return [self.state, *self.arguments]


def harmful(names: set[str]) -> str | None:
    """The first of the names that no file of weights needs, if there is one."""
    return next((n for n in sorted(names) if n in HARMFUL or n.partition(".")[0] in HARMFUL_MODULES), None)


def load(stream: BinaryIO, refused: set[str], survey: Survey) -> object:
    """``torch.load(weights_only=True)`` of a file, with a stub for every class that it would refuse."""
    named: list[Callable[..., Any] | tuple[Callable[..., Any], str]]
    named = [(_stub(name, survey.filled.get(name)), name) for name in sorted(refused)]
    with _LOCK, torch.serialization.safe_globals(named):
        return torch.load(stream, map_location="cpu", weights_only=True)


def _stub(name: str, filled: str | None) -> type:
    kind = {"dict": _DictStub, "list": _ListStub, None: Stub}[filled]
    return type("Stub", (kind,), {"name": name})


class _DictStub(Stub):
    """For subclasses of dict: torch puts items into plain dicts only, so it becomes one."""

    def __new__(cls, *arguments: object) -> OrderedDict[object, object]:  # type: ignore[misc]
        return OrderedDict()


class _ListStub(Stub):
    """For subclasses of list, likewise."""

    def __new__(cls, *arguments: object) -> list[object]:  # type: ignore[misc]
        return []


def is_module(value: object) -> TypeGuard[Stub]:
    """Whether a stub stands for a network that was pickled whole."""
    return isinstance(value, Stub) and isinstance(value.state, dict) and "_modules" in value.state


def module_weights(module: Stub, limit: int = 50_000) -> dict[str, torch.Tensor]:
    """What ``state_dict()`` of the pickled network would give: parameters and persistent buffers by name.

    Raises:
        ValueError: modules nested without end, or in a circle.
    """
    found: dict[str, torch.Tensor] = {}
    waiting: list[tuple[str, Any, int]] = [("", module, 0)]
    steps = 0
    while waiting:
        prefix, node, depth = waiting.pop()
        steps += 1
        if depth > 100 or steps > limit or len(prefix) > 1_000:
            raise ValueError("modules nested without end")
        state = node.state
        transient = state.get("_non_persistent_buffers_set") or ()
        for table in ("_parameters", "_buffers"):
            for key, value in _items(state.get(table)):
                if isinstance(value, torch.Tensor) and not (table == "_buffers" and key in transient):
                    found[prefix + key] = value
        children = [(f"{prefix}{key}.", child, depth + 1) for key, child in _items(state.get("_modules"))]
        waiting += [child for child in reversed(children) if is_module(child[1])]
    return found


def _items(table: object) -> list[tuple[str, object]]:
    return [(key, value) for key, value in table.items() if isinstance(key, str)] if isinstance(table, dict) else []
