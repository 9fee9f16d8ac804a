"""Maps of queries on disk: ``.safetensors`` with what they are, or one ``.npy`` matrix for three lines of NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import files
from kernelscope.errors import UnreadableInput, UsageError, one_line, shown
from kernelscope.kernels.similarity.query_maps import QueryMap
from kernelscope.numpy_files import load_npy
from kernelscope.version import __version__

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

FORMAT = "kernelscope.map"
SUFFIXES = (".safetensors", ".npy")


def require_map_path(path: str | os.PathLike[str]) -> Path:
    """A path that a map can be written to.

    Raises:
        UsageError: neither of the two kinds of file.
    """
    if Path(path).suffix not in SUFFIXES:
        raise UsageError(f"{shown(path)} is no place for a map; name a file that ends in {' or '.join(SUFFIXES)}")
    return Path(path)


def write_map(path: str | os.PathLike[str], found: QueryMap, similarity: str) -> None:
    """Write a map in single precision, whole or not at all.

    ``.npy`` has shape ``(d_S + 1, d_T)``, the offset in its last row: ``x @ M[:-1] + M[-1]``.
    """
    path = require_map_path(path)
    if path.suffix == ".npy":
        W = found.A if found.B is None else found.A @ found.B
        M = np.vstack([W, found.after - found.before @ W]).astype(np.float32)
        files.write_by(path, lambda stream: np.save(stream, M))
        return
    from safetensors.numpy import save

    tensors = {"A": found.A, "before": found.before, "after": found.after}
    tensors |= {} if found.B is None else {"B": found.B}
    described = {"format": FORMAT, "kind": found.kind, "similarity": similarity, "kernelscope": __version__}
    content = save({name: np.ascontiguousarray(each, np.float32) for name, each in tensors.items()}, described)
    files.write_by(path, lambda stream: stream.write(content))


def load_map(path: str | os.PathLike[str]) -> QueryMap:
    """A map that ``adapt`` wrote: call it with the student's queries ``(q, d_S)`` for the teacher's space ``(q, d_T)``.

    Examples:
        >>> import numpy as np, kernelscope as ks
        >>> X = np.random.default_rng(0).standard_normal((400, 16))
        >>> found = ks.adapt(teacher=X, student=2 * X[:, ::-1], queries=100, out="map.safetensors")
        >>> queries = ks.load_map("map.safetensors")(2 * X[:3, ::-1])
        >>> queries.shape
        (3, 16)

    Raises:
        UnreadableInput: no such file, or none of a map.
    """
    path = files.require_readable(path)
    if path.suffix == ".npy":
        M = np.asarray(load_npy(path))
        if M.ndim != 2 or len(M) < 2 or M.dtype.kind != "f" or not np.isfinite(M).all():
            raise UnreadableInput(f"{shown(path)} is no map: {M.dtype} of shape {M.shape}, expected (d_S + 1, d_T)")
        return QueryMap("linear", M[:-1].astype(np.float64), np.zeros(len(M) - 1), M[-1].astype(np.float64))
    return _of_tensors(path)


def _of_tensors(path: Path) -> QueryMap:
    from safetensors import SafetensorError, safe_open

    try:
        with files.reading(path), safe_open(path, framework="np") as file:
            described: Mapping[str, str] = file.metadata() or {}
            found = {name: file.get_tensor(name) for name in ("A", "B", "before", "after") if name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UnreadableInput(f"{shown(path)} is no map ({one_line(str(error), 60)}); write it again") from error
    if described.get("format") != FORMAT or not _fits(found):
        raise UnreadableInput(f"{shown(path)} is no map of kernelscope; write one with kernelscope adapt")
    parts: dict[str, Any] = {name: values.astype(np.float64) for name, values in found.items()}
    return QueryMap(str(described.get("kind", "linear")), **parts)


def _fits(found: Mapping[str, np.ndarray]) -> bool:
    """Whether the parts make a map."""
    if not {"A", "before", "after"} <= set(found) or any(X.dtype.kind != "f" for X in found.values()):
        return False
    A, B = found["A"], found.get("B")
    if A.ndim != 2 or (B is not None and (B.ndim != 2 or len(B) != A.shape[1])):
        return False
    wide = A.shape[1] if B is None else B.shape[1]
    whole = found["before"].shape == (len(A),) and found["after"].shape == (wide,)
    return whole and all(np.isfinite(X).all() for X in found.values())
