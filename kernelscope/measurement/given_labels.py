"""Labels and groups as they were given: in memory, or in a file of any kind that holds one value per example."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelscope.errors import UnreadableInput, one_line, shown
from kernelscope.features.kinds import HDF5_MAGIC, is_feature_file
from kernelscope.files import reading, require_readable
from kernelscope.labels import one_per_example, renumbered
from kernelscope.measurement.label_text import read_column
from kernelscope.numpy_files import load_npy, open_npz

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

#: what the arrays of a file are called, of which one holds the values
NAMES = {"labels": ("labels", "label", "y", "targets"), "groups": ("groups", "group")}
NOUNS = {"labels": "class", "groups": "group"}


@dataclass(frozen=True, eq=False)
class PerExample:
    """A whole number for each example.

    Attributes:
        words: what was given instead of numbers, in the order of these; empty for numbers.
        ordered: False where words were numbered in an order of their own, which need not be that of logits.
        notes: what was taken for what.
    """

    numbers: np.ndarray
    words: tuple[str, ...] = ()
    ordered: bool = True
    notes: tuple[str, ...] = ()


def per_example(given: object, n: int, what: str, classes: Sequence[str] = ()) -> PerExample:
    """``labels`` or ``groups`` (``what``) as given: an array, a tensor, a list, or a file of these or of a text column.

    Args:
        classes: names that are known; words that are all among them are numbered as these are.

    Raises:
        UnreadableInput: a file that holds none, or several that may be they.
        Mismatch: not one whole number or word per example.
    """
    notes: tuple[str, ...] = ()
    if isinstance(given, (str, os.PathLike)):
        given, notes = _read(Path(given), n, what)
    numbers, words = one_per_example(given, n, what, NOUNS[what])
    if words and classes and set(words) <= set(classes):
        return PerExample(renumbered(numbers, words, classes, what), tuple(classes), notes=notes)
    return PerExample(numbers, words, ordered=not words, notes=notes)


def _read(path: Path, n: int, what: str) -> tuple[Any, tuple[str, ...]]:
    """The values of a file, told apart by content; ``FILE.h5:NAME`` chooses in an HDF5 file."""
    whole, _, name = str(path).rpartition(":")
    if whole and not path.exists() and Path(whole).exists():
        return _of_hdf5(require_readable(whole), what, name), ()
    path = require_readable(path)
    with reading(path), path.open("rb") as stream:
        head = stream.read(8)
    if head == HDF5_MAGIC:
        return _of_hdf5(path, what), ()
    if head.startswith(b"\x93NUMPY"):
        return load_npy(path), ()
    if is_feature_file(path):
        held = open_npz(path, lambda name: False)
        wanted = _only(held, path, what)
        return open_npz(path, lambda name: name == wanted)[wanted], ()
    if head.startswith((b"PK", b"\x80")) or path.suffix.lower() in (".pt", ".pth", ".bin", ".safetensors"):
        return _of_torch(path, what), ()
    return read_column(path, n, what)


def _of_hdf5(path: Path, what: str, name: str = "") -> Any:
    from kernelscope.datasets.hdf5_inputs import open_datasets

    name = name.strip("/")
    arrays = open_datasets(path, (*NAMES[what], name.lower()))
    if name and name not in arrays:
        raise UnreadableInput(
            f"{shown(path)} holds {_listed(arrays)} at its root, not {one_line(name, 40)}; name one of these"
        )
    return arrays[name or _only(arrays, path, what)]


def _of_torch(path: Path, what: str) -> Any:
    """A tensor or a list in a file of torch, or one by name, without running any of its code."""
    import torch

    from kernelscope.checkpoints import weights_file

    with weights_file.opened(path) as contents:
        held = contents.document
        if isinstance(held, dict):
            held = held[_only(held, path, what)]
        plain = (str, bytes, int, float, torch.Tensor)
        if not isinstance(held, torch.Tensor) and not (
            isinstance(held, (list, tuple)) and all(isinstance(value, plain) for value in held)
        ):
            raise UnreadableInput(
                f"{shown(path)} holds a {type(held).__name__}, expected {what}: a tensor, or a list of numbers or words"
            )
        return held


def _only(arrays: Mapping[Any, object], path: Path, what: str) -> Any:
    """The name of the array that is meant: the one that is called so, or the only one."""
    called = [name for name in arrays if str(name).lower() in NAMES[what]]
    found = called or list(arrays)
    if len(found) != 1:
        raise UnreadableInput(
            f"{shown(path)} holds {_listed(arrays)}, of which {len(called) or 'none'} are called {what}; "
            f"save the {what} alone"
        )
    return found[0]


def _listed(arrays: Mapping[Any, object]) -> str:
    return one_line(", ".join(map(str, list(arrays)[:9])) or "nothing", 60)
