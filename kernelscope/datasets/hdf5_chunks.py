"""Rows of a chunked HDF5 dataset out of plain bytes: each chunk is read, its filters undone, and put where it belongs.

Filters are undone here, and not by the HDF5 library, over bytes that a stranger chose: deflate and lzf stop at the
size of a chunk. A chunk is undone once for each block of rows, and a block is all rows of a chunk where memory allows,
so that one pass over the rows costs time in proportion to them.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import KernelscopeError, UnreadableInput, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernelscope.plain_file import OpenFile

BLOCK_BYTES = 2**27  #: rows kept from one reading to the next
DEFLATE, SHUFFLE, FLETCHER32, LZF = 1, 2, 3, 32000  #: HDF5's numbers of filters
SUM_BYTES = 4


@dataclass(eq=False)
class ChunkedRows:
    """An array in chunks, read as it is sliced along its rows.

    Attributes:
        where: names file and dataset in messages.
        filters: ``(number, values)`` in the order in which they were applied.
        places: first byte, length and left out filters of each chunk, shape ``(chunks, 3)``, in the order of the grid.
    """

    where: str
    file: OpenFile
    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]
    filters: list[tuple[int, list[int]]]
    places: np.ndarray
    _kept: tuple[int, np.ndarray] = field(default=(-1, np.empty(0)))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def chunk_bytes(self) -> int:
        return math.prod(self.chunks) * self.dtype.itemsize

    @property
    def block_rows(self) -> int:
        """As many rows as are kept at once: those of a chunk, or as many of them as memory allows."""
        row_bytes = max(1, math.prod(self.shape[1:]) * self.dtype.itemsize)
        return max(1, min(self.chunks[0], BLOCK_BYTES // row_bytes))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, step = rows.indices(self.shape[0])
        parts = []
        at = start
        while at < stop:
            first, block = self._block(at)
            part = block[at - first : stop - first]
            parts.append(part)
            at += len(part)
        if not parts:
            return np.empty((0, *self.shape[1:]), self.dtype)
        return (parts[0] if len(parts) == 1 else np.concatenate(parts))[::step]

    def let_go(self) -> None:
        """Keep no block."""
        self._kept = -1, np.empty(0)

    def _block(self, row: int) -> tuple[int, np.ndarray]:
        """The block that a row lies in, and its first row; blocks begin where chunks begin."""
        band, inside = divmod(row, self.chunks[0])
        first = band * self.chunks[0] + inside // self.block_rows * self.block_rows
        if self._kept[0] != first:
            stop = min(first + self.block_rows, (band + 1) * self.chunks[0], self.shape[0])
            self._kept = -1, np.empty(0)  # not two at a time
            self._kept = first, self._read(band, first, stop)
        return self._kept

    def _read(self, band: int, first: int, stop: int) -> np.ndarray:
        """Rows ``first:stop``, which lie in one band of chunks."""
        block = np.empty((stop - first, *self.shape[1:]), self.dtype)
        top = band * self.chunks[0]
        across = [-(-side // chunk) for side, chunk in zip(self.shape[1:], self.chunks[1:])]
        for number, place in enumerate(np.ndindex(*across), band * math.prod(across)):
            chunk = self._chunk(number)[first - top : stop - top]
            low = [at * side for at, side in zip(place, self.chunks[1:])]
            target = block[:, *(slice(at, at + side) for at, side in zip(low, self.chunks[1:]))]
            target[...] = chunk[:, *(slice(length) for length in target.shape[1:])]
        return block

    def _chunk(self, number: int) -> np.ndarray:
        offset, length, left_out = (int(value) for value in self.places[number])
        try:
            content = self.file.read_at(offset, length).tobytes()
            for position, (kind, values) in reversed(list(enumerate(self.filters))):
                if not left_out >> position & 1:
                    content = undone(kind, values, content, self.chunk_bytes + SUM_BYTES * len(self.filters))
            if len(content) != self.chunk_bytes:
                raise ValueError(f"it has {len(content):,} of {self.chunk_bytes:,} bytes")
        except (KernelscopeError, MemoryError):
            raise
        except Exception as error:  # the door to a stranger's bytes
            raise UnreadableInput(
                f"{self.where} has a damaged chunk {number} ({one_line(str(error), 60)}); save it again"
            ) from error
        return np.frombuffer(content, self.dtype).reshape(self.chunks)


def undone(kind: int, values: list[int], content: bytes, most: int) -> bytes:
    """What a filter was applied to, of ``most`` bytes.

    Raises:
        ValueError, IndexError, ArithmeticError, zlib.error: content that the filter does not make, or that holds more.
    """
    if kind == DEFLATE:
        stream = zlib.decompressobj()
        found = stream.decompress(content, most)
        if not stream.eof:
            raise ValueError("it is cut short, or holds more than it may")
        return found
    if kind == SHUFFLE:
        return _unshuffled(content, values[0])
    if kind == LZF:
        return _unpacked(content, most)
    return _summed(content)


def _unshuffled(content: bytes, width: int) -> bytes:
    """First bytes of all numbers stand first, then second ones; what is left over stands behind."""
    count = len(content) // width
    plain = np.frombuffer(content, np.uint8, count * width).reshape(width, count).T
    return plain.tobytes() + content[count * width :]


def _unpacked(content: bytes, most: int) -> bytes:
    """LZF: runs of up to 32 bytes as they are, and copies of what came before."""
    out, at = bytearray(), 0
    while at < len(content) and len(out) <= most:
        control = content[at]
        at += 1
        if control < 32:
            out += content[at : at + control + 1]
            at += control + 1
            continue
        length = control >> 5
        if length == 7:
            length += content[at]
            at += 1
        back, length = ((control & 31) << 8 | content[at]) + 1, length + 2
        at += 1
        if back > len(out):
            raise ValueError("a copy from before its beginning")
        piece = out[len(out) - back : len(out) - back + length]
        out += (piece * (length // len(piece) + 1))[:length]
    return bytes(out)


def _summed(content: bytes) -> bytes:
    """Without Fletcher's checksum, once it fits; early releases of the library wrote its bytes in another order."""
    plain, stated = content[:-SUM_BYTES], content[-SUM_BYTES:]
    sums = (int.from_bytes(order, "little") for order in (stated, stated[1::-1] + stated[:1:-1]))
    if _fletcher32(plain) not in {(each >> 16) % 65535 << 16 | (each & 65535) % 65535 for each in sums}:
        raise ValueError("its checksum does not fit")
    return plain


def _fletcher32(content: bytes) -> int:
    first = second = 0
    for words in _words(content):
        ahead = np.arange(len(words), 0, -1, dtype=np.uint64)
        second = (second + len(words) * first + int((ahead * words).sum())) % 65535
        first = (first + int(words.sum())) % 65535
    return second << 16 | first


def _words(content: bytes) -> Iterator[np.ndarray]:
    """16-bit numbers, some thousand at a time so that no sum overflows."""
    for start in range(0, len(content), 2**16):
        part = content[start : start + 2**16]
        yield np.frombuffer(part + bytes(len(part) % 2), ">u2").astype(np.uint64)
