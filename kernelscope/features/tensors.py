"""Features that torch or safetensors saved: a tensor, or a dict of tensors that are no weights."""

from __future__ import annotations

import json
import math
import re
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.errors import UnreadableInput, one_line, shown
from kernelscope.features.arrays import ID_NAMES, LABEL_NAMES, ArrayFeatures, of_arrays
from kernelscope.files import not_read, reading
from kernelscope.numpy_files import ArrayFile
from kernelscope.plain_file import OpenFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MOST_TENSORS = 64  #: files of more hold a network, and are not read to see whether they hold features
MOST_ITEMS, DEEPEST = 10_000, 3
MOST_HEADER_BYTES = 2**20  #: of a safetensors file of features
OF_ROWS = {*LABEL_NAMES, *ID_NAMES}
#: what the names of weights end in, and what those of features hold
OF_WEIGHTS = re.compile(
    r"(^|[./_])(weight|bias|gamma|beta|running_mean|running_var|num_batches_tracked|weight_[gvu]|in_proj_\w+|lora_[AB])([._]|$)"
)
OF_FEATURES = re.compile(
    r"feat|embed|activation|hidden|repr|logit|vector|layer|block|pool|cls|output|(^|/)[xzh]$", re.IGNORECASE
)
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "U8": "|u1", "I8": "|i1"}


def open_tensors(path: Path, part: str | None) -> ArrayFeatures | None:
    """The features in a file of torch or safetensors; None where it holds a network, or is no such file.

    Raises:
        UnreadableInput: damaged; features that are not (n, d); or features and weights, of which neither is named.
    """
    with reading(path), path.open("rb") as stream:
        head, size = stream.read(9), path.stat().st_size
    header = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and header <= size - 8:
        return _of_safetensors(path, header, part) if header <= MOST_HEADER_BYTES else None
    if head.startswith(b"PK"):
        return _of_torch(path, part) if _storages(path) <= MOST_TENSORS else None
    return _of_torch(path, part) if head.startswith(b"\x80") else None


def are_features(path: Path, shapes: Mapping[str, tuple[tuple[int, ...], str]], part: str | None) -> bool:
    """Whether arrays, of which shapes and kinds of numbers are known, are features and no weights.

    Raises:
        UnreadableInput: both may be.
    """
    if part is not None:
        shapes = {key: each for key, each in shapes.items() if key == part or key.startswith(f"{part}/")}
    weights = [key for key in shapes if OF_WEIGHTS.search(key)]
    rest = {key: each for key, each in shapes.items() if key not in weights and _last(key) not in OF_ROWS}
    likely = [key for key, (shape, kind) in rest.items() if kind == "f" and len(shape) > 1 and OF_FEATURES.search(key)]
    if weights:
        apart = [key for key in likely if all(_group(key) != _group(other) for other in weights)]
        if apart:
            raise UnreadableInput(
                f"{shown(path)} holds features ({one_line(apart[0], 30)}) and weights ({one_line(weights[0], 40)}); "
                f"name one, as {one_line(path.name, 30)}::{one_line(apart[0], 30)}"
            )
        return False
    rows = {shape[0] for shape, kind in rest.values() if kind == "f" and len(shape) == 2}
    alike = len(rows) == 1 and max(rows) > 1 and all(len(shape) == 2 for shape, kind in rest.values() if kind == "f")
    return bool(likely) or alike


