"""Arrays in NumPy files are read as they are sliced, and only while the file stays as it was opened."""

import os

import numpy as np
import pytest

import kernelscope as ks
from kernelscope import numpy_files
from kernelscope.errors import UnreadableInput
from kernelscope.numpy_files import load_npy, open_npy
from kernelscope.plain_file import OpenFile

KINDS = [
    (shape, kind, order) for shape in ((50, 7), (50, 3, 4), (50,)) for kind in ("<f4", ">f8", "u1") for order in "CF"
]


@pytest.fixture
def on_disk(monkeypatch):
    """Every array counts as a large one."""
    monkeypatch.setattr(numpy_files, "HELD_BYTES", 0)


@pytest.mark.parametrize(("shape", "kind", "order"), KINDS)
def test_slices_are_those_of_the_array_however_it_is_stored(shape, kind, order, tmp_path, on_disk):
    X = np.asarray(np.random.default_rng(0).integers(0, 100, shape).astype(kind), order=order)
    np.save(tmp_path / "x.npy", X)
    stored = open_npy(tmp_path / "x.npy")
    assert (stored.shape, stored.dtype, stored.nbytes, len(stored)) == (X.shape, X.dtype, X.nbytes, 50)
    for rows in (slice(None), slice(3, 17), slice(40, 60), slice(5, 5), slice(1, 30, 3), slice(None, None, -1)):
        np.testing.assert_array_equal(stored[rows], X[rows])
    np.testing.assert_array_equal(load_npy(tmp_path / "x.npy"), X)


@pytest.mark.parametrize("shape", [(10**12, 4), (10**30, 4), (10**12, 0, 10**30, 2), (1,) * 70])
def test_rows_that_are_declared_and_not_there_are_a_lie_of_the_file(shape, tmp_path):
    with (tmp_path / "x.npy").open("wb") as stream:
        np.lib.format.write_array_header_2_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
        stream.write(bytes(100))
    with pytest.raises(UnreadableInput, match=r"declares [\d,]+ bytes of numbers and holds 100|a shape that cannot be"):
        open_npy(tmp_path / "x.npy")


def test_objects_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(UnreadableInput, match="it holds Python objects, which are not read"):
        open_npy(tmp_path / "x.npy")


@pytest.mark.parametrize("change", ["cut", "grow", "rewrite"])
def test_a_file_that_is_written_while_it_is_read_is_refused(change, tmp_path, on_disk):
    """Mapped into memory, one that is cut short would end the process by a signal."""
    np.save(tmp_path / "x.npy", np.ones((100, 4)))
    stored = open_npy(tmp_path / "x.npy")
    assert stored[:10].sum() == 40
    size = (tmp_path / "x.npy").stat().st_size
    if change == "rewrite":
        (tmp_path / "x.npy").write_bytes(bytes(size))
        os.utime(tmp_path / "x.npy", ns=(0, 1))
    else:
        os.truncate(tmp_path / "x.npy", size + (-800 if change == "cut" else 800))
    with pytest.raises(UnreadableInput, match=r"x\.npy changed while it was read; run again when nothing writes it"):
        stored[:10]


def test_a_file_that_is_replaced_is_read_as_it_was(tmp_path, on_disk):
    np.save(tmp_path / "x.npy", np.ones((100, 4)))
    stored = open_npy(tmp_path / "x.npy")
    np.save(tmp_path / "y.npy", np.zeros((5, 4)))
    (tmp_path / "y.npy").replace(tmp_path / "x.npy")
    assert stored[:].sum() == 400


def test_a_report_on_a_file_that_changes_is_refused(tmp_path, on_disk, monkeypatch):
    rng = np.random.default_rng(0)
    for name in ("t.npy", "s.npy"):
        np.save(tmp_path / name, rng.standard_normal((300, 4)))
    read, calls = OpenFile.read_at, []

    def writing(file, offset, count):
        calls.append(count)
        if len(calls) == 3:
            os.utime(tmp_path / "s.npy", ns=(0, 1))
        return read(file, offset, count)

    monkeypatch.setattr(OpenFile, "read_at", writing)
    with pytest.raises(UnreadableInput, match="changed while it was read"):
        ks.measure(teacher=tmp_path / "t.npy", student=tmp_path / "s.npy")
