"""What the caller gave for a teacher or a student, told apart by content: features, or a network yet to be run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from kernelscope.activations.layer_names import among
from kernelscope.errors import UsageError, encodable
from kernelscope.features.arrays import ArrayFeatures
from kernelscope.features.chosen_rows import ChosenRows, drawn_rows, first_rows
from kernelscope.features.kinds import features_in
from kernelscope.features.protocol import Features
from kernelscope.kernels.rows import as_rows
from kernelscope.report.fields import NetworkReport

if TYPE_CHECKING:
    from torch import nn

    from kernelscope.checkpoints.loaded import Loaded
    from kernelscope.datasets.examples import Examples
    from kernelscope.datasets.sampling import Drawn
    from kernelscope.features.request import Request
    from kernelscope.kernels.rows import Rows

PARTS = {name for name in dir(Features) if not name.startswith("_")}
Arch = tuple[str | None, dict[str, Any] | None]  #: an architecture and its arguments, as far as the caller names them


@dataclass(frozen=True, eq=False)
class Ran:
    """How a network's features were obtained, to run it once more in the same way."""

    loaded: Loaded
    examples: Examples
    request: Request


@dataclass(frozen=True)
class NetworkInput:
    """One network as measured: its features by layer, and what the report states of it.

    ``chosen``: which rows of those that were given are measured, where it is not all of them. ``ran``: how, if it did.
    """

    name: str
    features: Features
    described: NetworkReport
    split: str | None = None
    notes: tuple[str, ...] = ()
    chosen: Drawn | None = None
    ran: Ran | None = None

    @property
    def report(self) -> NetworkReport:
        """Where rows come straight from a network, its top-1 is known only once they were read."""
        top1 = self.features.top1
        return self.described if top1 is None else replace(self.described, top1=top1)

    def has_layer(self, word: str) -> bool:
        """Whether a word stands for a layer of it."""
        return bool(among([word], self.features.layers))

    def first(self, *, n: int | None, limit: int | None) -> NetworkInput:
        """Of its first examples alone."""
        first = first_rows(self.features, n=n, limit=limit)
        return self if first is None else self._of(first)

    def sampled(self, drawn: Drawn, ids: Rows | None) -> NetworkInput:
        """Of the examples that were drawn, which bear these ids; features of so many may be of them alone."""
        if self.features.n == len(drawn.rows) and ids is not None and self.features.ids is not None:
            return self
        rows = drawn_rows(self.features, drawn, ids)
        of = self.features.n if self.chosen is None else self.chosen.of  # a sample of the first rows is one of all
        return replace(self._of(rows), chosen=replace(rows, of=of))

    def _of(self, chosen: Drawn) -> NetworkInput:
        features = ChosenRows(self.features, chosen)
        described = replace(self.described, top1=None)
        return replace(self, features=features, notes=features.notes, described=described, chosen=chosen)

    def renamed(self, name: str | None) -> NetworkInput:
        """Under another name; None keeps its own."""
        return self if name is None else replace(self, name=name, described=replace(self.described, name=name))


@dataclass(frozen=True)
class Network:
    """A network to be run, before it is known on which examples; ``trained``: its file states its accuracy."""

    name: str
    loaded: Loaded
    trained: bool = True

    def renamed(self, name: str | None) -> Network:
        """Under another name; None keeps its own."""
        return self if name is None else replace(self, name=name)

    def has_layer(self, word: str) -> bool:
        """Whether a word stands for a layer of it, as far as names tell."""
        from kernelscope.activations.resolving import stands_for_a_layer

        return stands_for_a_layer(self.loaded.module, word)


def opened(given: Any, role: str, arch: Arch) -> NetworkInput | Network:
    """A path to a feature file or a checkpoint, a module, a store, an array, a table, or arrays by layer name.

    Raises:
        UnreadableInput: a file that is none of the kinds, or damaged.
        UsageError: an architecture for features, or no layer at all.
    """
    if isinstance(given, (NetworkInput, Network)):
        return given
    if any(arch) and not isinstance(given, (str, os.PathLike)):
        raise UsageError(f"{role} is in memory, which needs no architecture; drop the option")
    if isinstance(given, (str, os.PathLike)):
        return _opened_path(Path(given), role, arch)
    if is_stream(given):
        from kernelscope.features.arrow_stream import open_stream

        return _of_features(role, open_stream(given, role))
    if _is_module(given):
        from kernelscope.checkpoints.loaded import loaded_module

        return Network(role, loaded_module(given, name=role))
    if isinstance(given, Features):
        return _of_features(str(given.path), given)
    if hasattr(given, "features") and hasattr(given, "layers"):
        lacks = [part for part in sorted(PARTS) if not hasattr(given, part)]
        raise UsageError(f"{role} has layers but no {', '.join(lacks)}; give a FeatureStore or arrays by layer name")
    if isinstance(given, Mapping):
        arrays = {str(layer): as_rows(X, f"{role} layer {layer!r}") for layer, X in given.items()}
    else:
        arrays = {"features": as_rows(given, f"{role} features")}
    if not arrays:
        raise UsageError(f"{role} is an empty dict; give at least one layer's features")
    return NetworkInput(role, ArrayFeatures(role, arrays), NetworkReport(role, None, None, None))


def is_stream(given: object) -> bool:
    """Whether it is a table that offers an Arrow stream, or of ``datasets``; one of pandas is taken as its numbers."""
    offers = hasattr(given, "__arrow_c_stream__") or (hasattr(given, "with_format") and hasattr(given, "iter"))
    return offers and not hasattr(given, "iloc")


def untrained_copy(network: NetworkInput | Network, seed: int) -> Network | None:
    """The same network, untrained; None for features, and for networks that cannot be drawn anew."""
    if not isinstance(network, Network):
        return None
    from kernelscope.checkpoints.untrained import untrained

    loaded = untrained(network.loaded, seed=seed)
    return None if loaded is None else Network(loaded.name, loaded, trained=False)


def _opened_path(path: Path, role: str, arch: Arch) -> NetworkInput | Network:
    name, options = arch
    if (found := features_in(path, may_be_network=name is not None)) is not None:
        if name is not None:
            raise UsageError(f"{path} is a feature file, which needs no architecture; drop the option")
        return _of_features(encodable(str(path)), found)
    from kernelscope.checkpoints.loading import load

    return Network(encodable(str(path)), load(path, arch=name, arch_kwargs=options, role=role.partition(" ")[0]))


def _of_features(name: str, features: Features) -> NetworkInput:
    described = NetworkReport(name, features.checkpoint_sha256, features.arch, features.top1)
    return NetworkInput(name, features, described, notes=features.notes)


def _is_module(given: object) -> TypeGuard[nn.Module]:
    torch = sys.modules.get("torch")  # a module can only exist if torch was imported: do not import it to find out
    return torch is not None and isinstance(given, torch.nn.Module)
