"""Labels and groups as they were given: in memory, or in a file of any kind that holds one value per example."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelscope.errors import UnreadableInput, one_line, shown
from kernelscope.features import text_table
from kernelscope.features.arrays import ID_NAMES
from kernelscope.features.kinds import HDF5_MAGIC, is_npz
from kernelscope.file_parts import split
from kernelscope.files import reading, require_readable
from kernelscope.labels import one_per_example, renumbered
from kernelscope.measurement.label_text import read_column, values_of
from kernelscope.numpy_files import load_npy, open_npz

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

#: what the arrays of a file are called, of which one holds the values
NAMES = {"labels": ("labels", "label", "y", "targets"), "groups": ("groups", "group"), "ids": ID_NAMES}
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
        given, notes = read_values(Path(given), n, what)
    numbers, words = one_per_example(given, n, what, NOUNS[what])
    if words and classes and set(words) <= set(classes):
        return PerExample(renumbered(numbers, words, classes, what), tuple(classes), notes=notes)
    return PerExample(numbers, words, ordered=not words, notes=notes)


def read_values(path: Path, n: int, what: str) -> tuple[Any, tuple[str, ...]]:
    """The values of a file of ``labels``, ``groups`` or ``ids`` (``what``), told apart by content, and notes.

    ``FILE:NAME`` chooses a dataset or a column of it.

    Raises:
        UnreadableInput: a file that holds none, or several that may be they.
    """
    file, name = split(path)
    path = require_readable(file)
    with reading(path), path.open("rb") as stream:
        head = stream.read(8)
    if head == HDF5_MAGIC:
        return _of_hdf5(path, what, name), ()
    if head.startswith((b"PAR1", b"ARROW1", b"FEA1", b"\xff\xff\xff\xff")):
        from kernelscope.features import arrow_table

        return arrow_table.column(path, name, NAMES[what]), ()
    if head.startswith(b"\x93NUMPY"):
        return load_npy(path), ()
    if is_npz(path):
        held = open_npz(path, lambda name: False)
        wanted = _only(held, path, what, name)
        return open_npz(path, lambda key: key == wanted)[wanted], ()
    if head.startswith((b"PK", b"\x80")) or path.suffix.lower() in (".pt", ".pth", ".bin", ".safetensors"):
        return _of_torch(path, what, name), ()
    if name is not None:
        return values_of(text_table.column(path, name), path, what), ()
    return read_column(path, n, what)


def _of_hdf5(path: Path, what: str, name: str | None) -> Any:
    from kernelscope.datasets.hdf5_inputs import open_datasets

    name = None if name is None else name.strip("/")
    texts = (*NAMES[what], *(() if name is None else (name.rpartition("/")[2].lower(),)))
    arrays = open_datasets(path, texts, deep=name is not None)
    found = arrays[_only(arrays, path, what, name)]
    if isinstance(found, str):
        raise UnreadableInput(f"{shown(path)} {found}")
    return found


def _of_torch(path: Path, what: str, name: str | None) -> Any:
    """A tensor or a list in a file of torch, or one by name, without running any of its code."""
    import torch

    from kernelscope.checkpoints import weights_file

    with weights_file.opened(path) as contents:
        held = contents.document
        if isinstance(held, dict):
            held = held[_only(held, path, what, name)]
        plain = (str, bytes, int, float, torch.Tensor)
        if not isinstance(held, torch.Tensor) and not (
            isinstance(held, (list, tuple)) and all(isinstance(value, plain) for value in held)
        ):
            raise UnreadableInput(
                f"{shown(path)} holds a {type(held).__name__}, expected {what}: a tensor, or a list of numbers or words"
            )
        return held


def _only(arrays: Mapping[Any, object], path: Path, what: str, name: str | None) -> Any:
    """The name of the array that is meant: the one that is named, that is called so, or the only one."""
    if name is not None:
        if name not in arrays:
            raise UnreadableInput(f"{shown(path)} holds {_listed(arrays)}, not {one_line(name, 40)}; name one of these")
        return name
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
