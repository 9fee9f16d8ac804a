"""A data set by its name.

digits   shapes(classes=100,n=6400)   cifar10:DIR   cifar100:DIR   tiny-imagenet:DIR   folder:DIR
FILE.npy   FILE.npz   FILE.h5   pkg.mod:factory   pkg.mod:factory(key=value)
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kernelscope.datasets.reading import Reading
from kernelscope.datasets.splitting import TRAINING, Splits
from kernelscope.errors import Mismatch, UsageError, one_line
from kernelscope.terms import Term, parse_term

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernelscope.datasets.examples import Examples

MADE = ("digits", "shapes")  #: need no file
READERS = ("cifar10", "cifar100", "tiny-imagenet", "folder")  #: are followed by a folder
FILES = (".npy", ".npz", ".h5", ".hdf5")
Made = TypeVar("Made")
NAMES = (*MADE, *(f"{reader}:DIR" for reader in READERS), "FILE.npy|.npz|.h5", "pkg.mod:factory")


def load(
    name: str, split: str | None = None, *, seed: int = 0, limit: int | None = None, reading: Reading | None = None
) -> Examples:
    """The examples of one split, by default the one to measure on; ``seed`` draws splits where there are none.

    Args:
        limit, seed: as in ``reading``, which holds everything else and takes precedence.

    Raises:
        UsageError: an unknown data set or split, or a limit below 1.
        UnreadableInput, Mismatch: files that are missing, broken, or do not belong together.
    """
    reading = reading or Reading(seed=seed, limit=limit)
    data = open_data(name, reading, split)
    if reading.sample is not None and reading.most is None and data.can_draw:
        return data.sampled(split, reading.sample, reading.sample_seed)
    return limited(data.split(split), reading)


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


def limited(examples: Examples, reading: Reading) -> Examples:
    """The first ``reading.n`` or ``reading.limit`` examples, the fewer of both; of these the sample.

    Raises:
        Mismatch: fewer than n, or than the sample. UsageError: a number below 1.
    """
    if reading.n is not None and examples.n < reading.n:
        raise Mismatch(f"{examples.name} has {examples.n} of the {reading.n} examples asked for; lower --n")
    first = examples if reading.most is None else examples.head(reading.most)
    return first if reading.sample is None else first.sample(reading.sample, reading.sample_seed)


def open_data(name: str, reading: Reading, split: str | None) -> Splits:
    """A data set before a split of it is read."""
    kind, rest, term = _kind(name)
    match kind:
        case "digits":
            return _digits(term, reading.seed)
        case "shapes":
            from kernelscope.datasets.shapes import Shapes

            return called(Shapes, term).splits()
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

            return factory(term, reading, split)


def called(make: Callable[..., Made], term: Term) -> Made:
    """``make(**term.options)``; what it does not take is refused with the nearest name."""
    import inspect

    accepted = list(inspect.signature(make).parameters)
    for option in term.options:
        if option not in accepted:
            near = difflib.get_close_matches(option, accepted, n=1)
            hint = f"did you mean {near[0]}" if near else f"it takes {', '.join(accepted) or 'none'}"
            raise UsageError(f"data set {one_line(term.text, 60)} has no option {option!r}; {hint}")
    return make(**term.options)


def _digits(term: Term, seed: int) -> Splits:
    from kernelscope.datasets.digits import digits

    called(lambda: None, term)
    return Splits("digits", TRAINING, lambda split: digits(split, seed=seed), seed=seed)


def _kind(name: str) -> tuple[str, str, Term]:
    """What reads a data set, the path it reads where it is one, and its name with its options.

    Raises:
        UsageError: none of the kinds, or options that are written otherwise.
    """
    reader, colon, rest = name.partition(":")
    if colon and reader in READERS:
        if not rest:
            raise UsageError(f"data set {name!r} names no folder; write {reader}:DIR")
        return reader, rest, Term(reader)
    if name.lower().endswith(FILES):
        return "file", name, Term(name)
    try:
        term = parse_term(name, "data set")
    except UsageError:
        if "(" in name:
            raise
        raise _unknown(name) from None
    if term.layer is None and ":" in term.name:
        return "factory", "", term
    if term.layer is None and term.name in MADE:
        return term.name, "", term
    raise _unknown(name)


def _unknown(name: str) -> UsageError:
    word = re.split(r"[:(]", name)[0]
    near = difflib.get_close_matches(word, (*MADE, *READERS), n=1)
    if near:
        known = f"did you mean {near[0]}{':DIR' if near[0] in READERS else ''}"
    else:
        known = f"there is {', '.join(NAMES)}"
    return UsageError(f"unknown data set {one_line(name, 60)!r}; {known}")
