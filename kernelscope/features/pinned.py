"""Pinned rows of a network (``.ksref``): what a later release of it is held against, without the network.

    /              attrs format="kernelscope.reference"
    /outline       (…,) u1: JSON, network, data, preprocessing, layers, limits, versions, and the CRC-32 of every array
    /outline_crc32 (1,) u4
    /rows0000 …    (n, d) float32 or float16: rows of each layer over a power of two, its ``scale``
    /ids           (n, 16) u1: of the examples; absent where they are not known

How it is read: :mod:`kernelscope.features.checked_arrays`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.activations.layer_names import is_pattern
from kernelscope.activations.units import POOLS
from kernelscope.errors import DegenerateKernel, NumericalError, UsageError, one_line
from kernelscope.features.checked_arrays import arrays_in, at_the_door, outline_in, read_file, write_arrays
from kernelscope.features.id_keys import fingerprint
from kernelscope.report.drift import FIELDS

if TYPE_CHECKING:
    import os
    from pathlib import Path

FORMAT, FORMAT_VERSION = "kernelscope.reference", 1
FIX = "pin the network again"
MOST_LAYERS = 900
TYPES = {"float32": "<f4", "float16": "<f2"}
LARGEST_EXPONENT = 14  #: of float16 rows over their scale, so that none overflows


@dataclass(frozen=True)
class PinnedLayer:
    """A layer as it was pinned.

    Attributes:
        pool: how positions became rows, where it is known.
        scale: stored rows times it are the rows.
        floor: ``‖stored − rows‖_F / ‖rows‖_F``, what the storage type cost.
        limit: on :func:`change`, from re-runs; None where limits were given.
    """

    name: str
    width: int
    pool: str | None
    scale: float
    floor: float
    limit: float | None = None


@dataclass(frozen=True)
class Rerun:
    """Re-runs of one kind: their number, the type they ran in, and the largest change that any layer had."""

    dtype: str
    runs: int
    largest: float


@dataclass(frozen=True, eq=False)
class Pinned:
    """Rows of a network on fixed examples, and all that is needed to run another on them.

    Attributes:
        rows: stored rows by layer, see :meth:`features`.
        ids: ``(n, 16)`` bytes; None where rows are known by their order alone.
        data: name, split and seed, where a name was given. preprocess: operations that inputs went through.
        gates: limits that were given, as ``(field, limit, at_most)``; alarm, reruns: what the layers' limits are from.
        versions: of the software that ran.
    """

    origin: str
    network: str
    arch: str | None
    sha256: str | None
    data: dict[str, Any] | None
    preprocess: list[dict[str, Any]] | None
    pool: str
    dtype: str
    layers: tuple[PinnedLayer, ...]
    rows: dict[str, np.ndarray] = field(repr=False)
    ids: np.ndarray | None = field(repr=False)
    gates: tuple[tuple[str, float, bool], ...]
    alarm: float | None
    reruns: tuple[Rerun, ...]
    versions: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        return len(next(iter(self.rows.values())))

    def features(self, layer: PinnedLayer) -> np.ndarray:
        """The layer's rows, float64, as they are stored."""
        return self.rows[layer.name].astype(np.float64) * layer.scale

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, in the place of one that exists.

        Raises:
            UsageError: more layers than a file holds. ResourceError: the disk fails.
        """
        if len(self.layers) > MOST_LAYERS:
            raise UsageError(f"{len(self.layers)} layers in one file, at most {MOST_LAYERS}; choose with --layers")
        arrays = {f"rows{number:04d}": self.rows[layer.name] for number, layer in enumerate(self.layers)}
        if self.ids is not None:
            arrays["ids"] = self.ids
        write_arrays(path, FORMAT, {"format_version": FORMAT_VERSION, **self._outline()}, arrays)

    def _outline(self) -> dict[str, Any]:
        skipped = {"origin", "rows", "ids", "layers", "reruns"}
        stated = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in skipped
        }
        return {
            **stated,
            "n": self.n,
            "order_sha256": None if self.ids is None else fingerprint(self.ids),
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
            "reruns": [dataclasses.asdict(rerun) for rerun in self.reruns],
        }


def stored_rows(layer: str, X: np.ndarray, dtype: str) -> tuple[np.ndarray, float, float]:
    """Rows in a storage type, their scale, and what it cost them.

    Raises:
        NumericalError: NaN or infinite rows. DegenerateKernel: all are zero.
    """
    largest = float(np.abs(X).max(initial=0.0))
    if not math.isfinite(largest):
        raise NumericalError(f"layer {one_line(layer, 60)} has NaN or infinite rows; pin another layer")
    if largest == 0:
        raise DegenerateKernel(f"layer {one_line(layer, 60)} is zero for all examples; pin another layer")
    scale = 1.0
    if dtype == "float16":
        scale = math.ldexp(1.0, math.frexp(largest)[1] - LARGEST_EXPONENT)
    stored = (X / scale).astype(TYPES[dtype])
    return stored, scale, change(stored.astype(np.float64) * scale, X)


def change(X: np.ndarray, pinned: np.ndarray) -> float:
    """``‖X − X_pinned‖_F / ‖X_pinned‖_F``: of rows themselves, so that a rotation, which keeps every kernel, is one."""
    difference, scaled = scaled_difference(X, pinned)
    with np.errstate(over="ignore", invalid="ignore"):  # infinite, as whoever asks finds
        return float(np.linalg.norm(difference) / np.linalg.norm(scaled))


def scaled_difference(X: np.ndarray, pinned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``X − X_pinned`` and ``X_pinned`` over the largest entry of ``X_pinned``, in float64."""
    size = float(np.abs(pinned).max())
    scaled = pinned.astype(np.float64) / size
    with np.errstate(over="ignore", invalid="ignore"):
        return X.astype(np.float64) / size - scaled, scaled


