"""FeaturePair: features of a teacher and a student that exist together only if their rows correspond."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.activations.units import unit_of
from kernelscope.errors import Mismatch, UsageError, one_line, shown
from kernelscope.features.arrays import ASSUMED
from kernelscope.features.id_keys import identities
from kernelscope.kernels.row_views import Reordered
from kernelscope.kernels.rows import BLOCK_ROWS

if TYPE_CHECKING:
    from kernelscope.features.protocol import Features
    from kernelscope.kernels.rows import Rows


class FeaturePair:
    """Two stores over the same examples in the same order.

    Args:
        align: ``"ids"`` pairs a student whose examples stand in another order.

    Raises:
        Mismatch: other examples, another order, other labels, or to be paired by ids that repeat.
    """

    def __init__(self, teacher: Features, student: Features, *, align: str | None = None) -> None:
        self.teacher, self.student = teacher, student
        self.notes: tuple[str, ...] = ()
        self._order: np.ndarray | None = None
        if teacher.n != student.n:
            raise Mismatch(self._of_other_numbers())
        if align not in (None, "ids"):
            raise UsageError(f"align is {align!r}, expected 'ids'; leave it out for rows that stand in one order")
        if teacher.ids is None or student.ids is None:
            if align == "ids":
                without = teacher.path if teacher.ids is None else student.path
                raise Mismatch(f"{without} has no ids to align by; store ids, or leave out --align")
            self.notes = (ASSUMED,)
        else:
            self._pair_by_ids(teacher.ids, student.ids, align)
        self._require_same_labels()

    @property
    def n(self) -> int:
        return int(self.teacher.n)

    @property
    def ids(self) -> Rows | None:
        return self.teacher.ids if self.teacher.ids is not None else self.student.ids

    @property
    def labels(self) -> np.ndarray | None:
        """Class of each example, from whichever side knows."""
        if self.teacher.labels is not None:
            return np.asarray(self.teacher.labels)
        labels = self.student.labels
        return labels if labels is None or self._order is None else np.asarray(labels)[self._order]

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
        return self.teacher.order_sha256 or self.student.order_sha256

    def pair(self, teacher_layer: str, student_layer: str) -> tuple[Rows, Rows]:
        """``(X_T, X_S)`` of one layer each, row by row the same examples."""
        X_S = self.student.features(student_layer)
        return self.teacher.features(teacher_layer), X_S if self._order is None else Reordered(X_S, self._order)

    def _of_other_numbers(self) -> str:
        """Why rows cannot be paired: other examples, or maps of other sizes."""
        noun, fix = "examples", "extract both from the same data"
        if self.of_positions:
            noun, fix = "positions", "if their maps differ in size, pass --pool grid:HxW"
        found = [f"{shown(side.path)} has {side.n:,} {noun}" for side in (self.teacher, self.student)]
        return f"teacher {found[0]}, student {found[1]}; {fix}"

    def _pair_by_ids(self, of_teacher: Rows, of_student: Rows, align: str | None) -> None:
        if align == "ids":
            _require_distinct("teacher", self.teacher.path, of_teacher)
            _require_distinct("student", self.student.path, of_student)
        if not _same(of_teacher, of_student):
            self._order = self._other_order(of_teacher[:], of_student[:], align)
            self.notes = ("rows of the student were re-ordered by example id",)

    def _other_order(self, of_teacher: np.ndarray, of_student: np.ndarray, align: str | None) -> np.ndarray:
        """Where each of the teacher's examples stands in the student's rows."""
        where = {identity: row for row, identity in enumerate(identities(of_student))}
        order = np.array([where.get(identity, -1) for identity in identities(of_teacher)])
        others = int((order < 0).sum())
        if others:
            raise Mismatch(
                f"{others} of {self.n} examples of teacher {self.teacher.path} are not in student {self.student.path}; "
                "extract both from the same data"
            )
        if align != "ids":
            raise Mismatch("teacher and student hold the same examples in another order; pass --align ids to pair them")
        return order

    def _require_same_labels(self) -> None:
        ours, theirs = self.teacher.labels, self.student.labels
        for side in (self.teacher, self.student):
            if side.labels is not None and len(side.labels) != self.n:
                raise Mismatch(f"{side.path} has {len(side.labels)} labels for {self.n} examples; write it again")
        if ours is None or theirs is None:
            return
        theirs = theirs if self._order is None else theirs[self._order]
        if not np.array_equal(ours, theirs):
            count = int((np.asarray(ours) != np.asarray(theirs)).sum())
            raise Mismatch(
                f"{count} of {self.n} labels differ between teacher and student; extract both from the same data"
            )


def _require_distinct(role: str, path: str, ids: Rows) -> None:
    """Refuse to pair by ids of which one stands in two rows."""
    seen: dict[Any, int] = {}
    for row, identity in enumerate(identities(ids[:])):
        first = seen.setdefault(identity, row)
        if first != row:
            text = identity.hex() if isinstance(identity, bytes) else str(identity)
            raise Mismatch(
                f"{role} {shown(path)} has the id {one_line(text, 40)} in rows {first} and {row}, so that rows "
                "cannot be paired by id; give each its own"
            )


def _same(of_teacher: Rows, of_student: Rows) -> bool:
    """Whether ids are equal row by row, a block of each in memory."""
    return all(
        np.array_equal(of_teacher[start : start + BLOCK_ROWS], of_student[start : start + BLOCK_ROWS])
        for start in range(0, of_teacher.shape[0], BLOCK_ROWS)
    )
