"""Features as arrays by name, in files or in memory, with the reading face of a feature store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kernelscope.errors import Mismatch, UnreadableInput, one_line, shown
from kernelscope.features.ahead import ForwardRows
from kernelscope.files import reading
from kernelscope.kernels.rows import Rows, as_rows
from kernelscope.labels import one_per_example
from kernelscope.numpy_files import ArrayFile, open_npy, open_npz

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ASSUMED = "rows carry no ids, so they are taken to correspond"
#: what arrays that describe rows, and are no layers, are called
LABEL_NAMES = ("labels", "label", "y", "targets", "target")
ID_NAMES = ("ids", "id", "example_ids", "image_ids", "filenames", "filename", "paths", "keys", "index", "idx")


class SeveralPartsError(UnreadableInput):
    """A file holds matrices of several numbers of rows, of which one is to be named."""

    def __init__(self, message: str, content: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.content = content


@dataclass(frozen=True, eq=False)
class ArrayFeatures:
    """Named matrices of the same examples; without ids, rows are taken to correspond."""

    path: str
    arrays: dict[str, Rows]
    labels: np.ndarray | None = None
    ids: Rows | None = None
    classes: tuple[str, ...] = ()
    order_sha256: str | None = None
    checkpoint_sha256: str | None = None
    arch: str | None = None
    top1: float | None = None
    notes: tuple[str, ...] = field(default=())

    kept: ClassVar[bool] = True

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.arrays)

    @property
    def n(self) -> int:
        return int(next(iter(self.arrays.values())).shape[0])

    def features(self, layer: str) -> Rows:
        return self.arrays[layer]

    def pool(self, layer: str) -> str | None:
        return None

    def close(self) -> None:
        pass


def open_arrays(path: Path, part: str | None = None, *, in_pieces: bool = False) -> ArrayFeatures:
    """An ``.npy`` matrix, or an ``.npz`` of matrices by layer with optional ``labels`` and ``ids``.

    Args:
        in_pieces: leave a matrix on the disk even where it is small.

    Raises:
        UnreadableInput: damaged, pickled, or without a matrix. ResourceError: more than memory holds.
    """
    with reading(path), path.open("rb") as stream:
        zipped = stream.read(2) == b"PK"
    if zipped:
        return of_arrays(path, open_npz(path), part)
    X = open_npy(path, in_pieces=in_pieces)
    if part:
        raise UnreadableInput(f"{shown(path)} holds one array and no {one_line(part, 40)}; leave out what follows ::")
    _require_numbers(X, path)
    return ArrayFeatures(str(path), {"features": as_rows(X, shown(path))})


def of_arrays(path: Path, content: Mapping[str, Any], part: str | None = None) -> ArrayFeatures:
    """Matrices of a file by name, beside labels and ids of their rows.

    Args:
        content: arrays by name, groups before a slash; a text in the place of one that is not read, with the reason.
        part: the array, or the group of arrays, that is meant; by default all.

    Raises:
        UnreadableInput: without a matrix, of several numbers of rows, or without the part.
    """
    chosen = dict(content) if part is None else _of_part(path, content, part.strip("/"))
    rows = _row_arrays(chosen)
    kinds = "f" if part is None else "biuf"
    matrices = {
        key: X
        for key, X in chosen.items()
        if not isinstance(X, str) and len(X.shape) == 2 and X.dtype.kind in kinds and key not in rows.values()
    }
    if not matrices:
        raise UnreadableInput(
            f"{shown(path)} holds no matrix of floats (n, d), but {listed(chosen)}; save features as one"
        )
    n = int(next(iter(matrices.values())).shape[0])
    if any(int(X.shape[0]) != n for X in matrices.values()):
        raise SeveralPartsError(
            f"{shown(path)} holds {listed(matrices)}, of several numbers of rows; name one, as "
            f"{one_line(path.name, 30)}::{one_line(next(iter(matrices)), 30)}",
            chosen,
        )
    for key, X in (*matrices.items(), *((key, chosen[key]) for key in rows.values())):
        if not X.shape or int(X.shape[0]) != n:
            raise UnreadableInput(
                f"{shown(path)} holds {one_line(key, 40)} of shape {tuple(X.shape)}, expected {n} rows; save it again"
            )
        _require_numbers(X, path, texts=key in rows.values())
    labels, classes = _labels(None if "labels" not in rows else chosen[rows["labels"]], path)
    ids = None if "ids" not in rows else _ids(chosen[rows["ids"]])
    notes = tuple(
        f"{path.name} also holds {one_line(key, 60)} {_on(X)}: not measured"
        for key, X in chosen.items()
        if key not in (*matrices, *rows.values())
    )
    arrays = {key: as_rows(X, f"{path} {key}") for key, X in matrices.items()}
    return ArrayFeatures(str(path), arrays, labels=labels, ids=ids, classes=classes, notes=notes)


def listed(content: Mapping[str, Any]) -> str:
    """The first arrays with their shapes, for a message."""
    found = [
        f"{one_line(str(key), 30)} {tuple(X.shape) if hasattr(X, 'shape') else ''}".strip()
        for key, X in list(content.items())[:6]
    ]
    return one_line(", ".join(found) or "nothing", 90)


def _of_part(path: Path, content: Mapping[str, Any], part: str) -> dict[str, Any]:
    """The array of that name, or those of that group by their names in it, and what describes rows beside them."""
    if part in content:
        if isinstance(content[part], str):
            raise UnreadableInput(f"{shown(path)} {content[part]}")
        group, _, last = part.rpartition("/")
        found = {last: content[part]}
    else:
        group = part
        found = {key[len(part) + 1 :]: X for key, X in content.items() if key.startswith(f"{part}/")}
        if not found:
            raise UnreadableInput(f"{shown(path)} holds {listed(content)}, not {one_line(part, 40)}; name one of these")
    n = next((X.shape[0] for X in found.values() if getattr(X, "shape", ())), None)
    for key, X in content.items():
        beside, _, name = key.rpartition("/")
        is_of_rows = name.lower() in (*LABEL_NAMES, *ID_NAMES) and getattr(X, "shape", ())[:1] == (n,)
        if beside == group and is_of_rows:
            found.setdefault(name, X)
    return found


def _row_arrays(content: Mapping[str, Any]) -> dict[str, str]:
    """The names of the labels and of the ids, where there are any."""
    found = {}
    for what, names in (("labels", LABEL_NAMES), ("ids", ID_NAMES)):
        called = [
            key
            for key, X in content.items()
            if key == what or (key.rpartition("/")[2].lower() in names and _is_of_rows(X, what))
        ]
        if called:
            found[what] = min(called, key=lambda key: names.index(key.rpartition("/")[2].lower()))
    return found


def _is_of_rows(X: Any, what: str) -> bool:
    shape = getattr(X, "shape", None)
    if shape is None or X.dtype.kind not in "biufUSO":
        return False
    return len(shape) < 2 or shape[1:] == (1,) or (what == "ids" and X.dtype.kind in "iu")


def _ids(ids: Any) -> Rows:
    if isinstance(ids, ForwardRows):  # read as they are sliced
        return ids
    values = np.asarray(ids[:])
    if values.dtype.kind == "O":  # texts; a fingerprint is taken of bytes, which objects have none of
        values = np.array([str(value) for value in values.ravel()])
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _labels(labels: Any, path: Path) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Class of each example as a whole number, and the classes' names if the file has names instead."""
    if labels is None:
        return None, ()
    try:
        return one_per_example(np.asarray(labels[:]), len(labels), f"{path} labels")
    except Mismatch as error:
        raise UnreadableInput(str(error)) from error


def _on(X: Any) -> str:
    return X if isinstance(X, str) else f"of {X.dtype} {tuple(X.shape)}, which is no matrix of floats"


def _require_numbers(X: np.ndarray | ArrayFile | ForwardRows, path: Path, *, texts: bool = False) -> None:
    """One entry at least, and of real numbers (or texts): records and dates are of no use as rows."""
    if X.dtype.kind not in ("biufUSO" if texts else "biuf") or 0 in X.shape:
        raise UnreadableInput(
            f"{path} holds an array {X.shape} of {str(X.dtype)[:40]}, expected numbers; save it again"
        )