def _storages(path: Path) -> float:
    """How many storages of tensors a torch file has; infinitely many where it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            is_torch = any(name.endswith("/data.pkl") for name in names)
            return sum("/data/" in name for name in names) if is_torch else math.inf
    except Exception:  # the door to a stranger's file: what reads weights says what is wrong
        return math.inf


def _of_torch(path: Path, part: str | None) -> ArrayFeatures | None:
    from kernelscope.checkpoints import weights_file

    with weights_file.opened(path) as contents:
        document: Any = contents.document
        if isinstance(document, dict) and {"format", "state_dict"} <= document.keys():  # our own checkpoint
            return None
        _require_tensors(path, document)
        if isinstance(document, (tuple, list)) and _are_pair(document):
            document = {"features": document[0], "labels": document[1]}
        held = dict(_arrays("", document))
        if "" in held:
            return of_arrays(path, {"tensor": _matrix(path, "tensor", held[""])}, part or "tensor")
        if not are_features(path, {key: (X.shape, X.dtype.kind) for key, X in held.items()}, part):
            return None
        return of_arrays(path, {key: _matrix(path, key, X) for key, X in held.items()}, part)


def _are_pair(document: Any) -> bool:
    """Whether features and labels stand side by side."""
    import torch

    if len(document) != 2 or not all(isinstance(each, torch.Tensor) for each in document):
        return False
    X, y = document
    return X.ndim == 2 and X.is_floating_point() and y.ndim == 1 and len(X) == len(y) and not y.is_floating_point()


def _require_tensors(path: Path, document: Any) -> None:
    """Refuse features in forms that are nearly right, with what makes them so.

    Raises:
        UnreadableInput: pickled arrays of NumPy, or a list or dict of vectors or batches.
    """
    import torch

    from kernelscope.checkpoints.stubs import Stub

    if isinstance(document, torch.Tensor) and (document.layout != torch.strided or document.is_quantized):
        kind = "quantised" if document.is_quantized else "sparse"
        raise UnreadableInput(
            f"{shown(path)} holds a {kind} tensor, expected features (n, d); save it dense, as floats"
        )
    values = list(document.values()) if isinstance(document, dict) else document
    parts = [values] if not isinstance(values, (list, tuple)) else values
    if any(isinstance(each, Stub) and each.name.startswith("numpy") for each in parts[:MOST_ITEMS]):
        raise UnreadableInput(f"{shown(path)} holds arrays of NumPy, which are not unpickled; save them by numpy.save")
    if len(parts) < 2 or not all(isinstance(each, torch.Tensor) and each.is_floating_point() for each in parts):
        return
    if isinstance(document, dict) and any(OF_WEIGHTS.search(str(key)) for key in document):
        return
    kinds = {tuple(each.shape[1:]) if each.ndim == 2 else tuple(each.shape) for each in parts}
    if isinstance(document, dict) and {each.ndim for each in parts} != {1}:
        return
    if len(kinds) == 1 and {each.ndim for each in parts} in ({1}, {2}):
        join = "torch.stack" if parts[0].ndim == 1 else "torch.cat"
        of = f"{join}(list(x.values()))" if isinstance(document, dict) else f"{join}(x)"
        raise UnreadableInput(
            f"{shown(path)} holds {len(parts):,} tensors x, expected one of features (n, d); save {of}"
        )


def _arrays(where: str, value: Any, depth: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """Tensors as arrays, and lists that describe rows, by the keys that lead to them."""
    import torch

    if isinstance(value, torch.Tensor):
        if value.layout == torch.strided and not value.is_quantized:
            narrow = value.dtype.is_floating_point and value.dtype not in (torch.float16, torch.float32, torch.float64)
            yield where, (value.detach().float() if narrow else value.detach()).numpy()
    elif isinstance(value, dict) and depth < DEEPEST:
        for key, inner in list(value.items())[:MOST_ITEMS]:
            yield from _arrays(f"{where}/{key}" if where else str(key), inner, depth + 1)
    elif isinstance(value, (list, tuple)) and _last(where) in OF_ROWS and _are_names(value):
        yield where, np.array(value)


def _are_names(values: list[Any] | tuple[Any, ...]) -> bool:
    return bool(values) and all(isinstance(each, (str, int)) for each in values)


def _matrix(path: Path, key: str, X: np.ndarray) -> np.ndarray:
    """The array, if it is not one of features that have positions or samples left."""
    if X.dtype.kind == "f" and X.ndim > 2:
        raise UnreadableInput(
            f"{shown(path)} holds {one_line(key, 40)} of shape {X.shape}, expected features (n, d); save it pooled, "
            "as X.flatten(2).mean(2), or X.flatten(1)"
        )
    return X


def _of_safetensors(path: Path, header: int, part: str | None) -> ArrayFeatures | None:
    """Told by the header alone; the tensors stay on the disk."""
    file = OpenFile(path)
    try:
        described = json.loads(file.read_at(8, header).tobytes())
        stated = {key: each for key, each in described.items() if key != "__metadata__"}
        shapes = {key: (tuple(map(int, each["shape"])), _kind(each["dtype"])) for key, each in stated.items()}
        if len(shapes) > MOST_TENSORS or not are_features(path, shapes, part):
            return None
        if any(each["dtype"] == "BF16" for each in stated.values()):
            return _of_torch(path, part)  # which has the type
        content = {key: _placed(path, file, key, each, 8 + header) for key, each in stated.items()}
        return of_arrays(path, content, part)
    except Exception as error:  # the door to a stranger's file
        raise not_read(path, error, "save it again") from error


def _placed(path: Path, file: OpenFile, key: str, stated: dict[str, Any], start: int) -> Any:
    if stated["dtype"] not in TYPES:
        return f"of type {one_line(str(stated['dtype']), 20)}, which is no matrix of floats"
    dtype, shape = np.dtype(TYPES[stated["dtype"]]), tuple(map(int, stated["shape"]))
    first, end = (int(offset) for offset in stated["data_offsets"])
    if min(shape, default=0) < 0 or not 0 <= first <= end <= file.size - start:
        raise ValueError(f"{one_line(key, 30)} lies outside of the file")
    if end - first != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{one_line(key, 30)} declares {shape} in {end - first} bytes")
    return _matrix(path, key, ArrayFile(file, shape, False, dtype, start + first))  # type: ignore[arg-type]


def _kind(dtype: object) -> str:
    return "f" if str(dtype).startswith(("F", "BF")) else "i"


def _last(key: str) -> str:
    return key.rpartition("/")[2].lower()


def _group(key: str) -> str:
    return key.rpartition("/")[0]
