"""What rows are known by as 16 bytes each, whatever their ids are: bytes, numbers or texts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.kernels.rows import BLOCK_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kernelscope.kernels.rows import Rows

MOST_COMPARED = 4_000_000  #: ids that are held at once to find one that stands in two places


def identities(ids: np.ndarray) -> list[Any]:
    """What rows are known by, equal where ids are."""
    if ids.dtype == np.uint8:
        return [identity.tobytes() for identity in ids]
    found: list[Any] = ids.tolist()
    return found if ids.ndim == 1 else [repr(identity) for identity in found]


def id_bytes(ids: np.ndarray) -> np.ndarray:
    """``(n, 16)`` bytes, equal where ids are: those of our own files as they are, of others their hashes."""
    if ids.dtype == np.uint8 and ids.shape[1:] == (16,):
        return np.ascontiguousarray(ids)
    hashed = [hashlib.blake2b(repr(each).encode(), digest_size=16).digest() for each in identities(ids)]
    return np.frombuffer(b"".join(hashed), np.uint8).reshape(-1, 16)


def id_blocks(ids: Rows, rows: int = BLOCK_ROWS) -> Iterator[tuple[int, np.ndarray]]:
    """``(first row, keys)``, of each row two whole numbers of 64 bits."""
    for start in range(0, ids.shape[0], rows):
        yield start, id_bytes(np.asarray(ids[start : start + rows])).view("<u8").reshape(-1, 2)


def in_two_places(ids: Rows, lengths: Sequence[int]) -> tuple[int, tuple[int, int]] | None:
    """How many ids stand in two of the parts that have ``lengths`` rows, and two rows of the first; None for none."""
    keys = np.concatenate([block for _, block in id_blocks(ids)])
    part = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((part, keys[:, 1], keys[:, 0]))
    before, after = order[:-1], order[1:]
    twice = np.flatnonzero((keys[before] == keys[after]).all(axis=1) & (part[before] != part[after]))
    if len(twice) == 0:
        return None
    first = twice[np.argmin(order[twice + 1])]
    return len(twice), (int(order[first]), int(order[first + 1]))


def fingerprint(ids: Rows) -> str:
    """Hex SHA-256 over ids ``(n, 16)`` in order, a block of them in memory."""
    digest = hashlib.sha256()
    for start in range(0, ids.shape[0], BLOCK_ROWS):
        digest.update(np.ascontiguousarray(ids[start : start + BLOCK_ROWS]).data)
    return digest.hexdigest()


class RowNumbers:
    """Ids of rows that have none of their own: their numbers, from 0 on."""

    dtype = np.dtype(np.int64)

    def __init__(self, n: int) -> None:
        self.shape = (n,)

    def __getitem__(self, rows: slice) -> np.ndarray:
        return np.arange(*rows.indices(self.shape[0]))
