"""Inputs in array files, and in memory: ``.npy`` holds inputs, ``.npz`` and HDF5 inputs and labels by name.

Inputs are called ``inputs``, ``images`` or ``x``; tokens ``input_ids`` beside ``attention_mask``; labels are called
``labels`` or ``y``, and the names of classes ``classes``. Images may have their channels last. What ``.npy`` and
HDF5 hold is read when it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import files, memory
from kernelscope.datasets.examples import Examples
from kernelscope.datasets.hdf5_inputs import open_datasets
from kernelscope.datasets.inputs import MASK, TOKENS, Fields, Hash, Value, content_hash, look_over
from kernelscope.datasets.preprocess import usual
from kernelscope.datasets.splitting import ALL, Splits
from kernelscope.errors import KernelscopeError, Mismatch, UnreadableInput, one_line
from kernelscope.labels import one_per_example, renumbered
from kernelscope.masked import require_unmasked
from kernelscope.numpy_files import open_npy, open_npz

if TYPE_CHECKING:
    from pathlib import Path

INPUT_NAMES = ("inputs", "images", "x")
LABEL_NAMES = ("labels", "y")
CLASS_NAMES = "classes"
TEXT_NAMES = (*LABEL_NAMES, CLASS_NAMES)
TOKEN_NAMES = (TOKENS, MASK, "token_type_ids")
MOST_CLASSES = 2**20
BLOCK, BLOCK_BYTES = 256, 2**26  #: rows read at once, and as much of them


def array_file(path: Path, *, seed: int = 0) -> Splits:
    """The splits of an array file: ``all``, and those drawn from it.

    Raises:
        UnreadableInput: missing, damaged or unsafe; without inputs, or with several arrays that may be they.
        Mismatch: labels that do not fit the inputs.
    """
    path = files.require_readable(path)
    return Splits(str(path), (ALL,), lambda split: _read(path), seed=seed)


def examples_in_memory(
    inputs: object, labels: object = None, *, name: str, split: str = ALL, classes: object = None
) -> Examples:
    """Arrays or tensors as examples.

    Raises:
        Mismatch: masked or sparse arrays, or labels that do not fit.
    """
    require_unmasked(inputs, "inputs")
    return _examples(name, split, {"inputs": _plain(inputs)}, labels, classes)


def _read(path: Path) -> Examples:
    try:
        if path.suffix.lower() == ".npy":
            return _examples(str(path), ALL, {"inputs": open_npy(path)}, None, None)
        zipped = path.suffix.lower() == ".npz"
        arrays = open_npz(path, _is_known) if zipped else open_datasets(path, TEXT_NAMES)
        inputs, labels, classes = _named(arrays, path)
        return _examples(str(path), ALL, inputs, labels, classes)
    except Exception as error:  # the door to a stranger's file
        raise files.not_read(path, error, "save it again; .npy and .h5 are streamed") from error


def _is_known(name: str) -> bool:
    return name.lower() in (*INPUT_NAMES, *LABEL_NAMES, CLASS_NAMES, *TOKEN_NAMES)


def _named(arrays: dict[str, Any], path: Path) -> tuple[dict[str, Any], Any, Any]:
    """Inputs, labels and class names among a file's arrays.

    Raises:
        UnreadableInput: none, or more than one, may be the inputs or the labels.
    """
    tokens = {name: arrays[name] for name in TOKEN_NAMES if name in arrays}
    inputs = [key for key in arrays if key.lower() in INPUT_NAMES]
    labels = [key for key in arrays if key.lower() in LABEL_NAMES]
    if len(inputs) + (TOKENS in tokens) != 1 or len(labels) > 1:
        found = one_line(", ".join(arrays) or "nothing", 60)
        what = "several" if len(labels) > 1 or inputs else "none"
        raise UnreadableInput(
            f"{path} holds {found}: {what} may be its inputs or labels; name one array inputs (or {TOKENS}), one labels"
        )
    chosen = tokens if TOKENS in tokens else {"inputs": arrays[inputs[0]]}
    return chosen, arrays[labels[0]] if labels else None, arrays.get(CLASS_NAMES)


def _examples(name: str, split: str, inputs: dict[str, Any], labels: object, classes: object) -> Examples:
    n = _require_alike(name, inputs)
    numbers, class_names = labels_and_classes(labels, classes, n, name)
    shared: dict[str, Any] = {"name": name, "split": split, "labels": numbers, "classes": class_names}
    if "inputs" not in inputs:
        memory.require(sum(values.nbytes for values in inputs.values()), name, "use fewer examples")
        arrays = {key: np.asarray(values[:]) for key, values in inputs.items()}
        if any(values.dtype.kind not in "iu" for values in arrays.values()):
            raise UnreadableInput(f"{name} holds tokens that are no whole numbers; save them as int64")
        fields = Fields({key: values.astype(np.int64) for key, values in arrays.items()})
        rows = _Rows(name, fields.arrays)
        seen = look_over(rows, range(n), lambda i: rows.item(i)[0], skip_unreadable=False, noun="example")
        return Examples(inputs=fields, ids=seen.ids, **shared)
    array = inputs["inputs"]
    if array.dtype.kind not in "uif" or array.ndim < 2:
        raise UnreadableInput(
            f"{name} has inputs of {array.dtype} {tuple(array.shape)}, expected numbers (n, ...); save them so"
        )
    rows = _Rows(name, {"": array}, arrangement(array.shape, array.dtype))
    seen = look_over(rows, range(n), lambda i: rows.item(i)[0], skip_unreadable=False, noun="example")
    whole = Examples(
        inputs=seen.inputs,
        ids=seen.ids,
        preprocess=usual(arranged(np.empty(array.shape[1:], array.dtype), rows.arrangement).shape, array.dtype),
        **shared,
    )
    in_memory = isinstance(array, np.ndarray) and not isinstance(array, np.memmap)
    return whole.in_memory(array.nbytes) if in_memory else whole


@dataclass(eq=False)
class _Rows:
    """Rows of arrays that lie on disk, read block by block."""

    name: str
    arrays: dict[str, Any]
    arrangement: str = ""
    _first: int = -1
    _block: dict[str, np.ndarray] = field(default_factory=dict)

    def item(self, position: int) -> tuple[Hash, Value]:
        row_bytes = sum(array.nbytes // max(1, array.shape[0]) for array in self.arrays.values())
        rows = max(1, min(BLOCK, BLOCK_BYTES // max(1, row_bytes)))
        first = position // rows * rows
        if first != self._first:
            try:
                self._block = {key: np.asarray(array[first : first + rows]) for key, array in self.arrays.items()}
            except KernelscopeError:
                raise
            except (OSError, ValueError, RuntimeError) as error:
                raise UnreadableInput(
                    f"{self.name} cannot be read at rows from {first} ({one_line(str(error), 70)}); save it again"
                ) from error
            self._first = first
        row = {key: values[position - first] for key, values in self._block.items()}
        if "" not in row:
            return content_hash(row), row
        return content_hash(row[""]), arranged(row[""], self.arrangement)


def arrangement(shape: tuple[int, ...], dtype: np.dtype) -> str:
    """How images ``(n, ...)`` are stored: ``last`` where channels are, ``grey`` where there are none, else nothing."""
    if len(shape) == 4 and shape[3] in (1, 3) and shape[1] not in (1, 3):
        return "last"
    return "grey" if len(shape) == 3 and dtype == np.uint8 else ""


def arranged(example: np.ndarray, how: str) -> np.ndarray:
    """One image as ``(c, h, w)``."""
    if how == "last":
        return np.ascontiguousarray(example.transpose(2, 0, 1))
    return example[None] if how == "grey" else example


def labels_and_classes(labels: Any, classes: Any, n: int, name: str) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Class of each example as a number, and the names of the classes: given, or the words that labels are.

    Raises:
        Mismatch: not one whole number or word for each example, or classes below 0 or without number.
    """
    if labels is None:
        return None, ()
    if hasattr(labels, "shape") and tuple(labels.shape[:1]) != (n,):  # before all of it is read
        raise Mismatch(f"{name} labels have shape {tuple(labels.shape)}, expected ({n},); give one class per example")
    numbers, words = one_per_example(labels, n, f"{name} labels")
    names = () if classes is None else tuple(_word(word) for word in np.asarray(classes[:]).ravel())
    if words and names:
        return renumbered(numbers, words, names, f"{name} labels"), names
    if words:
        return numbers, words
    if n and numbers.max() >= MOST_CLASSES:
        raise Mismatch(
            f"{name} labels hold {numbers.max()}, expected class indices from 0; correct the labels or leave them out"
        )
    return numbers, names or tuple(map(str, range(int(numbers.max()) + 1)))


def _require_alike(name: str, inputs: dict[str, Any]) -> int:
    lengths = {key: int(values.shape[0]) if values.ndim else 0 for key, values in inputs.items()}
    n = next(iter(lengths.values()))
    if any(length != n for length in lengths.values()):
        found = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise Mismatch(f"{name} has arrays of different lengths ({found}); give one row per example")
    if not n or not all(values.nbytes for values in inputs.values()):
        raise UnreadableInput(f"{name} holds no examples; save it again")
    return n


def _plain(given: object) -> Any:
    """A tensor as an array; anything else as it is, if it can be sliced."""
    if hasattr(given, "detach"):
        x = given.detach().cpu()
        try:
            return (x.float() if str(x.dtype) == "torch.bfloat16" else x).numpy()
        except (TypeError, RuntimeError) as error:  # of tensors that are sparse or quantised
            reason = one_line(str(error), 60)
            raise Mismatch(f"inputs cannot be read as an array ({reason}); give a dense tensor of floats") from error
    return given if hasattr(given, "shape") and not hasattr(given, "iloc") else np.asarray(given)


def _word(value: object) -> str:
    return one_line(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value), 60)
