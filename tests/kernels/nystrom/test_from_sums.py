"""Class means from sums give what a pass over the rows gives, and nothing where sums would cancel."""

import dataclasses

import numpy as np
import pytest

from kernelscope.errors import Mismatch
from kernelscope.kernels.distance.exact import ScaledSums, well_scaled_sums
from kernelscope.kernels.distance.layer_grid import layer_sums
from kernelscope.kernels.nystrom.choosing import class_means
from kernelscope.kernels.nystrom.class_sums import ClassSummation
from kernelscope.kernels.nystrom.from_sums import nystrom_sums, sides
from kernelscope.kernels.nystrom.nystrom import partial
from kernelscope.kernels.rows import Summed
from kernelscope.kernels.similarity.within_class import within_class_cka, within_class_of_sums

KEYS = ("student", "s"), ("teacher", "t")


def pair_of(rng, n=600, classes=5):
    y = rng.integers(0, classes, n)
    T = rng.standard_normal((n, 8)) + 2 * rng.standard_normal((classes, 8))[y]
    return y, T, T[:, :6] @ rng.standard_normal((6, 6)) + 0.2 * rng.standard_normal((n, 6))


def summed(y, T, S):
    """Class sums and Grams of these rows, which are then gone."""
    classes = ClassSummation(y, {("teacher", "t"): T, ("student", "s"): S})
    sums = layer_sums(teacher={"t": T}, student={"s": S}, once=True, beside=[classes])
    gone = Summed(T.shape, T.dtype), Summed(S.shape, S.dtype)
    return classes.total(), ScaledSums(*gone, sums.pair("t", "s"), 1.0, bool(sums.same), once=True)


def numbers(values):
    for name, value in vars(values).items():
        if dataclasses.is_dataclass(value):
            yield from ((f"{name}.{inner}", x) for inner, x in numbers(value))
        elif isinstance(value, float | np.ndarray):
            yield name, value


@pytest.mark.parametrize("seed", range(3))
def test_nystrom_sums_without_rows_are_those_of_the_rows(seed):
    y, T, S = pair_of(np.random.default_rng(seed))
    y[:7] = -1  # of no class
    classes, scaled = summed(y, T, S)
    student, teacher = sides(scaled, classes, KEYS)
    found = dict(numbers(nystrom_sums(scaled, student, teacher, classes)))
    wanted = dict(numbers(partial(teacher=T, student=S, landmarks=class_means(y))))
    compared = set(found) - {"dC_sums", "teacher.longest", "student.longest"}
    assert len(compared) >= 25
    for name in compared:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-9, err_msg=name)


def test_a_student_that_is_nearly_the_teacher_has_no_nystrom_sums():
    y, T, _ = pair_of(np.random.default_rng(4))
    classes, scaled = summed(y, T, T * (1 + 1e-5))
    student, teacher = sides(scaled, classes, KEYS)
    assert nystrom_sums(scaled, student, teacher, classes) is None


def test_classes_that_span_the_features_leave_no_residual():
    y, T, S = pair_of(np.random.default_rng(8), classes=9)
    T[:, 3] = 0.0  # a dead unit
    classes, scaled = summed(y, T, S)
    found = nystrom_sums(scaled, *sides(scaled, classes, KEYS), classes)
    assert (found.teacher.rank, found.student.rank) == (7, 6)
    assert found.teacher.residual == found.student.residual == 0.0
    rows = partial(teacher=T, student=S, landmarks=class_means(y))
    assert found.dK == pytest.approx(rows.dK, rel=1e-9)
    assert rows.teacher.residual < 1e-12 * rows.teacher.K_norm


def test_cka_within_classes_without_rows_is_that_of_the_rows():
    y, T, S = pair_of(np.random.default_rng(5))
    y[0] = 99  # the only one of its class
    classes, scaled = summed(y, T, S)
    means = np.hstack([classes.means(key) for key in KEYS])
    squares = np.array([classes.squares[key][0] for key in KEYS])
    found = within_class_of_sums(scaled.sums, means, squares, classes.counts)
    wanted = within_class_cka(well_scaled_sums(teacher=T, student=S), y)
    assert found.value == pytest.approx(wanted.value, rel=1e-10)
    assert found.chance == pytest.approx(wanted.chance, rel=1e-10)


def test_rows_that_are_their_class_means_have_no_cka_within_classes():
    y = np.arange(40) % 4
    T = np.random.default_rng(6).standard_normal((4, 3))[y]
    classes, scaled = summed(y, T, T[:, :2])
    means = np.hstack([classes.means(key) for key in KEYS])
    squares = np.array([classes.squares[key][0] for key in KEYS])
    assert within_class_of_sums(scaled.sums, means, squares, classes.counts) is None


def test_classes_that_stand_in_one_shard_alone_are_kept():
    y, T, S = pair_of(np.random.default_rng(7), classes=6)
    order = np.argsort(y, kind="stable")
    y, T, S = y[order], T[order], S[order]
    (one, _), (two, _), (whole, _) = (
        summed(y[at], T[at], S[at]) for at in (slice(0, 250), slice(250, None), slice(None))
    )
    for merged in (one.merged(two), two.merged(one)):
        assert merged.labels.tolist() == whole.labels.tolist() and merged.counts.tolist() == whole.counts.tolist()
        for key in KEYS:
            np.testing.assert_allclose(merged.means(key), whole.means(key), rtol=1e-13)
            np.testing.assert_allclose(merged.squares[key][0], whole.squares[key][0], rtol=1e-13)


def test_labels_that_are_all_negative_are_refused():
    with pytest.raises(Mismatch, match="no example has a label"):
        ClassSummation(np.full(4, -1), {("teacher", "t"): np.ones((4, 2))})