def read_pinned(path: str | os.PathLike[str]) -> Pinned:
    """A file of pinned rows.

    Raises:
        UnreadableInput: missing, of another kind or version, damaged, or of rows that no network gives.
    """
    return read_file(path, FORMAT, _read, fix=FIX)


def pinned_in_arrays(path: Path, stored: dict[str, Any]) -> Pinned:
    """What the arrays of a file hold.

    Raises:
        UnreadableInput: as :func:`read_pinned`.
    """
    return at_the_door(path, stored, _read, fix=FIX)


def _read(path: Path, stored: dict[str, Any]) -> Pinned:
    outline = outline_in(path, stored, FORMAT_VERSION)
    kind = TYPES[outline["dtype"]]
    arrays = arrays_in(stored, outline, {"ids": "|u1"}, kind)
    layers = tuple(_layer(stated) for stated in outline["layers"])
    rows = {layer.name: arrays[f"rows{number:04d}"] for number, layer in enumerate(layers)}
    ids, n = arrays.get("ids"), int(outline["n"])
    if not 1 <= len(layers) <= MOST_LAYERS or len(rows) != len(layers) or n < 1:
        raise ValueError("its layers")
    for layer in layers:
        X = rows[layer.name]
        largest = float(np.abs(X).max(initial=0)) * layer.scale if X.shape == (n, layer.width) else math.nan
        if not 0 < largest < math.inf:  # NaN is neither
            raise ValueError(f"rows of {layer.name}")
    if ids is not None and (ids.shape != (n, 16) or fingerprint(ids) != outline["order_sha256"]):
        raise ValueError("its ids")
    gates = tuple((str(field), _number(limit), at_most is True) for field, limit, at_most in outline["gates"])
    limited = bool(gates) or all(layer.limit is not None for layer in layers)
    if not limited or any(field not in FIELDS for field, _, _ in gates) or outline["pool"] not in POOLS:
        raise ValueError("its limits")
    preprocess, data = outline["preprocess"], outline["data"]
    if preprocess is not None and not all(isinstance(each, dict) for each in preprocess):
        raise ValueError("its preprocessing")
    return Pinned(
        origin=str(path),
        network=str(outline["network"]),
        arch=_text(outline["arch"]),
        sha256=_text(outline["sha256"]),
        data=None
        if data is None
        else {"name": str(data["name"]), "split": _text(data["split"]), "seed": int(data["seed"])},
        preprocess=preprocess,
        pool=str(outline["pool"]),
        dtype=outline["dtype"],
        layers=layers,
        rows=rows,
        ids=ids,
        gates=gates,
        alarm=None if outline["alarm"] is None else _number(outline["alarm"]),
        reruns=tuple(Rerun(str(x["dtype"]), int(x["runs"]), _number(x["largest"])) for x in outline["reruns"]),
        versions={str(key): str(value) for key, value in outline["versions"].items()},
        notes=tuple(map(str, outline["notes"])),
    )


def _layer(stated: dict[str, Any]) -> PinnedLayer:
    name, width, limit = stated["name"], stated["width"], stated["limit"]
    scale, floor = _number(stated["scale"]), _number(stated["floor"])
    if not isinstance(name, str) or not name or is_pattern(name) or type(width) is not int or width < 1:
        raise ValueError("a layer")
    if scale <= 0 or math.frexp(scale)[0] != 0.5 or floor < 0:
        raise ValueError("a layer's scale")
    return PinnedLayer(name, width, _text(stated["pool"]), scale, floor, None if limit is None else _number(limit))


def _number(given: object) -> float:
    if not isinstance(given, int | float) or not math.isfinite(given):
        raise ValueError(f"{given!r} is no number")
    return float(given)


def _text(given: object) -> str | None:
    return None if given is None else str(given)
