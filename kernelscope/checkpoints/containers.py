"""Where in a file a network's weights stand: the dict around them, the prefix before their names.

Nothing is guessed: weights are taken where names, shapes and kinds of numbers fit the whole architecture, and never
a part of it. Where a file fits in two places, ``choice.py`` tells which is meant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from kernelscope.checkpoints import fitting, stubs
from kernelscope.checkpoints.dense import require_dense
from kernelscope.checkpoints.fitting import counted
from kernelscope.errors import UnreadableInput, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

#: dicts in which training programs keep weights, most usual first
CONTAINERS = (
    "state_dict", "model", "model_state_dict", "net", "network", "module", "student", "teacher", "weights", "params",
    "ema", "model_ema", "ema_state_dict", "state_dict_ema",
)  # fmt: skip
#: parts that wrappers put inside names, not only before them
_WRAPPERS = re.compile(r"(?:(?<=\.)|^)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
MAX_PLACES, MAX_DEPTH = 100_000, 12
#: no more networks than this in one file are compared with each other
MAX_NETWORKS = 20


@dataclass(frozen=True, eq=False)
class Place:
    """A dict of tensors in a file: ``where`` names the keys that lead to it ('' for the file itself)."""

    where: str
    tensors: dict[str, torch.Tensor]
    kind: str = "state dict"


@dataclass(frozen=True, eq=False)
class Weights:
    """A network's weights as found, and what was done to find them.

    ``alone`` unless other weights under the same names, which may be those of another network, stand in the file too.
    """

    tensors: dict[str, torch.Tensor]
    where: str
    prefix: str
    left: int = 0
    completion: tuple[str, ...] = ()
    alone: bool = True
    constants: int = 0

    @property
    def part(self) -> str:
        """The place and the prefix, as they may be named after ``FILE::``."""
        return f"{self.where}{':' if self.where and self.prefix else ''}{self.prefix}"

    @property
    def name(self) -> str:
        """The same, for a message."""
        return self.part or "the file itself"

    def remarks(self) -> list[str]:
        """What was done, for the notes of a report."""
        notes = []
        if self.where:
            notes.append(f"weights were found under {one_line(self.where, 60)!r}")
        if self.prefix:
            notes.append(f"prefix {one_line(self.prefix, 60)!r} was taken off their names")
        if self.left:
            notes.append(f"{counted(self.left, 'tensor')} under other names left aside")
        notes += self.completion
        if self.constants:
            notes.append(f"{counted(self.constants, 'constant')} that the network makes itself left out")
        return notes


def places(document: object, name: str) -> list[Place]:
    """Every dict of tensors in a file, the usual containers first, and networks that were pickled whole.

    Raises:
        UnreadableInput: a file that nests without end.
    """
    found: list[Place] = []
    waiting: list[tuple[str, object, int]] = [("", document, 0)]
    seen: set[int] = set()
    networks = 0
    for where, value, depth in waiting:  # grows as it goes: breadth first
        if id(value) in seen or depth > MAX_DEPTH or _is_optimizer(value):
            continue
        seen.add(id(value))
        if len(seen) > MAX_PLACES:
            raise UnreadableInput(f"{name} nests more than {MAX_PLACES:,} dicts and lists; save its state_dict alone")
        if stubs.is_module(value):
            networks += 1
            if networks > MAX_NETWORKS:
                raise UnreadableInput(f"{name} holds more than {MAX_NETWORKS} pickled networks; save one state_dict")
            found.append(Place(where, stubs.module_weights(value), f"pickled {value.name}"))
            continue
        tensors = _tensors(value)
        if tensors:
            found.append(Place(where, tensors))
        waiting += [(f"{where}/{key}" if where else key, inner, depth + 1) for key, inner in _inner(value)]
    return sorted(found, key=_rank)


def _rank(place: Place) -> int:
    last = place.where.rpartition("/")[2]
    return CONTAINERS.index(last) if last in CONTAINERS else len(CONTAINERS) + ("optimizer" in place.where)


def _tensors(value: object) -> dict[str, torch.Tensor]:
    if not isinstance(value, dict):
        return {}
    return {key: item for key, item in value.items() if isinstance(key, str) and isinstance(item, torch.Tensor)}


def _is_optimizer(value: object) -> bool:
    """Whether a dict is an optimizer's state: tensors of every weight's shape, and not one weight."""
    return isinstance(value, dict) and {"state", "param_groups"} <= value.keys()


def _inner(value: object) -> Iterator[tuple[str, object]]:
    """What a value holds that may hold weights."""
    if isinstance(value, dict):
        items = [(one_line(str(key), 60) if isinstance(key, (str, int)) else "?", item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)):
        items = [(str(i), item) for i, item in enumerate(value)]
    elif isinstance(value, stubs.Stub):
        items = [(value.name.rpartition(".")[2], item) for item in value.parts()]
    else:
        items = []
    return (pair for pair in items if isinstance(pair[1], (dict, list, tuple, stubs.Stub)))


def _constants(network: nn.Module) -> dict[str, torch.Tensor]:
    """Buffers that a network makes for itself and does not save, such as the numbers of positions; by their name."""
    saved = network.state_dict()
    made = {key: value for key, value in network.named_buffers() if key not in saved}
    return {key: value for key, value in made.items() if not value.is_meta}


def without_constants(place: Place, network: nn.Module) -> Iterator[Weights]:
    """The weights of a place whose file saved what the network makes for itself, as earlier releases did."""
    constants = _constants(network)

    def redundant(key: str, value: torch.Tensor) -> bool:
        return any(
            key == name or key.endswith(f".{name}")
            for name, made in constants.items()
            if made.shape == value.shape and torch.equal(made.to(value.dtype), value)
        )

    kept = {key: value for key, value in place.tensors.items() if not redundant(key, value)}
    for weights in under_prefixes(replace(place, tensors=kept), network) if len(kept) < len(place.tensors) else ():
        yield replace(weights, constants=len(place.tensors) - len(kept))


def places_with_weights(document: object, name: str) -> list[Place]:
    """As :func:`places`, but never empty.

    Raises:
        UnreadableInput: a file without weights, naming what it holds instead.
    """
    found = places(document, name)
    if found:
        return found
    if isinstance(document, dict):
        require_dense({key: value for key, value in document.items() if isinstance(value, torch.Tensor)}, name)
        raise UnreadableInput(f"{name} holds no weights; save a state_dict by torch.save")
    kind = document.name if isinstance(document, stubs.Stub) else type(document).__name__
    raise UnreadableInput(f"{name} holds a {one_line(kind, 60)}, not weights; save a state_dict by torch.save")


def under_prefixes(place: Place, network: nn.Module) -> Iterator[Weights]:
    """The weights of a place under every prefix that leads to all of the network's names and to no others."""
    expected, tied = network.state_dict(), fitting.tied(network)
    names = [key for key in expected if not key.endswith(fitting.COUNTER)]
    # the longest name ends no other of them, so it is found once for each network; of tied ones files may lack it
    probe = max(names, key=lambda name: (name not in tied, len(name)), default=None)
    if probe is None:
        return
    spelt = [name for each in (probe, *tied.get(probe, ())) for name in (each, fitting.before_parametrizations(each))]
    for tensors in spellings(place.tensors):
        found = False
        for prefix in dict.fromkeys(prefix for name in spelt for prefix in prefixes_before(name, tensors)):
            inner = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
            if not prefix:
                inner.pop("n_averaged", None)  # AveragedModel's count of averages
            complete = fitting.completed(inner, expected, tied)
            if set(complete.tensors) == set(expected):
                found = True
                yield Weights(complete.tensors, place.where, prefix, len(tensors) - len(inner), complete.remarks)
        if found:
            return


def prefixes_before(name: str, tensors: dict[str, torch.Tensor]) -> list[str]:
    """What stands before ``name`` where it ends the name of a tensor, shortest first."""
    found = [key.removesuffix(name) for key in tensors if key.endswith(name)]
    return sorted((prefix for prefix in found if prefix == "" or prefix.endswith(".")), key=len)[:MAX_NETWORKS]


def spellings(tensors: dict[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
    """The names as they are, and without the parts that wrappers put inside them."""
    yield tensors
    plain = {_WRAPPERS.sub("", key): value for key, value in tensors.items()}
    if len(plain) == len(tensors) and plain.keys() != tensors.keys():
        yield plain
