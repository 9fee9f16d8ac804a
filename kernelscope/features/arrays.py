"""Features in NumPy files or in memory, with the reading face of a feature store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from kernelscope.errors import Mismatch, UnreadableInput, one_line
from kernelscope.files import reading
from kernelscope.kernels.rows import Rows, as_rows
from kernelscope.labels import one_per_example
from kernelscope.numpy_files import ArrayFile, open_npy, open_npz

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

ASSUMED = "rows carry no ids, so they are taken to correspond"
ROW_KEYS = ("labels", "ids")  #: arrays of an ``.npz`` that describe rows and are not layers


@dataclass(frozen=True, eq=False)
class ArrayFeatures:
    """Named matrices of the same examples; without ids, rows are taken to correspond."""

    path: str
    arrays: dict[str, Rows]
    labels: np.ndarray | None = None
    ids: np.ndarray | None = None
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


def open_arrays(path: Path) -> ArrayFeatures:
    """An ``.npy`` matrix, or an ``.npz`` of matrices by layer with optional ``labels`` and ``ids``.

    Raises:
        UnreadableInput: damaged, pickled, or without a matrix. ResourceError: more than memory holds.
    """
    with reading(path), path.open("rb") as stream:
        zipped = stream.read(2) == b"PK"
    if not zipped:
        X = open_npy(path)
        _require_numbers(X, path)
        return ArrayFeatures(str(path), {"features": as_rows(X, str(path))})
    content = open_npz(path)
    matrices = {key: X for key, X in content.items() if X.ndim == 2 and X.dtype.kind == "f" and key not in ROW_KEYS}
    if not matrices:
        raise UnreadableInput(f"{path} holds no matrix of floats (n, d); save features with numpy.savez")
    n = len(next(iter(matrices.values())))
    for key, X in (*matrices.items(), *((key, content[key]) for key in ROW_KEYS if key in content)):
        if X.ndim == 0 or len(X) != n:
            raise UnreadableInput(f"{path} holds {key} of shape {X.shape}, expected {n} rows; save it again")
        _require_numbers(X, path, texts=key in ROW_KEYS)
    labels, classes = _labels(content.get("labels"), path)
    notes = tuple(
        f"{path.name} also holds {one_line(key, 60)} of {X.dtype} {X.shape}, which is no matrix of floats: not measured"
        for key, X in content.items()
        if key not in (*matrices, *ROW_KEYS)
    )
    return ArrayFeatures(str(path), matrices, labels=labels, ids=content.get("ids"), classes=classes, notes=notes)


def _labels(labels: np.ndarray | None, path: Path) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Class of each example as a whole number, and the classes' names if the file has names instead."""
    if labels is None:
        return None, ()
    try:
        return one_per_example(labels, len(labels), f"{path} labels")
    except Mismatch as error:
        raise UnreadableInput(str(error)) from error


def _require_numbers(X: np.ndarray | ArrayFile, path: Path, *, texts: bool = False) -> None:
    """One entry at least, and of real numbers (or texts): records and dates are of no use as rows."""
    if X.dtype.kind not in ("biufUS" if texts else "biuf") or 0 in X.shape:
        raise UnreadableInput(
            f"{path} holds an array {X.shape} of {str(X.dtype)[:40]}, expected numbers; save it again"
        )
