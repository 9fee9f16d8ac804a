"""Inputs that are read when they are needed, so that memory does not grow with their number."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from kernelscope.errors import KernelscopeError, Mismatch, UnreadableInput, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Raw = np.ndarray | list[np.ndarray] | dict[str, np.ndarray]
Value = np.ndarray | dict[str, np.ndarray]  #: one example: an array, or named arrays
TOKENS, MASK = "input_ids", "attention_mask"


class Hash(Protocol):
    """A running hash, as ``hashlib`` has them."""

    def update(self, content: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class Inputs(Protocol):
    """n raw inputs; rows are counted from 0 and need not be in order."""

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray) -> Inputs:
        """These rows, in this order; nothing is read."""

    def read(self, rows: np.ndarray) -> Raw:
        """These rows as stored."""


class Source(Protocol):
    """Where examples are read one by one, by their position in the source."""

    @property
    def name(self) -> str: ...

    def item(self, position: int) -> tuple[Hash, Value]:
        """A BLAKE2b-128 hash of the example's raw bytes, and the example."""


@dataclass(frozen=True, eq=False)
class Lazy:
    """Examples of a source, read again each time they are asked for and compared with what was seen first.

    Attributes:
        positions: of these examples in the source, shape ``(n,)``.
        digests: first eight bytes of each one's content hash, shape ``(n,)`` uint64.
    """

    source: Source
    positions: np.ndarray
    digests: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def in_order(self) -> bool:
        """Whether only forward iteration is cheap: to go back the source begins anew."""
        return bool(getattr(self.source, "in_order", False))

    def take(self, rows: np.ndarray) -> Lazy:
        return Lazy(self.source, self.positions[rows], self.digests[rows])

    def read(self, rows: np.ndarray) -> Raw:
        values = []
        for row in np.asarray(rows):
            position = int(self.positions[row])
            content, value = self.source.item(position)
            if np.frombuffer(content.digest(), "<u8")[0] != self.digests[row]:
                raise Mismatch(
                    f"{self.source.name} gives another example {position} than it gave before; "
                    "turn off shuffling and random transforms"
                )
            values.append(value)
        return collated(values)


@dataclass(frozen=True, eq=False)
class Fields:
    """Named arrays of the same n examples, in memory: token numbers and their mask."""

    arrays: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def take(self, rows: np.ndarray) -> Fields:
        return Fields({key: values[rows] for key, values in self.arrays.items()})

    def read(self, rows: np.ndarray) -> Raw:
        return {key: values[rows] for key, values in self.arrays.items()}


class Identities:
    """Ids of examples in the order they are added: BLAKE2b-128 of content and occurrence among equals."""

    def __init__(self) -> None:
        self._seen: Counter[bytes] = Counter()
        self._ids, self._digests = bytearray(), bytearray()

    def add(self, content: Hash) -> None:
        """``content`` is a ``hashlib.blake2b(..., digest_size=16)`` over the raw bytes; it is consumed."""
        alone = content.digest()
        content.update(self._seen[alone].to_bytes(8, "little"))
        self._seen[alone] += 1
        self._ids += content.digest()
        self._digests += alone[:8]

    def ids(self) -> np.ndarray:
        return np.frombuffer(bytes(self._ids), np.uint8).reshape(-1, 16)

    def digests(self) -> np.ndarray:
        """First eight bytes of each content's hash, as one number."""
        return np.frombuffer(bytes(self._digests), "<u8")


@dataclass(frozen=True)
class Seen:
    """What one pass over a source found: the examples that can be read, and which cannot."""

    inputs: Lazy
    ids: np.ndarray
    notes: tuple[str, ...]


def look_over(
    source: Source, positions: Iterable[int], content: Callable[[int], Hash], *, skip_unreadable: bool, noun: str
) -> Seen:
    """One pass over a source, for the ids.

    Args:
        content: the hash of the example at a position; raises UnreadableInput where it cannot be read.
        skip_unreadable: leave such examples out, with a note that names the first.
        noun: what one example is called in that note.

    Raises:
        UnreadableInput: an example that cannot be read, naming it; or none is left.
    """
    identities, kept, dropped = Identities(), [], []
    for position in positions:
        try:
            identities.add(content(position))
        except UnreadableInput as error:
            if not skip_unreadable:
                raise
            dropped.append(str(error).partition(";")[0])
            continue
        kept.append(position)
    if not kept:
        raise UnreadableInput(f"{source.name} has no readable {noun} ({len(dropped)} unreadable); check the data")
    notes: tuple[str, ...] = ()
    if dropped:
        notes = (f"{len(dropped)} unreadable {noun}s were left out, first: {one_line(dropped[0], 120)}",)
    return Seen(Lazy(source, np.array(kept), identities.digests()), identities.ids(), notes)


def content_hash(value: Value) -> Hash:
    """BLAKE2b-128 over an example's bytes; of named arrays over names and bytes, in the order of names."""
    content = hashlib.blake2b(digest_size=16)
    if isinstance(value, dict):
        for key in sorted(value):
            content.update(key.encode() + b"\0")
            content.update(np.ascontiguousarray(value[key]).tobytes())
    else:
        content.update(np.ascontiguousarray(value).tobytes())
    return content


def collated(values: list[Any]) -> Raw:
    """Examples as one batch; sequences of different lengths are padded with 0 on the right."""
    if values and isinstance(values[0], dict):
        return _collated_fields(values)
    alike = all(value.shape == values[0].shape for value in values)
    return np.stack(values) if alike and values else values


def _collated_fields(values: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    names = list(values[0])
    if any(set(value) != set(names) for value in values):
        raise Mismatch(f"examples differ in their named inputs, expected {', '.join(names)} of each; give all the same")
    return {name: _padded([value[name] for value in values], name) for name in names}


def _padded(arrays: list[np.ndarray], name: str) -> np.ndarray:
    if all(array.shape == arrays[0].shape for array in arrays):
        return np.stack(arrays)
    if any(array.ndim != 1 for array in arrays):
        raise Mismatch(f"named input {name} has other shapes from example to example; give them one shape")
    out = np.zeros((len(arrays), max(map(len, arrays))), arrays[0].dtype)
    for row, array in zip(out, arrays):
        row[: len(array)] = array
    return out


def refused(error: Exception, where: str) -> KernelscopeError:
    """Any exception of a stranger's data as one line that names the place."""
    if isinstance(error, KernelscopeError):
        return error
    return UnreadableInput(
        f"{where} cannot be read ({one_line(f'{type(error).__name__}: {error}', 90)}); check the data"
    )
