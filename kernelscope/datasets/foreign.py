"""Data sets of other people's code: any ``torch.utils.data.Dataset``, ``DataLoader`` or iterable.

An example's identity is the content it was given with, so a data set must give the same example for the same position:
one that shuffles or draws random crops is refused when it is read again. Nothing of it stays in memory.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.datasets.arrays import examples_in_memory, labels_and_classes
from kernelscope.datasets.examples import Examples
from kernelscope.datasets.inputs import MASK, TOKENS, Value, content_hash, look_over, refused
from kernelscope.datasets.items import example_of, label_name, unbatched
from kernelscope.datasets.preprocess import usual
from kernelscope.datasets.splitting import ALL, TRAINING, Splits
from kernelscope.errors import KernelscopeError, Mismatch, UsageError, one_line
from kernelscope.terms import Term

if TYPE_CHECKING:
    from kernelscope.datasets.reading import Reading


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
    """Examples of an object in memory: Examples, ``(X, y)``, an array, a Dataset, a DataLoader, an iterable, a factory.

    Raises:
        Mismatch: it shuffles, or drops examples. UsageError: it can be read only once, or has no length and no n.
    """
    if isinstance(data, Examples):
        return data
    part, name = split or ALL, type(data).__name__
    if isinstance(data, tuple) and len(data) == 2:
        return examples_in_memory(*data, name="arrays", split=part)
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


def examples_of(
    make: Callable[[], Any], *, name: str, split: str, reading: Reading, most: int | None = None
) -> Examples:
    """What a data set holds, from one pass over it; ``most``: no more than so many examples are looked at."""
    data = make()
    if isinstance(data, Examples):
        return data
    if isinstance(data, dict):
        if split not in data:
            raise UsageError(f"{name} gives a dict of {one_line(', '.join(map(str, data)), 80)}; pass --split")
        return examples_of(lambda: make()[split], name=name, split=split, reading=reading, most=most)
    source: _Indexed | _Stream
    inner, batches = _behind_loader(data)
    if not batches and hasattr(inner, "__getitem__") and hasattr(inner, "__len__"):
        count, source = len(inner), _Indexed(name, inner)
        count = count if most is None else min(count, most)
    else:
        count = _length(inner, reading, name)
        source = _Stream(name, make, batches)
    labels: dict[int, Any] = {}
    shapes: dict[tuple[int, ...], np.dtype] = {}
    lengths: set[tuple[int, ...]] = set()

    def content(position: int) -> Any:
        value, label = source.example(position)
        labels[position] = label
        if isinstance(value, np.ndarray) and len(shapes) < 2:
            shapes[value.shape] = value.dtype
        elif isinstance(value, dict) and MASK not in value:
            lengths.add(value[TOKENS].shape)
        return content_hash(value)

    seen = look_over(source, range(count), content, skip_unreadable=reading.skip_unreadable, noun="example")
    source.masked = len(lengths) > 1
    known = [labels[int(position)] for position in seen.inputs.positions]
    numbers, classes = _labelled(known, _class_names(inner), name)
    return Examples(
        name=name,
        split=split,
        inputs=seen.inputs,
        labels=numbers,
        ids=seen.ids,
        classes=classes,
        preprocess=usual(*next(iter(shapes.items())), one_size=len(shapes) == 1) if shapes else [],
        notes=seen.notes,
    )


class _Given:
    """Examples of somebody else's data set; ``masked``: of token sequences without a mask, one is made."""

    masked = False

    def __init__(self, name: str) -> None:
        self.name = name

    def example(self, position: int) -> tuple[Value, Any]:
        """The input and the label at a position."""
        raise NotImplementedError

    def item(self, position: int) -> tuple[Any, Value]:
        value, _ = self.example(position)
        content = content_hash(value)
        if self.masked and isinstance(value, dict):
            value = {**value, MASK: np.ones(len(value[TOKENS]), np.int64)}
        return content, value


class _Indexed(_Given):
    """Examples that a data set has by number."""

    def __init__(self, name: str, data: Any) -> None:
        super().__init__(name)
        self._data = data

    def example(self, position: int) -> tuple[Value, Any]:
        where = f"{self.name} example {position}"
        try:
            return example_of(self._data[position], where)
        except (KernelscopeError, MemoryError):
            raise
        except Exception as error:  # somebody else's code may fail in any way
            raise refused(error, where) from error


