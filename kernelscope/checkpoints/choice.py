"""Which of the networks in a file is meant: by the part after ``FILE::``, or by the role it is opened for."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from kernelscope.checkpoints import containers, fitting
from kernelscope.checkpoints.containers import MAX_NETWORKS, Place, Weights
from kernelscope.checkpoints.dense import require_dense
from kernelscope.errors import UnreadableInput, UsageError, one_line, shown

if TYPE_CHECKING:
    from torch import nn

ROLES = ("teacher", "student")


@dataclass(frozen=True)
class Choice:
    """What the caller said of the network that is meant.

    Attributes:
        file: its name, for messages.
        part: the keys that lead to its weights, or the prefix of their names, or one word of these; '' is the file
            itself; None where it is not said.
        role: ``teacher`` or ``student``, which decides where several fit.
    """

    file: str
    part: str | None = None
    role: str | None = None

    @property
    def name(self) -> str:
        return self.file if self.part is None else f"{self.file}::{self.part}"

    def places(self, document: object) -> list[Place]:
        """The dicts of weights in a file that the part may name: all of them where it is no such dict's name.

        Raises:
            UnreadableInput: a file without weights.
        """
        found = containers.places_with_weights(document, self.file)
        if self.part is None:
            return found
        kept = _nearest(self.part, [(place.where, "") for place in found])
        return [found[i] for i in kept] or found

    def among(self, found: list[Weights]) -> list[Weights]:
        """Those that the part names.

        Raises:
            UsageError: none of them.
        """
        if self.part is None or not found:
            return found
        kept = _nearest(self.part, [(each.where, each.prefix.rstrip(".")) for each in found])
        if not kept:
            names = one_line(", ".join(each.name for each in found), 60)
            raise UsageError(
                f"{shown(self.file, 60)} holds no network called {one_line(self.part, 40)!r}; it has {names}"
            )
        return [found[i] for i in kept]

    def one_of(self, found: list[Weights]) -> Weights:
        """The only one, or the only one of the role.

        Raises:
            UnreadableInput: naming those that there are, and how to name one of them.
        """
        chosen = found
        if len(chosen) > 1 and self.role is not None:
            chosen = [w for w in found if self.role in _words(w)] or [w for w in found if not _words(w) & set(ROLES)]
        if len(chosen) == 1:
            return chosen[0]
        names = one_line(", ".join(each.name for each in found), 60)
        part = one_line(found[-1].part, 40)
        raise UnreadableInput(
            f"{shown(self.file, 50)} holds {len(found)} networks that fit ({names}); name one, as in FILE::{part}"
        )

    def weights_for(self, network: nn.Module, document: object) -> Weights:
        """The one place in a file, and the prefix, under which everything fits the network.

        Raises:
            UnreadableInput: no weights at all, or several that fit. UsageError: a part that the file does not hold.
            Mismatch: none fits. See :func:`fitting.require_fit`.
        """
        found = self.places(document)
        named = [weights for place in found for weights in containers.under_prefixes(place, network)]
        if not named:
            named = [weights for place in found for weights in containers.without_constants(place, network)]
        named = self.among(named)
        for weights in named:
            require_dense(weights.tensors, self.file)
        fit = [weights for weights in named if fitting.misfit(network, weights.tensors) is None]
        if not fit:
            first = named[0].tensors if named else self._place(found).tensors
            require_dense(first, self.file)
            fitting.require_fit(network, first, self.file)
        chosen = self.one_of(different(fit))
        return replace(chosen, alone=len(different(named)) == 1 and self.part is None)

    def _place(self, found: list[Place]) -> Place:
        """The first, whose misfit is told; of a part that is the name of none it is told that it is not there."""
        if self.part is not None and not _nearest(self.part, [(place.where, "") for place in found]):
            self.among([Weights(place.tensors, place.where, "") for place in found])
        return found[0]


def different(found: list[Weights]) -> list[Weights]:
    """The same weights kept twice in a file count once."""
    if len(found) > MAX_NETWORKS:
        return found
    kept: list[Weights] = []
    for weights in found:
        if not any(_same(weights.tensors, other.tensors) for other in kept):
            kept.append(weights)
    return kept


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(
        value is b[key] or (value.dtype == b[key].dtype and torch.equal(value, b[key])) for key, value in a.items()
    )


def _words(weights: Weights) -> set[str]:
    return set(re.split(r"[^a-z]+", weights.name.lower()))


def _nearest(part: str, names: list[tuple[str, str]]) -> list[int]:
    """Which of pairs of place and prefix a part names: in full, else by its beginning, else by one of its words."""
    part = part.strip("/").rstrip(".")
    for fits in (_is, _begins, _contains):
        if kept := [i for i, (where, prefix) in enumerate(names) if fits(part, where, prefix)]:
            return kept
    return []


def _is(part: str, where: str, prefix: str) -> bool:
    return part == where or (part != "" and part in (prefix, f"{where}:{prefix}"))


def _begins(part: str, where: str, prefix: str) -> bool:
    return where.startswith(f"{part}/") or any(name.startswith(f"{part}.") for name in (prefix, f"{where}:{prefix}"))


def _contains(part: str, where: str, prefix: str) -> bool:
    return part in where.split("/") or part in prefix.split(".")
