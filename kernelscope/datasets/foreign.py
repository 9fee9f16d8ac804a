"""Data sets of other people's code, by the name of what makes them or as objects in memory."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelscope.datasets.arrays import examples_in_memory
from kernelscope.datasets.columns import Columns, is_table
from kernelscope.datasets.examples import Examples
from kernelscope.datasets.foreign_scan import examples_of
from kernelscope.datasets.splitting import ALL, TRAINING, Splits
from kernelscope.errors import KernelscopeError, UsageError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernelscope.datasets.reading import Reading
    from kernelscope.terms import Term


def factory(term: Term, reading: Reading, split: str | None) -> Splits:
    """The splits of what ``pkg.mod:factory`` makes; the working folder is importable.

    A factory that takes ``split`` is asked for the split wanted (``test`` where none is named); what another makes is
    one set, of which training, validation and test are drawn.

    Raises:
        UsageError: it cannot be imported or called.
    """
    make = _imported(term.name)
    name = one_line(str(term), 120)
    asks = "split" not in term.options and _takes_split(make)

    def read(part: str) -> Examples:
        chosen = {**term.options, "split": part} if asks else term.options
        most = reading.most if asks or split in (None, ALL) else None
        return examples_of(lambda: _called(make, chosen, name), name=name, split=part, reading=reading, most=most)

    own = {*TRAINING, *([split] if split else [])} if asks else {ALL}
    return Splits(name, own, read, seed=reading.seed)


def given(data: Any, reading: Reading, split: str | None) -> Examples:
    """Examples of an object in memory.

    Examples, ``(X, y)``, an array, columns by name, a Dataset, a DataLoader, an iterable, or what makes one of these.

    Raises:
        Mismatch: it shuffles, or drops examples. UsageError: it can be read only once, or has no length and no n.
    """
    if isinstance(data, Examples):
        return data
    part, name = split or ALL, type(data).__name__
    if isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], Mapping):
        data = {**data[0], **({} if data[1] is None else {"labels": data[1]})}
    if isinstance(data, Mapping) and is_table(data, split):
        data = Columns(data, name)
    if isinstance(data, tuple) and (len(data) == 2 or _are_columns(data)):
        found = examples_in_memory(*data[:2], name="arrays", split=part)
        more = f"of the {len(data)} arrays given, the first holds the inputs and the second the labels"
        return found if len(data) == 2 else replace(found, notes=(*found.notes, more))
    if hasattr(data, "shape") and hasattr(data, "dtype"):
        return examples_in_memory(data, name="array", split=part)
    is_data = hasattr(data, "__getitem__") or hasattr(data, "__iter__")
    if callable(data) and (isinstance(data, type) or not is_data):
        name = getattr(data, "__name__", name)
        make = data
    else:
        if not is_data:
            raise UsageError(f"data is a {name}, expected a data set's name, arrays, a Dataset or an iterable")
        if not hasattr(data, "__getitem__") and iter(data) is data:
            raise UsageError(f"data is a {name}, which can be read only once; give the function that makes it")

        def make() -> Any:
            return data

    return examples_of(make, name=name, split=part, reading=reading, most=reading.most)


def _are_columns(data: tuple[Any, ...]) -> bool:
    """Whether more than two arrays of one length stand side by side, inputs first, and not examples."""
    shapes = [tuple(getattr(each, "shape", ())) for each in data]
    lengths = {shape[:1] for shape in shapes}
    return len(data) > 2 and lengths != {()} and len(lengths) == 1 and len(shapes[0]) > 1 and len(shapes[1]) == 1


def _imported(word: str) -> Callable[..., Any]:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module, _, attribute = word.partition(":")
    try:
        made: Any = importlib.import_module(module)
        for part in attribute.split("."):
            made = getattr(made, part)
    except Exception as error:  # importing runs the caller's code, which may fail in any way
        raise UsageError(
            f"data set {word} cannot be imported ({_in_words(error)}); write pkg.mod:factory, or see docs/data.md"
        ) from error
    return made if callable(made) else lambda: made


def _called(make: Callable[..., Any], options: Mapping[str, object], name: str) -> Any:
    try:
        return make(**options)
    except KernelscopeError:
        raise
    except Exception as error:
        given = one_line(", ".join(f"{key}={value!r}" for key, value in options.items()), 50)
        raise UsageError(
            f"data set {name} cannot be called with ({given}): {_in_words(error)}; give arguments that it takes"
        ) from error


def _takes_split(make: Callable[..., Any]) -> bool:
    try:
        return "split" in inspect.signature(make).parameters
    except (TypeError, ValueError):
        return False


def _in_words(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}", 80)
