"""Features in NumPy files or in memory, with the reading face of a feature store."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kernelscope.errors import UnreadableInput
from kernelscope.kernels.rows import Rows, as_rows

ASSUMED = "rows carry no ids, so they are taken to correspond"


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
    """An ``.npy`` matrix (memory-mapped), or an ``.npz`` of matrices by layer with optional ``labels`` and ``ids``.

    Raises:
        UnreadableInput: damaged, pickled, or without a matrix.
    """
    try:
        loaded: Any = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return ArrayFeatures(str(path), {"features": as_rows(loaded, str(path))})
        with loaded:
            content = {key: loaded[key] for key in loaded.files}
    except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
        raise UnreadableInput(f"{path} cannot be read as a NumPy file ({str(error)[:80]}); save it again") from error
    matrices = {key: X for key, X in content.items() if X.ndim == 2 and X.dtype.kind == "f"}
    if not matrices:
        raise UnreadableInput(f"{path} holds no matrix of floats (n, d); save features with numpy.savez")
    return ArrayFeatures(str(path), matrices, labels=content.get("labels"), ids=content.get("ids"))
