"""A table in memory, columns by name, read as examples by number: what tokenizers give, and dicts of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kernelscope.datasets.inputs import MASK, TOKENS
from kernelscope.datasets.items import IMAGE_NAMES, LABEL_NAMES
from kernelscope.errors import Mismatch, one_line

NAMES = {TOKENS, MASK, *IMAGE_NAMES, *LABEL_NAMES, "input_values", "input_features", "inputs_embeds", "audio"}
SPLITS = {"train", "training", "validation", "valid", "val", "dev", "test", "all"}


class Columns:
    """Row i of every column as a dict.

    Raises:
        Mismatch: columns of different lengths.
    """

    def __init__(self, columns: Mapping[Any, Any], name: str) -> None:
        self._columns = {str(key): _by_place(values) for key, values in columns.items() if _is_column(values)}
        lengths = {key: len(values) for key, values in self._columns.items()}
        if len(set(lengths.values())) > 1:
            found = one_line(", ".join(f"{key} {length}" for key, length in lengths.items()), 90)
            raise Mismatch(f"{name} has columns of different lengths ({found}); give one row per example")
        self._length = next(iter(lengths.values()), 0)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {key: values[row] for key, values in self._columns.items()}


def is_table(data: Mapping[Any, Any], split: str | None) -> bool:
    """Whether a mapping is one set of examples by columns, and not one of splits by their names."""
    if split in data or SPLITS & set(data):
        return False
    held = [values for values in data.values() if values is not None]
    return not NAMES.isdisjoint(data) or (bool(held) and all(hasattr(values, "dtype") for values in held))


def _is_column(values: object) -> bool:
    if getattr(values, "ndim", 1) == 0 or isinstance(values, (str, bytes, Mapping)):
        return False
    return hasattr(values, "__len__") and hasattr(values, "__getitem__")


def _by_place(values: Any) -> Any:
    """What is counted by an index of its own, as a column of pandas is, counted from 0."""
    return np.asarray(values) if hasattr(values, "iloc") else values
