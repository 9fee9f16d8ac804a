"""What a data set of somebody else gives for one example, made into an input and a label.

A pair ``(x, y)``, which more may follow, a dict, or ``x`` alone. ``x`` is a Pillow image, the bytes of an image file,
an array or a tensor, or a dict of arrays by the names that networks take them by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kernelscope.datasets.arrays import TOKEN_NAMES, arranged, arrangement
from kernelscope.datasets.image_files import decoded, rgb
from kernelscope.datasets.inputs import TOKENS, Value
from kernelscope.errors import Mismatch, one_line
from kernelscope.masked import require_unmasked

IMAGE_NAMES = (
    "image", "img", "images", "pixel_values", "inputs", "x", "jpg", "jpeg", "png", "webp", "ppm", "pgm",
)  # fmt: skip
LABEL_NAMES = ("label", "labels", "y", "fine_label", "cls", "target", "targets", "label_ids")
#: arrays that stand beside inputs and are none: what tokenizers add, and what counts or names examples
NO_INPUTS = {
    "special_tokens_mask", "offset_mapping", "overflow_to_sample_mapping", "idx", "index", "indices", "id", "ids",
}  # fmt: skip


PIXELS = ("uint8", "torch.uint8")


def example_of(item: object, where: str) -> tuple[Value, int | str | None]:
    """One example's input, and its label if it has one: of a longer tuple the first two.

    Raises:
        Mismatch: neither of the forms above, naming the place.
    """
    if isinstance(item, Mapping):
        return _of_mapping(item, where)
    if isinstance(item, (tuple, list)):
        if not item:
            raise Mismatch(f"{where} is an empty {type(item).__name__}, expected (x, y) or x; give one of those")
        value, label = example_of(item[0], where) if isinstance(item[0], Mapping) else (_value(item[0], where), None)
        return value, _label(item[1], where) if len(item) > 1 else label
    return _value(item, where), None


def parts_of(item: object) -> int:
    """How many things a data set gives for one example."""
    return len(item) if isinstance(item, (tuple, list)) else 1


def unbatched(batch: Any) -> Iterator[Any]:
    """The examples of a batch as a DataLoader gives it."""
    if isinstance(batch, Mapping):
        for row in range(len(next(iter(batch.values())))):
            yield {key: values[row] for key, values in batch.items()}
    elif isinstance(batch, (tuple, list)):
        yield from zip(*(unbatched(part) if isinstance(part, Mapping) else part for part in batch))
    else:
        yield from batch


def label_name(names: Iterable[str]) -> str | None:
    """Which of a dict's names is the label."""
    return next((name for name in LABEL_NAMES if name in names), None)


def _of_mapping(item: Mapping[str, object], where: str) -> tuple[Value, int | str | None]:
    name = label_name(item)
    of_tokens = TOKENS in item and name is not None and _length(item[name]) > 1  # as language models learn them
    label = None if name is None or of_tokens else _label(item[name], where)
    images = [key for key in item if key in IMAGE_NAMES and item[key] is not None]
    named = _named_inputs({key: value for key, value in item.items() if key != name}, where)
    if TOKENS not in item and len(images) == 1 and (set(named) <= set(images) or not _are_numbers(item[images[0]])):
        return _value(item[images[0]], where), label
    if not named:
        raise Mismatch(
            f"{where} has {one_line(', '.join(map(str, item)), 60)}, of which {len(images)} may be its input; "
            f"name one image, x or {TOKENS}"
        )
    return named, label


def _length(label: Any) -> int:
    alone = isinstance(label, (str, bytes)) or getattr(label, "ndim", 1) == 0
    return len(label) if hasattr(label, "__len__") and not alone else 1


def _named_inputs(item: Mapping[str, object], where: str) -> dict[str, np.ndarray]:
    """The arrays among what an example holds; single numbers and texts are no inputs."""
    found = {}
    for key, value in item.items():
        if key in TOKEN_NAMES and value is not None:
            found[key] = _tokens(value, f"{where} {key}")
        elif key not in NO_INPUTS:
            array = _array(value, f"{where} {key}")
            if array is not None and array.ndim and array.dtype.kind in "uifb":
                found[str(key)] = array
    return found


def _are_numbers(x: object) -> bool:
    """Whether an image is an array that is no longer one of pixels, so that what stands beside it is an input too."""
    return not isinstance(x, bytes) and not hasattr(x, "convert") and str(getattr(x, "dtype", "")) not in PIXELS


def _value(x: Any, where: str) -> np.ndarray:
    if isinstance(x, bytes):
        return decoded(x, Path(where))
    if hasattr(x, "convert") and hasattr(x, "mode"):  # a Pillow image
        return rgb(x)
    array = _array(x, where)
    if array is None or array.dtype.kind not in "uifb" or array.ndim < 1:
        raise Mismatch(
            f"{where} is a {type(x).__name__}, expected an image, an array or a tensor; convert it in the data set"
        )
    return arranged(array, arrangement((1, *array.shape), array.dtype))


def _tokens(values: object, where: str) -> np.ndarray:
    array = _array(values, where)
    if array is None or array.dtype.kind not in "iu":
        raise Mismatch(f"{where} is no list of whole numbers; tokenize in the data set")
    return array.astype(np.int64)


def _array(x: Any, where: str) -> np.ndarray | None:
    """An array, a tensor or lists of numbers as an array; None for anything else."""
    require_unmasked(x, where)
    if isinstance(x, Mapping) and "array" in x:  # a sound, beside its path and its rate
        x = x["array"]
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        return np.asarray((x.float() if str(x.dtype) == "torch.bfloat16" else x).numpy())
    if isinstance(x, np.ndarray):
        return x
    if isinstance(x, list) and x and not isinstance(x[0], (str, bytes, Mapping)):
        try:
            array = np.asarray(x)
        except ValueError:  # rows of different lengths
            return None
        return array if array.dtype.kind in "uifb" else None
    return None


def _label(y: Any, where: str) -> int | str | None:
    if y is None or isinstance(y, str):
        return y
    if isinstance(y, bytes):
        y = y.decode("ascii", "replace").strip()
        return int(y) if y.lstrip("-").isdigit() else y
    require_unmasked(y, f"label of {where}")
    if hasattr(y, "detach") or isinstance(y, (np.ndarray, np.generic)):
        if int(np.prod(y.shape)) != 1:
            raise Mismatch(
                f"label of {where} has shape {tuple(y.shape)}, expected one class index; give a whole number"
            )
        y = y.item()
    if isinstance(y, (int, float)) and y == int(y):
        return int(y)
    raise Mismatch(f"label of {where} is {one_line(repr(y), 40)}, expected one class index; give a whole number")