class _Stream(_Given):
    """Examples of an iterable, which is begun anew to go back."""

    in_order = True

    def __init__(self, name: str, make: Callable[[], Any], batches: bool) -> None:
        super().__init__(name)
        self._make, self._batches = make, batches
        self._next = 0
        self._iterator: Iterator[Any] | None = None

    def example(self, position: int) -> tuple[Value, Any]:
        if self._iterator is None or position < self._next:
            self._iterator, self._next = self._begun(), 0
        where = f"{self.name} example {position}"
        try:
            while self._next <= position:
                item = next(self._iterator)
                self._next += 1
            return example_of(item, where)
        except StopIteration as error:
            raise Mismatch(f"{self.name} ended after {self._next} examples; lower --n, or give it again") from error
        except (KernelscopeError, MemoryError):
            raise
        except Exception as error:
            raise refused(error, where) from error

    def _begun(self) -> Iterator[Any]:
        data = self._make()
        if self._batches:
            return (item for batch in data for item in unbatched(batch))
        return iter(_behind_loader(data)[0])


def _behind_loader(data: Any) -> tuple[Any, bool]:
    """The data set that a DataLoader reads in order, or the loader itself and that it gives batches.

    Raises:
        Mismatch: a loader that shuffles, samples in a way of its own, or drops the last examples.
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(data, torch.utils.data.DataLoader):
        return data, False
    if not isinstance(data.dataset, torch.utils.data.IterableDataset):
        plain = data.batch_sampler is None or type(data.batch_sampler) is torch.utils.data.BatchSampler
        if not plain or type(data.sampler) is not torch.utils.data.SequentialSampler:
            sampler = type(data.sampler if plain else data.batch_sampler).__name__
            raise Mismatch(
                f"the DataLoader shuffles or samples ({sampler}); make it with shuffle=False, or give its dataset"
            )
        if data.drop_last and len(data.dataset) % (data.batch_size or 1):
            left = len(data.dataset) % (data.batch_size or 1)
            raise Mismatch(
                f"the DataLoader drops its last {left} examples; make it with drop_last=False, or give its dataset"
            )
    own = data.collate_fn not in (torch.utils.data.default_collate, torch.utils.data.default_convert)
    return (data, True) if own else (data.dataset, False)


def _length(data: Any, reading: Reading, name: str) -> int:
    if reading.n is not None:
        return reading.n
    try:
        dataset = getattr(data, "dataset", data)  # a loader's own length is in batches
        return len(dataset)
    except TypeError as error:
        raise UsageError(
            f"{name} is an iterable without a length; pass --n N, or to train, give it a length"
        ) from error


def _labelled(
    found: list[Any], classes: tuple[str, ...] | None, name: str
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    without = sum(label is None for label in found)
    if without == len(found):
        return None, ()
    if without:
        raise Mismatch(f"{name} has labels for {len(found) - without} of {len(found)} examples; give one each, or none")
    if len({type(label) for label in found}) > 1:
        raise Mismatch(f"{name} has both numbers and words as labels; give one kind")
    return labels_and_classes(np.array(found), classes, len(found), name)


def _class_names(data: Any) -> tuple[str, ...] | None:
    """As torchvision's (``classes``) and Hugging Face's (``features``) data sets have them."""
    names = getattr(data, "classes", None)
    features = getattr(data, "features", None)
    if names is None and isinstance(features, Mapping) and (label := label_name(features)) is not None:
        names = getattr(features[label], "names", None)
    if isinstance(names, (list, tuple)) and names and all(isinstance(word, str) for word in names):
        return tuple(names)
    return None


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
        said = one_line(", ".join(f"{key}={value!r}" for key, value in options.items()), 50)
        raise UsageError(
            f"data set {name} cannot be called with ({said}): {_in_words(error)}; give arguments that it takes"
        ) from error


def _takes_split(make: Callable[..., Any]) -> bool:
    try:
        return "split" in inspect.signature(make).parameters
    except (TypeError, ValueError):
        return False


def _in_words(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}", 80)
