"""Files of pinned rows hold what was pinned, and are refused in one line when they do not."""

import dataclasses
import random

import h5py
import numpy as np
import pytest

import kernelscope as ks
from kernelscope.datasets import hdf5_outline
from kernelscope.datasets.hdf5_inputs import arrays_of
from kernelscope.errors import UnreadableInput
from kernelscope.features import pinned
from kernelscope.features.pinned import pinned_in_arrays, read_pinned
from kernelscope.plain_file import OpenFile
from tests.features.mutants import mutated


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("pinned"), np.random.default_rng(0)
    np.savez(folder / "x.npz", a=rng.standard_normal((40, 3)), b=rng.standard_normal((40, 2)), ids=np.arange(40))
    ks.pin(folder / "x.npz", at_most=["change=0.1", "loss=0.2"], at_least=["overlap=0.5"], out=folder / "r.ksref")
    return folder / "r.ksref"


def read_here(path):
    """:func:`read_pinned` without a child process, which a file of ours that HDF5 reads does not need."""
    stored = arrays_of(path, OpenFile(path), hdf5_outline.outline(str(path), set()), pinned.FORMAT)
    return pinned_in_arrays(path, stored)


def test_what_is_written_is_what_is_read(path, tmp_path):
    found = read_pinned(path)
    found.save(tmp_path / "again.ksref")
    again = read_pinned(tmp_path / "again.ksref")
    assert (tmp_path / "again.ksref").read_bytes() == path.read_bytes()
    for field in dataclasses.fields(found):
        one, two = (getattr(each, field.name) for each in (found, again))
        assert field.name in ("origin", "rows") or np.array_equal(one, two), field.name
    assert found.gates == (("change", 0.1, True), ("loss", 0.2, True), ("overlap", 0.5, False))
    assert found.ids.shape == (40, 16)


def changed(path, folder, **parts):
    """A file whose checksums are right, with other values."""
    dataclasses.replace(read_here(path), **parts).save(folder / "x.ksref")
    return folder / "x.ksref"


@pytest.mark.parametrize(
    "parts",
    [
        {"width": 4}, {"name": "re:(a+)+$"}, {"name": "b"}, {"scale": 3.0}, {"scale": -1.0}, {"scale": 2.0**1023},
        {"floor": float("nan")},
        {"limit": float("inf")},
    ],
    ids=str,
)  # fmt: skip
def test_layers_that_cannot_be_are_refused(path, tmp_path, parts):
    first, second = read_here(path).layers
    rows = read_here(path).rows
    other = dataclasses.replace(first, **parts)
    file = changed(path, tmp_path, layers=(other, second), rows={**rows, other.name: rows["a"]})
    with pytest.raises(UnreadableInput, match="is corrupt"):
        read_here(file)


@pytest.mark.parametrize(
    "parts",
    [
        {"ids": np.zeros((39, 16), np.uint8)},
        {"rows": {"a": np.full((40, 3), np.nan, "<f4"), "b": np.ones((40, 2), "<f4")}},
        {"rows": {"a": np.ones((40, 3), "<f8"), "b": np.ones((40, 2), "<f4")}}, {"preprocess": [3]}, {"dtype": "int8"},
        {"data": {"name": "digits"}}, {"gates": ((1, "x"),)}, {"layers": ()},
        {"gates": (("cka", 1.0, True),)}, {"gates": ()}, {"pool": "patch"},
    ],
    ids=str,
)  # fmt: skip
def test_values_that_cannot_be_are_refused(path, tmp_path, parts):
    with pytest.raises(UnreadableInput, match="is corrupt"):
        read_here(changed(path, tmp_path, **parts))


def test_a_later_version_and_other_kinds_are_told_by_their_names(path, tmp_path, monkeypatch):
    found = read_here(path)
    with monkeypatch.context() as later:
        later.setattr(pinned, "FORMAT_VERSION", 2)
        found.save(tmp_path / "v.ksref")
    with pytest.raises(UnreadableInput, match="format_version 2, expected 1; update"):
        read_here(tmp_path / "v.ksref")
    with pytest.raises(UnreadableInput, match="holds pinned rows; give it to gate as pinned="):
        ks.measure(teacher=path, student=path)
    with h5py.File(tmp_path / "x.h5", "w") as other:
        other["x"] = np.ones((3, 2))
    with pytest.raises(UnreadableInput, match="write one by kernelscope pin"):
        read_here(tmp_path / "x.h5")


def accidents(path, folder, seeds):
    refused, expected = 0, read_pinned(path)
    for seed in seeds:
        broken = folder / "m.ksref"
        broken.write_bytes(mutated(path.read_bytes(), random.Random(seed)))
        try:
            found = read_pinned(broken)
        except UnreadableInput as error:
            refused += 1
            assert "\n" not in str(error)
            continue
        assert all(np.array_equal(rows, expected.rows[name]) for name, rows in found.rows.items())
    return refused


def test_accidents_are_refused_or_harmless(path, tmp_path):
    assert accidents(path, tmp_path, range(2)) >= 1


@pytest.mark.long
def test_three_hundred_accidents_are_refused_or_harmless(path, tmp_path):
    assert accidents(path, tmp_path, range(100, 400)) >= 100


def test_a_bit_in_rows_is_found(path, tmp_path):
    content = bytearray(path.read_bytes())
    content[content.index(read_here(path).rows["a"].tobytes()) + 17] ^= 4
    (tmp_path / "x.ksref").write_bytes(content)
    with pytest.raises(UnreadableInput, match="corrupt"):
        read_pinned(tmp_path / "x.ksref")
