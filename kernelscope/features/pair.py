"""FeaturePair: features of a teacher and a student that exist together only if their rows correspond."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernelscope.activations.units import unit_of
from kernelscope.errors import Mismatch, UsageError, one_line, shown
from kernelscope.features.arrays import ASSUMED
from kernelscope.features.id_keys import RowNumbers, fingerprint, identities
from kernelscope.features.join import ChosenIds, GatheredRows, Joined, joined
from kernelscope.kernels.row_views import Reordered
from kernelscope.kernels.rows import BLOCK_ROWS
from kernelscope.numpy_files import HELD_BYTES

if TYPE_CHECKING:
    from kernelscope.features.protocol import Features
    from kernelscope.kernels.rows import Rows


class FeaturePair:
    """Two stores over the same examples in the same order.

    Args:
        align: ``"ids"`` pairs a student whose examples stand in another order.
        join: ``"inner"`` does so too, and leaves out rows that one side alone has.

    Attributes:
        ids: of the examples, where either side knows them. rows: which of the teacher's rows they are; None for all.

    Raises:
        Mismatch: other examples, another order, other labels, or to be paired by ids that repeat.
    """

    def __init__(
        self, teacher: Features, student: Features, *, align: str | None = None, join: str | None = None
    ) -> None:
        self.teacher, self.student = teacher, student
        self.notes: tuple[str, ...] = ()
        self.rows: np.ndarray | None = None
        self._order: np.ndarray | None = None
        self._gathered: dict[str, Rows] = {}
        for word, given, known in (("align", align, "ids"), ("join", join, "inner")):
            if given not in (None, known):
                raise UsageError(f"{word} is {given!r}, expected {known!r}; leave it out for rows that correspond")
        self.by_ids = align is not None or join is not None
        if teacher.n != student.n and not self.by_ids:
            raise Mismatch(self._of_other_numbers())
        known_ids = self._known_ids() if self.by_ids else (teacher.ids, student.ids)
        self.ids: Rows | None = known_ids[0] if known_ids[0] is not None else known_ids[1]
        if known_ids[0] is None or known_ids[1] is None:
            self.notes = (ASSUMED,)
        else:
            self._pair_by_ids(known_ids[0], known_ids[1], join)
        self._require_same_labels()

    @property
    def n(self) -> int:
        return int(self.teacher.n) if self.rows is None else len(self.rows)

    @property
    def labels(self) -> np.ndarray | None:
        """Class of each example, from whichever side knows."""
        of_teacher, of_student = self._labels()
        return of_teacher if of_teacher is not None else of_student

    def _labels(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Of the rows that are paired, as either side has them."""
        sides = ((self.teacher, self.rows), (self.student, self._order))
        found = [
            None if side.labels is None else np.asarray(side.labels)[slice(None) if rows is None else rows]
            for side, rows in sides
        ]
        return found[0], found[1]

    @property
    def pools(self) -> set[str | None]:
        """How positions of either network's layers became rows."""
        return {features.pool(layer) for features in (self.teacher, self.student) for layer in features.layers}

    @property
    def of_positions(self) -> bool:
        """Whether rows are positions of examples."""
        return any(unit_of(pool) != "example" for pool in self.pools)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.teacher.classes or self.student.classes or ())

    @property
    def order_sha256(self) -> str | None:
        if self.rows is not None and self.teacher.order_sha256 is not None and self.ids is not None:
            return fingerprint(self.ids)
        return self.teacher.order_sha256 or self.student.order_sha256

    def pair(self, teacher_layer: str, student_layer: str) -> tuple[Rows, Rows]:
        """``(X_T, X_S)`` of one layer each, row by row the same examples."""
        X_T = self.teacher.features(teacher_layer)
        return X_T if self.rows is None else Reordered(X_T, self.rows), self._of_student(student_layer)

    def _of_student(self, layer: str) -> Rows:
        X = self.student.features(layer)
        if self._order is None:
            return X
        if layer not in self._gathered:
            # here and there in a large file is slow: it is put in order once, for all passes
            in_memory = isinstance(X, np.ndarray) and not isinstance(X, np.memmap)
            kind = None if in_memory else getattr(X, "dtype", None)
            large = isinstance(kind, np.dtype) and X.shape[0] * X.shape[1] * kind.itemsize > HELD_BYTES
            self._gathered[layer] = (GatheredRows if large else Reordered)(X, self._order)
        return self._gathered[layer]

    def _of_other_numbers(self) -> str:
        """Why rows cannot be paired: other examples, or maps of other sizes."""
        noun, fix = "examples", "extract both from the same data"
        if self.of_positions:
            noun, fix = "positions", "if their maps differ in size, pass --pool grid:HxW"
        found = [f"{shown(side.path)} has {side.n:,} {noun}" for side in (self.teacher, self.student)]
        return f"teacher {found[0]}, student {found[1]}; {fix}"

    def _known_ids(self) -> tuple[Rows, Rows]:
        """Ids of both sides; a side without stands by the numbers of its rows where the other's ids are numbers.

        Raises:
            Mismatch: a side without, beside ids that are no numbers.
        """
        sides = (self.teacher, self.student)
        known = next((side.ids for side in sides if side.ids is not None), None)
        lacking = next((side for side in sides if side.ids is None), None)
        if lacking is not None:
            if known is None or len(known.shape) != 1 or np.asarray(known[:1]).dtype.kind not in "iu":
                raise Mismatch(f"{lacking.path} has no ids to align by; store ids, or leave out --align")
            self.notes += (f"rows of {lacking.path} carry no ids and are known by their numbers",)
        of_teacher, of_student = (RowNumbers(side.n) if side.ids is None else side.ids for side in sides)
        return of_teacher, of_student

    def _pair_by_ids(self, of_teacher: Rows, of_student: Rows, join: str | None) -> None:
        same = _same(of_teacher, of_student)
        if same and not self.by_ids:
            return
        found = joined(of_teacher, of_student)
        if self.by_ids and found.repeated is not None:
            raise Mismatch(self._of_repeated(found.repeated, of_teacher, of_student))
        if same:
            return
        lacking = found.only_teacher
        if lacking == self.teacher.n or (join is None and (lacking or found.only_student)):
            raise Mismatch(self._of_other_examples(found))
        if not self.by_ids:
            raise Mismatch("teacher and student hold the same examples in another order; pass --align ids to pair them")
        self._order = found.order
        if lacking:
            self.rows = np.flatnonzero(found.order >= 0)
            self._order = found.order[self.rows]
            self.ids = ChosenIds(of_teacher, self.rows)
        if lacking or found.only_student:
            self.notes += (
                f"joined by example id: {self.n:,} rows are in both; {lacking:,} of the teacher and "
                f"{found.only_student:,} of the student are in one only, and were left out",
            )
        if (np.diff(self._order) < 0).any():
            self.notes += ("rows of the student were re-ordered by example id",)

    def _of_other_examples(self, found: Joined) -> str:
        """Why rows cannot be paired: some are in one side only."""
        t, s = (shown(side.path, 40) for side in (self.teacher, self.student))
        lacking = f"{found.only_teacher} of {self.teacher.n} examples of teacher {t} are not in student {s}"
        if not self.by_ids or found.only_teacher == self.teacher.n:
            return f"{lacking}; extract both from the same data"
        return f"{lacking}, {found.only_student} of {self.student.n} the other way; pass --join inner to leave them out"

    def _of_repeated(self, repeated: tuple[str, int, int], of_teacher: Rows, of_student: Rows) -> str:
        """Why rows cannot be paired: one id stands in two of them."""
        role, first, second = repeated
        side, ids = (self.teacher, of_teacher) if role == "teacher" else (self.student, of_student)
        (identity,) = identities(np.asarray(ids[first : first + 1]))
        text = identity.hex() if isinstance(identity, bytes) else str(identity)
        return (
            f"{role} {shown(side.path)} has the id {one_line(text, 40)} in rows {first} and {second}, so that rows "
            "cannot be paired by id; give each its own"
        )

    def _require_same_labels(self) -> None:
        for side in (self.teacher, self.student):
            if side.labels is not None and len(side.labels) != side.n:
                raise Mismatch(f"{side.path} has {len(side.labels)} labels for {side.n} examples; write it again")
        ours, theirs = self._labels()
        if ours is not None and theirs is not None and not np.array_equal(ours, theirs):
            count = int((ours != theirs).sum())
            raise Mismatch(
                f"{count} of {self.n} labels differ between teacher and student; extract both from the same data"
            )


def _same(of_teacher: Rows, of_student: Rows) -> bool:
    """Whether ids are equal row by row, a block of each in memory."""
    return of_teacher.shape == of_student.shape and all(
        np.array_equal(of_teacher[start : start + BLOCK_ROWS], of_student[start : start + BLOCK_ROWS])
        for start in range(0, of_teacher.shape[0], BLOCK_ROWS)
    )
