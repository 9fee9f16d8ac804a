"""Files of sums hold what was added up, are refused when they do not, and take no more memory than they are large."""

import dataclasses
import random

import h5py
import numpy as np
import pytest

import kernelscope as ks
from kernelscope.datasets import hdf5_outline
from kernelscope.datasets.hdf5_inputs import arrays_of
from kernelscope.errors import KernelscopeError, UnreadableInput, UsageError
from kernelscope.features import sums_file
from kernelscope.features.sums_file import read_sums, sums_in_arrays, write_sums
from kernelscope.plain_file import OpenFile
from tests.features.mutants import mutated


def some_sums(folder, n=60, seed=0):
    """A file of sums of two layers against one, with labels and ids."""
    rng = np.random.default_rng(seed)
    T = {"a": rng.standard_normal((n, 4)).astype(np.float32), "b": rng.standard_normal((n, 3))}
    ids = rng.integers(0, 256, (n, 16)).astype(np.uint8)
    for name, arrays in (("t", T), ("s", {"a": T["a"][:, :2] + 1, "b": T["b"]})):
        np.savez(folder / f"{name}.npz", ids=ids, labels=np.arange(n) % 3, **arrays)
    path = folder / "p.kss"
    ks.measure(teacher=folder / "t.npz", student=folder / "s.npz", layers="a,b", sums_out=path)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return some_sums(tmp_path_factory.mktemp("sums"))


@pytest.fixture(scope="module")
def sums(path):
    return read_sums(path)


def same(one, two):
    """Whether two values are equal, arrays number by number."""
    if isinstance(one, np.ndarray):
        return one.dtype == two.dtype and np.array_equal(one, two)
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(two, f.name)) for f in dataclasses.fields(one))
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return same(vars(one), vars(two)) if hasattr(one, "so_far") else one == two


def test_what_is_written_is_what_is_read(path, sums, tmp_path):
    write_sums(tmp_path / "again.kss", sums)
    again = read_sums(tmp_path / "again.kss")
    assert same(dataclasses.replace(again, origin=sums.origin), sums)
    assert (tmp_path / "again.kss").read_bytes() == path.read_bytes()
    assert sums.by_class.labels.tolist() == [0, 1, 2] and sums.shards[0].ids.shape == (60, 16)
    assert [layer.dtype for layer in sums.layers] == ["float32", "float64"] * 2
    assert sums.sums.same == {("b", "b")}


def read_here(path):
    """:func:`read_sums` without a child process, which a file of ours that HDF5 reads does not need."""
    return sums_in_arrays(
        path, arrays_of(path, OpenFile(path), hdf5_outline.outline(str(path), set()), sums_file.FORMAT)
    )


def changed(given, folder, **parts):
    """A file whose checksums are right and whose sums are not."""
    write_sums(folder / "x.kss", dataclasses.replace(given, **parts))
    return folder / "x.kss"


def of_layers(sums, change):
    """The sums with other numbers in the Gram of the even rows of every layer."""
    own = {key: ((change(even[0].copy()), even[1]), odd) for key, (even, odd) in sums.sums.own.items()}
    return dataclasses.replace(sums.sums, own=own)


def with_nan(G):
    G[0, 0] = np.nan
    return G


def lopsided(G):
    G[0, 1] += 1
    return G


@pytest.mark.parametrize("change", [np.negative, with_nan, lopsided], ids=["negative", "nan", "lopsided"])
def test_grams_that_no_rows_have_are_refused(change, sums, tmp_path):
    with pytest.raises(UnreadableInput, match="corrupt"):
        read_here(changed(sums, tmp_path, sums=of_layers(sums, change)))


def indefinite(G):
    return G * (2 * np.eye(len(G)) - 1)


def huge(G):
    return G * 1e200


@pytest.mark.parametrize("change", [indefinite, huge, np.zeros_like], ids=["indefinite", "huge", "zero"])
def test_sums_that_pass_the_door_and_mean_nothing_end_in_a_line(change, sums, tmp_path):
    path = changed(sums, tmp_path, sums=of_layers(sums, change))
    try:
        assert len(ks.measure(sums=path)) == 2
    except KernelscopeError as error:
        assert error.exit_code in (3, 5)


def test_counts_rows_and_shards_that_disagree_are_refused(sums, tmp_path):
    more = dataclasses.replace(sums.by_class, counts=sums.by_class.counts + 99)
    shard = dataclasses.replace(sums.shards[0], rows=61, ids=None)
    for parts in (
        {"by_class": more},
        {"shards": (shard,)},
        {"pairs": (("a", "nothing"),)},
        {"shards": (dataclasses.replace(shard, rows=-1), dataclasses.replace(shard, rows=61))},
    ):
        with pytest.raises(UnreadableInput, match="corrupt"):
            read_here(changed(sums, tmp_path, **parts))


def test_arrays_that_share_their_bytes_are_refused_before_they_are_read(path, tmp_path):
    with h5py.File(path) as file:
        whole = {name: file[name][()] for name in file}
    with h5py.File(tmp_path / "x.kss", "w") as file:
        file.attrs["format"] = sums_file.FORMAT
        for name, array in whole.items():
            file[name] = array
        file["large"] = np.zeros(10_000)
        for number in range(500):
            file[f"more{number}"] = file["large"]  # a hard link
    with pytest.raises(UnreadableInput, match=r"corrupt \(its arrays overlap\)"):
        read_here(tmp_path / "x.kss")


@pytest.mark.parametrize("name", ["own0000", "cross", "lengths", "class_sums", "ids", "outline", "weighted"])
def test_a_flipped_bit_is_found_in_every_array(name, path, tmp_path):
    with h5py.File(path) as file:
        at = file[name].id.get_offset() + file[name].nbytes // 2
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    (tmp_path / "x.kss").write_bytes(content)
    with pytest.raises(UnreadableInput, match="corrupt"):
        read_here(tmp_path / "x.kss")


def accidents(path, folder, seeds):
    original, refused = read_sums(path), 0
    for seed in seeds:
        broken = folder / "x.kss"
        broken.write_bytes(mutated(path.read_bytes(), random.Random(seed)))
        try:
            assert same(dataclasses.replace(read_sums(broken), origin=original.origin), original)
        except UnreadableInput as error:
            refused += 1
            assert "\n" not in str(error)
    return refused


def test_accidents_are_refused_or_harmless(path, tmp_path):
    assert accidents(path, tmp_path, range(3)) >= 1


@pytest.mark.long
def test_three_hundred_accidents_are_refused_or_harmless(path, tmp_path):
    assert accidents(path, tmp_path, range(100, 400)) >= 100


def test_other_files_are_told_what_they_are(path, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.ones((3, 2))
    with pytest.raises(UnreadableInput, match="is no readable HDF5 file"):
        read_sums(tmp_path / "x.npy")
    with pytest.raises(UnreadableInput, match=r"no kernelscope\.sums file; write sums with sums_out="):
        read_sums(tmp_path / "x.h5")
    with pytest.raises(UnreadableInput, match="holds sums, not rows; give it as sums="):
        ks.measure(teacher=path, student=path)


def test_more_layers_than_a_file_holds_are_refused(sums, tmp_path, monkeypatch):
    monkeypatch.setattr(sums_file, "MOST_LAYERS", 3)
    with pytest.raises(UsageError, match="4 layers in one file of sums"):
        write_sums(tmp_path / "x.kss", sums)
    assert not list(tmp_path.iterdir())
