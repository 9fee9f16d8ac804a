"""Ids of rows as given beside features that carry none: in memory, or in a file of any kind that labels have."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from kernelscope.errors import Mismatch, UsageError, one_line, shown
from kernelscope.masked import require_unmasked
from kernelscope.measurement.given_labels import read_values
from kernelscope.measurement.opening import Network, NetworkInput

if TYPE_CHECKING:
    from kernelscope.features.protocol import Features

EXPECTED = "expected whole numbers or texts"


class _WithIds:
    """Features and ids of their rows."""

    def __init__(self, features: Features, ids: np.ndarray) -> None:
        self._features, self.ids = features, ids

    def __getattr__(self, name: str) -> Any:
        return getattr(self._features, name)


def with_ids(side: NetworkInput | Network, given: object, role: str) -> NetworkInput | Network:
    """The same side, whose rows bear the ``given`` ids; as it is for None.

    Raises:
        UsageError: a network, or features that have ids. UnreadableInput: a file that holds none.
        Mismatch: not one id a row, or values that are none.
    """
    if given is None:
        return side
    option = f"--{role}-ids"
    if isinstance(side, Network):
        raise UsageError(f"{option} is about features, and {shown(side.name)} is a network; leave it out")
    if side.features.ids is not None:
        raise UsageError(f"{option} is about rows without ids, and {shown(side.name)} has some; leave it out")
    ids, notes = _ids(given, side.features.n, f"{role} ids", side.name)
    features = cast("Features", _WithIds(side.features, ids))
    return replace(side, features=features, notes=(*side.notes, *notes))


def _ids(given: object, n: int, what: str, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    notes: tuple[str, ...] = ()
    if isinstance(given, (str, os.PathLike)):
        what = shown(given)
        given, notes = read_values(Path(given), n, "ids")
    require_unmasked(given, what)
    if isinstance(given, (list, tuple)) and not _are_alike(given):
        raise Mismatch(f"ids in {what} are of several kinds or missing; give whole numbers, or texts")
    values = np.asarray(given)
    if values.dtype.kind == "O" and not _are_alike(values.ravel().tolist()):
        raise Mismatch(f"ids in {what} are of several kinds or missing; give whole numbers, or texts")
    if values.dtype.kind == "O":
        values = values.astype(str)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind not in "iuUS" or not (values.ndim == 1 or values.dtype == np.uint8):
        raise Mismatch(f"ids in {what} are {one_line(str(values.dtype), 20)} {values.shape}, {EXPECTED}; convert them")
    if len(values) != n:
        raise Mismatch(f"{what} has {len(values):,} ids for the {n:,} rows of {shown(name)}; give one for each row")
    return values, notes


def _are_alike(values: Any) -> bool:
    """Whether all are texts, or all whole numbers."""
    kinds = {type(value) for value in values}
    return kinds <= {str} or (bool not in kinds and all(issubclass(kind, (int, np.integer)) for kind in kinds))
