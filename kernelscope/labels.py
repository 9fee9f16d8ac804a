"""Class or group of each example, told from the form it was given in: numbers, words, categories, tensors, lists.

What is in doubt (a missing value, half a class, a mask) is refused by what it is, with the row it stands in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.errors import Mismatch, encodable, one_line
from kernelscope.masked import is_masked, require_unmasked

if TYPE_CHECKING:
    from collections.abc import Sequence

EXPECTED = "expected whole numbers from 0, or words"
MISSING = {"", "nan", "NaN", "<NA>"}  #: words that a program has written for a value that is not there


def one_per_example(
    given: Any, n: int, what: str = "labels", noun: str = "class"
) -> tuple[np.ndarray, tuple[str, ...]]:
    """A whole number for each of n examples, int64; and where words were given, those, in the order of the numbers.

    Args:
        given: n numbers or words: an array ``(n,)`` or ``(n, 1)``, a tensor, a list, a categorical, anything of these.

    Raises:
        Mismatch: another shape, masked, missing or negative values, halves, or a type that is none of classes.
    """
    values = _array(given, what)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (n,):
        fix = f"give one {noun} per example"
        if values.ndim == 2 and len(values) == n and values.dtype.kind in "iufb" and _one_hot(values):
            fix += ", of one-hot rows their argmax(1)"
        raise Mismatch(f"{what} have shape {values.shape}, expected ({n},); {fix}")
    if values.dtype.kind == "O":
        values = _of_one_kind(values.tolist(), what, noun)
    if values.dtype.kind in "UST":
        return numbered([_text(word) for word in values.tolist()], what, noun)
    if values.dtype.kind not in "iufb":
        raise Mismatch(f"{what} are of type {one_line(str(values.dtype), 40)}, {EXPECTED}; convert them")
    return _whole(values, what, noun), ()


def numbered(words: Sequence[str], what: str, noun: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """The place of each word in the order of all that occur, and those.

    Raises:
        Mismatch: a word that stands for none.
    """
    names = sorted(set(words))
    if absent := MISSING.intersection(names):
        row = next(i for i, word in enumerate(words) if word in absent)
        raise Mismatch(f"{what} hold {words[row]!r} in row {row}, which is no {noun}; give it one, or leave it out")
    place = {name: i for i, name in enumerate(names)}
    numbers = np.fromiter((place[word] for word in words), np.int64, len(words))
    return numbers, tuple(one_line(encodable(name), 60) for name in names)


def renumbered(numbers: np.ndarray, words: Sequence[str], names: Sequence[str], what: str) -> np.ndarray:
    """The same by the order of ``names``, which the words are among.

    Raises:
        Mismatch: a word that is none of them.
    """
    if others := [word for word in words if word not in names]:
        raise Mismatch(
            f"{what} hold {one_line(others[0], 40)!r}, which is none of the {len(names)} classes named; correct either"
        )
    order = np.array([names.index(word) for word in words])
    found: np.ndarray = order[numbers]
    return found


def _array(given: Any, what: str) -> np.ndarray:
    require_unmasked(given, what)
    try:
        if hasattr(given, "detach"):
            found: np.ndarray = given.detach().cpu().numpy()
            return found
        if isinstance(given, (list, tuple)):  # NumPy would make text of numbers that stand beside words
            return np.array(given, dtype=object)
        return np.asarray(given[:] if hasattr(given, "shape") and not hasattr(given, "__array__") else given)
    except (TypeError, ValueError, RuntimeError) as error:  # of libraries that hand no numbers over
        raise Mismatch(
            f"{what} cannot be read as an array ({one_line(str(error), 60)}); convert them to numpy.int64"
        ) from error


def _of_one_kind(values: list[Any], what: str, noun: str) -> np.ndarray:
    """Objects as an array of numbers or of words."""
    plain = [value.item() if _is_scalar(value) else value for value in values]
    for row, value in enumerate(plain):
        if not isinstance(value, (str, bytes, int, float)) or value != value:
            raise Mismatch(
                f"{what} hold {one_line(repr(value), 30)} in row {row}, {EXPECTED}; give it a {noun}, or leave it out"
            )
    words = [isinstance(value, (str, bytes)) for value in plain]
    if not any(words):
        return np.array(plain)
    if not all(words):
        one, other = (next(i for i, word in enumerate(words) if word is kind) for kind in (True, False))
        raise Mismatch(
            f"{what} hold words and numbers, {one_line(repr(plain[one]), 20)} in row {one} and {plain[other]!r} "
            f"in row {other}; give one kind"
        )
    return np.array([_text(value) for value in plain])


def _is_scalar(value: Any) -> bool:
    """Whether it is a number of NumPy or torch, and not one that is masked."""
    return hasattr(value, "item") and getattr(value, "shape", None) == () and not is_masked(value)


def _text(word: str | bytes) -> str:
    return word.decode("utf-8", "surrogateescape") if isinstance(word, bytes) else word


def _whole(values: np.ndarray, what: str, noun: str) -> np.ndarray:
    if values.dtype.kind == "f":
        exact = 2 / np.finfo(values.dtype).eps  # whole numbers above may have been rounded
        bad = ~((values == np.round(values)) & (np.abs(values) <= exact))
    else:
        bad = values > np.iinfo(np.int64).max if values.dtype.kind == "u" else np.zeros(len(values), bool)
    bad |= values < 0
    if bad.any():
        row = int(np.argmax(bad))
        raise Mismatch(f"{what} hold {values[row]} in row {row}, {EXPECTED}; give it a {noun}, or leave it out")
    return values.astype(np.int64)


def _one_hot(values: np.ndarray) -> bool:
    return bool(((values == 0) | (values == 1)).all() and (values.sum(1) == 1).all())
