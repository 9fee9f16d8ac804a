"""One pass over somebody else's data set: any ``torch.utils.data.Dataset``, ``DataLoader`` or iterable.

An example's identity is the content it was given with, so a data set must give the same example for the same position:
one that shuffles or draws random crops is refused when it is read again. Nothing of it stays in memory.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.datasets.arrays import labels_and_classes
from kernelscope.datasets.examples import Examples
from kernelscope.datasets.inputs import MASK, TOKENS, Hash, Value, content_hash, look_over, refused
from kernelscope.datasets.items import example_of, label_name, parts_of, unbatched
from kernelscope.datasets.preprocess import Operations, usual
from kernelscope.errors import KernelscopeError, Mismatch, UsageError, one_line

if TYPE_CHECKING:
    from kernelscope.datasets.reading import Reading


def examples_of(
    make: Callable[[], Any], *, name: str, split: str, reading: Reading, most: int | None = None
) -> Examples:
    """What a data set holds, from one pass over it; ``most``: no more than so many examples are looked at."""
    data = make()
    if isinstance(data, Examples):
        return data
    if isinstance(data, Mapping):
        if split not in data:
            raise UsageError(f"{name} gives a dict of {one_line(', '.join(map(str, data)), 80)}; pass --split")
        return examples_of(lambda: make()[split], name=name, split=split, reading=reading, most=most)
    inner, batches = _behind_loader(data)
    source: _Indexed | _Stream
    if not batches and hasattr(inner, "__getitem__") and hasattr(inner, "__len__"):
        source, count = _Indexed(name, inner), len(inner)
        count = count if most is None else min(count, most)
    else:
        source, count = _Stream(name, make, batches), _length(inner, reading, name)
    scan = _Scan(source)
    seen = look_over(source, range(count), scan.content, skip_unreadable=reading.skip_unreadable, noun="example")
    source.masked = scan.needs_masks
    labels, classes = _labelled(scan.labels_at(seen.inputs.positions), _class_names(inner), name)
    more = () if source.parts <= 2 else (_of_more(source.parts, labels, seen.inputs.positions, name),)
    return Examples(
        name=name,
        split=split,
        inputs=seen.inputs,
        labels=labels,
        ids=seen.ids,
        classes=classes,
        preprocess=scan.preprocess,
        notes=(*seen.notes, *more),
    )


def _of_more(parts: int, labels: np.ndarray | None, positions: np.ndarray, name: str) -> str:
    """What was taken of examples of more than two parts.

    Raises:
        Mismatch: the second is no label but counts the examples.
    """
    if labels is not None and len(labels) > 2 and np.array_equal(labels, positions):
        raise Mismatch(f"{name} gives {parts} things an example, the second its position; give (input, label)")
    return f"of the {parts} things that {name} gives for an example, the first is its input and the second its label"


class _Scan:
    """What one pass over a source learns besides the ids: labels, shapes and lengths."""

    def __init__(self, source: _Given) -> None:
        self._source = source
        self._labels: dict[int, object] = {}
        self._shapes: dict[tuple[int, ...], np.dtype] = {}
        self._lengths: set[tuple[int, ...]] = set()

    def content(self, position: int) -> Hash:
        """The hash of the example at a position."""
        value, self._labels[position] = self._source.example(position)
        if isinstance(value, np.ndarray) and len(self._shapes) < 2:  # whether there is a second is all that counts
            self._shapes[value.shape] = value.dtype
        elif isinstance(value, dict) and MASK not in value:
            self._lengths.add(_main(value).shape)
        return content_hash(value)

    def labels_at(self, positions: np.ndarray) -> list[object]:
        return [self._labels[int(position)] for position in positions]

    @property
    def needs_masks(self) -> bool:
        """Whether token sequences differ in length, and have no mask that tells where they end."""
        return len(self._lengths) > 1

    @property
    def preprocess(self) -> Operations:
        """The usual operations for arrays of the first shape; none for tokens."""
        if not self._shapes:
            return []
        return usual(*next(iter(self._shapes.items())), one_size=len(self._shapes) == 1)


class _Given(ABC):
    """Examples of somebody else's data set.

    Attributes:
        masked: of token sequences without a mask, one is made.
        parts: the most that one example consists of.
    """

    masked = False
    parts = 1

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def example(self, position: int) -> tuple[Value, object]:
        """The input and the label at a position."""

    def item(self, position: int) -> tuple[Hash, Value]:
        value, _ = self.example(position)
        content = content_hash(value)
        if self.masked and isinstance(value, dict):
            value = {**value, MASK: np.ones(len(_main(value)), np.int64)}
        return content, value

    def _told(self, item: object, where: str) -> tuple[Value, object]:
        self.parts = max(self.parts, parts_of(item))
        return example_of(item, where)


class _Indexed(_Given):
    """Examples that a data set has by number."""

    def __init__(self, name: str, data: Any) -> None:
        super().__init__(name)
        self._data = data

    def example(self, position: int) -> tuple[Value, object]:
        where = f"{self.name} example {position}"
        try:
            return self._told(self._data[position], where)
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

    def example(self, position: int) -> tuple[Value, object]:
        if self._iterator is None or position < self._next:
            self._iterator, self._next = self._begun(), 0
        where = f"{self.name} example {position}"
        try:
            while self._next <= position:
                item = next(self._iterator)
                self._next += 1
            return self._told(item, where)
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


def _main(value: dict[str, np.ndarray]) -> np.ndarray:
    """The named input whose length is the example's."""
    return value.get(TOKENS, next(iter(value.values())))


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
    found: list[object], classes: tuple[str, ...] | None, name: str
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    without = sum(label is None for label in found)
    if without == len(found):
        return None, ()
    if without:
        raise Mismatch(f"{name} has labels for {len(found) - without} of {len(found)} examples; give one each, or none")
    return labels_and_classes(found, classes, len(found), name)


def _class_names(data: Any) -> tuple[str, ...] | None:
    """As torchvision's (``classes``) and Hugging Face's (``features``) data sets have them."""
    names = getattr(data, "classes", None)
    features = getattr(data, "features", None)
    if names is None and isinstance(features, Mapping) and (label := label_name(features)) is not None:
        names = getattr(features[label], "names", None)
    if isinstance(names, (list, tuple)) and names and all(isinstance(word, str) for word in names):
        return tuple(names)
    return None
