"""Rows of two sides joined by id, beyond memory: ids are sorted in parts, rows put in order by buckets on the disk.

What is held for each row are the numbers of its places, 12 bytes; of ids those of a part, of rows those of a bucket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.features.ahead import ForwardRows
from kernelscope.features.id_keys import id_blocks
from kernelscope.features.spool import Spool
from kernelscope.kernels.rows import BLOCK_ROWS, numpy_block
from kernelscope.numpy_files import ArrayFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernelscope.kernels.rows import Rows

PART_IDS = 1 << 22  #: ids of both sides that are sorted at once, 24 bytes each and as much again
READ_IDS = 1 << 16
BUCKET_BYTES = 1 << 26  #: of rows that are put in order at once
RECORD = 24  #: bytes of a row's two keys and its number


@dataclass(frozen=True, eq=False)
class Joined:
    """Where each of the teacher's rows stands among the student's.

    Attributes:
        order: ``(n,)`` rows of the student, −1 where it lacks the id.
        only_student: rows of the student that the teacher lacks.
        repeated: the first id that one side has in two rows: ``"teacher"`` or ``"student"``, and the rows.
    """

    order: np.ndarray
    only_student: int
    repeated: tuple[str, int, int] | None

    @property
    def only_teacher(self) -> int:
        return int((self.order < 0).sum())


def joined(teacher: Rows, student: Rows) -> Joined:
    """The rows that bear the same ids.

    Raises:
        ResourceError: more ids than are sorted at once, and no room on the disk for parts of them.
    """
    order = np.full(teacher.shape[0], -1, np.int64)
    only_student, repeated = 0, []
    for part in _parts(teacher, student):
        keys, rows = part[:, :2], part[:, 2].view(np.int64)  # the student's are negative
        sorted_by = _sorting(keys, rows)
        keys, rows = keys[sorted_by], rows[sorted_by]
        same = (keys[1:] == keys[:-1]).all(axis=1)
        run = np.concatenate([[0], np.cumsum(~same)])  # rows of one id
        of_student = rows < 0
        found = np.full(run[-1] + 1 if len(run) else 0, -1, np.int64)
        found[run[of_student]] = ~rows[of_student]
        order[rows[~of_student]] = found[run[~of_student]]
        in_teacher = np.zeros(len(found), bool)
        in_teacher[run[~of_student]] = True
        only_student += int((~in_teacher[run[of_student]]).sum())
        for role, side in (("teacher", ~of_student), ("student", of_student)):
            twice = same & side[1:] & side[:-1]
            if twice.any():
                ends = np.stack([rows[:-1][twice], rows[1:][twice]])
                ends = np.sort(~ends if role == "student" else ends, axis=0)
                first = int(np.argmin(ends[1]))
                repeated.append((role, int(ends[0, first]), int(ends[1, first])))
    return Joined(order, only_student, min(repeated, key=lambda each: (each[0] != "teacher", each[2]), default=None))


def _sorting(keys: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """An order in which equal keys, and of these the rows of one side, stand together."""
    first = np.argsort(keys[:, 0])
    near = keys[first[1:], 0] == keys[first[:-1], 0]
    alone = (near[1:] & near[:-1]).any() or (keys[first[1:], 1] != keys[first[:-1], 1])[near].any()
    return np.lexsort((rows, keys[:, 1], keys[:, 0])) if alone else first


def _parts(teacher: Rows, student: Rows) -> Iterator[np.ndarray]:
    """Records ``(k, 3)`` of all rows of both sides, those of one id in one part: two keys, and the row's number."""
    parts = -(-(teacher.shape[0] + student.shape[0]) // PART_IDS)
    if parts <= 1:
        yield np.concatenate(list(_records(teacher, student)))
        return
    # every stretch of the sides is sorted by part, so that a part is one piece of each stretch
    spool, at = Spool(RECORD * (teacher.shape[0] + student.shape[0])), 0
    places: list[np.ndarray] = []
    for records in _records(teacher, student):
        part = (records[:, 0] >> np.uint64(40)) % np.uint64(parts)
        ends = np.cumsum(np.bincount(part.astype(np.int64), minlength=parts))
        spool.write_at(at, np.ascontiguousarray(records[np.argsort(part, kind="stable")]))
        places.append(at + RECORD * np.concatenate([[0], ends]))
        at += records.nbytes
    for number in range(parts):
        pieces = [spool.read_at(int(ends[number]), int(ends[number + 1] - ends[number])) for ends in places]
        yield np.concatenate(pieces).view(np.uint64).reshape(-1, 3)


def _records(teacher: Rows, student: Rows) -> Iterator[np.ndarray]:
    for ids, is_student in ((teacher, False), (student, True)):
        for start, keys in id_blocks(ids, READ_IDS):
            rows = np.arange(start, start + len(keys))
            yield np.column_stack([keys, (~rows if is_student else rows).view(np.uint64)])


class GatheredRows(ForwardRows):
    """Row ``order[i]`` of X for each i, put in this order in a temporary file by one pass over X.

    Rows are written to the bucket that they end in, one after another, and each bucket is then sorted in its place.
    This is done when a row is asked for first; where the disk has no room, that is a ResourceError.
    """

    def __init__(self, X: Rows, order: np.ndarray) -> None:
        dtype = numpy_block(X, 0, 1).dtype
        super().__init__((len(order), X.shape[1]), dtype, BLOCK_ROWS)
        self.X, self.order = X, order
        self._row_bytes = dtype.itemsize * X.shape[1]
        self._bucket_rows = max(1, BUCKET_BYTES // self._row_bytes)
        self._rows: ArrayFile | None = None

    def row_inside(self, row: int) -> int:
        """The row of X that a row is."""
        return int(self.order[row])

    def _read(self, number: int) -> np.ndarray:
        if self._rows is None:
            spool = Spool(len(self.order) * self._row_bytes)
            self._scatter(spool)
            rows = ArrayFile(spool, (self.shape[0], self.shape[1]), False, self.dtype, 0)
            self._sort(spool, rows)
            self._rows = rows
        return self._rows[slice(*self._span(number))]

    def _scatter(self, spool: Spool) -> None:
        n, size = self.X.shape[0], self._bucket_rows
        place = np.full(n, -1, np.int32 if len(self.order) < 2**31 else np.int64)
        place[self.order] = np.arange(len(self.order), dtype=place.dtype)
        filled = np.arange(0, len(self.order) + size, size)  # where the next row of each bucket belongs
        step = max(BLOCK_ROWS, BUCKET_BYTES // 2 // self._row_bytes)
        for start in range(0, n, step):
            bucket = place[start : start + step] // size  # −1 for rows that are left out
            sorted_by = np.argsort(bucket, kind="stable")
            block, bucket = numpy_block(self.X, start, min(start + step, n))[sorted_by], bucket[sorted_by]
            numbers, firsts = np.unique(bucket, return_index=True)
            for number, first, last in zip(numbers, firsts, [*firsts[1:], len(bucket)]):
                if number >= 0:
                    spool.write_at(int(filled[number]) * self._row_bytes, block[first:last])
                    filled[number] += last - first

    def _sort(self, spool: Spool, rows: ArrayFile) -> None:
        """Rows came to a bucket in the order in which they stand in X."""
        for start in range(0, len(self.order), self._bucket_rows):
            came = rows[start : start + self._bucket_rows]
            sorted_rows = np.empty_like(came)
            sorted_rows[np.argsort(self.order[start : start + self._bucket_rows])] = came
            spool.write_at(start * self._row_bytes, sorted_rows)


class ChosenIds:
    """Ids of some rows, which ascend."""

    def __init__(self, ids: Rows, rows: np.ndarray) -> None:
        self._ids, self._rows = ids, rows
        self.shape = (len(rows), *ids.shape[1:])

    def __getitem__(self, rows: slice) -> np.ndarray:
        wanted = self._rows[rows]
        if len(wanted) == 0:
            return np.asarray(self._ids[0:0])
        first = int(wanted[0])
        found: np.ndarray = np.asarray(self._ids[first : int(wanted[-1]) + 1])[wanted - first]
        return found
