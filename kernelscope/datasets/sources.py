"""A data set by its name.

digits   shapes(classes=100,n=6400)   cifar10:DIR   cifar100:DIR   tiny-imagenet:DIR   folder:DIR
FILE.npy   FILE.npz   FILE.h5   pkg.mod:factory   pkg.mod:factory(key=value)
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kernelscope.datasets.examples import Examples
from kernelscope.datasets.reading import Reading
from kernelscope.datasets.splitting import TRAINING, Splits
from kernelscope.errors import Mismatch, UsageError, one_line

MADE = ("digits", "shapes")  #: need no file
READERS = ("cifar10", "cifar100", "tiny-imagenet", "folder")  #: are followed by a folder
FILES = (".npy", ".npz", ".h5", ".hdf5")
NAMES = (*MADE, *(f"{reader}:DIR" for reader in READERS), "FILE.npy|.npz|.h5", "pkg.mod:factory")


def load(
    name: str, split: str | None = None, *, seed: int = 0, limit: int | None = None, reading: Reading | None = None
) -> Examples:
    """The examples of one split, by default the one to measure on; ``seed`` draws splits where there are none.

    Args:
        limit, seed: as in ``reading``, which says everything else and wins.

    Raises:
        UsageError: an unknown data set or split, or a limit below 1.
        UnreadableInput, Mismatch: files that are missing, broken, or do not belong together.
    """
    reading = reading or Reading(seed=seed, limit=limit)
    return shortened(open_data(name, reading, split).split(split), reading)


def parts(name: str, *, seed: int = 0, reading: Reading | None = None) -> tuple[Examples, Examples, Examples]:
    """Training, validation and test examples; see :func:`load`."""
    reading = reading or Reading(seed=seed)
    data = open_data(name, reading, None)
    training, validation, test = (data.split(split) for split in TRAINING)
    return training, validation, test


def splits(name: str) -> tuple[str, ...]:
    """The splits of a data set, the one to train on first and the one to measure on last."""
    return open_data(name, Reading(), None).names


def names_code(name: str) -> bool:
    """Whether reading this data set runs code that its name names: only the person at the keyboard may give it."""
    return _kind(name)[0] == "factory"


def names_files(name: str) -> bool:
    """Whether reading this data set reads files that its name names."""
    return _kind(name)[0] not in MADE


def shortened(examples: Examples, reading: Reading) -> Examples:
    """As many of the first examples as are asked for.

    Raises:
        Mismatch: fewer than n. UsageError: a limit below 1.
    """
    if reading.n is not None and examples.n < reading.n:
        raise Mismatch(f"{examples.name} has {examples.n} of the {reading.n} examples asked for; lower --n")
    return examples if reading.most is None else examples.head(reading.most)


def open_data(name: str, reading: Reading, split: str | None) -> Splits:
    """A data set before a split of it is read."""
    kind, rest, options = _kind(name)
    match kind:
        case "digits":
            return _digits(options, reading.seed)
        case "shapes":
            from kernelscope.datasets.shapes import Shapes

            return called(Shapes, options, name).splits()
        case "cifar10" | "cifar100":
            from kernelscope.datasets.cifar import cifar

            return cifar(Path(rest), kind, seed=reading.seed)
        case "tiny-imagenet":
            from kernelscope.datasets.tiny_imagenet import tiny_imagenet

            return tiny_imagenet(Path(rest), seed=reading.seed, skip_unreadable=reading.skip_unreadable)
        case "folder":
            from kernelscope.datasets.folder import folder

            return folder(Path(rest), seed=reading.seed, skip_unreadable=reading.skip_unreadable)
        case "file":
            from kernelscope.datasets.arrays import array_file

            return array_file(Path(rest), seed=reading.seed)
        case _:
            from kernelscope.datasets.foreign import factory

            return factory(rest, options, reading, split)


def called(make: Callable[..., Any], options: dict[str, Any], name: str) -> Any:
    """``make(**options)``; what it does not take is refused with the nearest name."""
    import inspect

    accepted = list(inspect.signature(make).parameters)
    for option in options:
        if option not in accepted:
            near = difflib.get_close_matches(option, accepted, n=1)
            hint = f"did you mean {near[0]}" if near else f"it takes {', '.join(accepted) or 'none'}"
            raise UsageError(f"data set {one_line(name, 60)} has no option {option!r}; {hint}")
    return make(**options)


def _digits(options: dict[str, Any], seed: int) -> Splits:
    from kernelscope.datasets.digits import digits

    called(lambda: None, options, "digits")
    return Splits("digits", TRAINING, lambda split: digits(split, seed=seed), seed=seed)


def _kind(name: str) -> tuple[str, str, dict[str, Any]]:
    """What reads a data set, the path or the dotted name it reads, and its options.

    Raises:
        UsageError: none of the kinds.
    """
    reader, colon, rest = name.partition(":")
    if colon and reader in READERS:
        if not rest:
            raise UsageError(f"data set {name!r} names no folder; write {reader}:DIR")
        return reader, rest, {}
    if name.lower().endswith(FILES):
        return "file", name, {}
    match = re.fullmatch(r"\s*([\w.\-]+(?::[\w.]+)?)\s*(\(.*\))?\s*", name, flags=re.DOTALL)
    if match is not None:
        word, options = match[1], options_of(match[2] or "()", name)
        if ":" in word:
            return "factory", word, options
        if word in MADE:
            return word, "", options
    raise _unknown(name)


def options_of(text: str, name: str) -> dict[str, Any]:
    """``(key=value, ...)`` as a dict: numbers, texts, lists, true and false; a bare word is a text.

    Raises:
        UsageError: anything else.
    """
    try:
        call = ast.parse(f"f{text}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or any(keyword.arg is None for keyword in call.keywords):
            raise ValueError
        return {str(keyword.arg): _literal(keyword.value) for keyword in call.keywords}
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise UsageError(
            f"data set {one_line(name, 60)!r} is not NAME(key=value,...); write for example shapes(classes=100,n=6400)"
        ) from error


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return {"true": True, "false": False, "none": None}.get(node.id, node.id)
    return ast.literal_eval(node)


def _unknown(name: str) -> UsageError:
    word = re.split(r"[:(]", name)[0]
    near = difflib.get_close_matches(word, (*MADE, *READERS), n=1)
    if near:
        known = f"did you mean {near[0]}{':DIR' if near[0] in READERS else ''}"
    else:
        known = f"there is {', '.join(NAMES)}"
    return UsageError(f"unknown data set {one_line(name, 60)!r}; {known}")
