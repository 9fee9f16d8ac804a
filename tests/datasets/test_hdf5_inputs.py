"""HDF5 inputs are read from plain bytes, chunk by chunk, in time and memory that do not grow out of proportion."""

import base64
import json
import os
import time
import tracemalloc
import zlib

import h5py
import numpy as np
import pytest

from kernelscope.datasets import hdf5_inputs
from kernelscope.datasets.arrays import TEXT_NAMES
from kernelscope.datasets.hdf5_chunks import ChunkedRows, undone
from kernelscope.datasets.hdf5_inputs import open_datasets
from kernelscope.datasets.sources import load
from kernelscope.errors import UnreadableInput
from kernelscope.plain_file import OpenFile

RNG = np.random.default_rng(0)
X = RNG.integers(0, 40, (53, 3, 7, 5)).astype(np.float32)


def written(path, x=X, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=x, **options)
    return path


def read(path):
    return open_datasets(path, TEXT_NAMES)["x"]


GRIDS = [(53, 3, 7, 5), (1, 3, 7, 5), (10, 2, 3, 4), (60, 3, 7, 5), (7, 1, 7, 1)]
FILTERS = [
    {},
    {"compression": "gzip"},
    {"compression": "gzip", "shuffle": True, "fletcher32": True},
    {"compression": "lzf", "shuffle": True},
    {"compression": "lzf"},
    {"fletcher32": True},
]


def test_every_filter_and_grid_gives_what_was_written(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for chunks in GRIDS:
            for options in FILTERS:
                more = options | ({"maxshape": (None, 3, 7, 5)} if chunks[0] > 53 else {})
                file.create_dataset(f"{chunks} {options}", data=X, chunks=chunks, **more)
    found = open_datasets(tmp_path / "x.h5", TEXT_NAMES)
    assert len(found) == len(GRIDS) * len(FILTERS)
    for name, rows in found.items():
        assert (rows.shape, rows.dtype, rows.nbytes) == (X.shape, X.dtype, X.nbytes)
        for part in (slice(None), slice(0, 20), slice(11, 12), slice(50, 99), slice(5, 5), slice(3, 40, 7)):
            np.testing.assert_array_equal(rows[part], X[part], err_msg=f"{name} {part}")


def test_numbers_of_every_kind_come_as_written(tmp_path):
    arrays = {
        kind: RNG.integers(0, 2, (11, 3)).astype(kind) for kind in ["?", "u1", "<i2", ">i4", "u8", "<f2", ">f4", "f8"]
    }
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for kind, x in arrays.items():
            file[kind] = x
            file.create_dataset(f"gzip {kind}", data=x, chunks=(4, 3), compression="gzip")
    found = open_datasets(tmp_path / "x.h5", TEXT_NAMES)
    for name, rows in found.items():
        x = arrays[name.removeprefix("gzip ")]
        assert rows.dtype == x.dtype
        np.testing.assert_array_equal(rows[:], x)
        np.testing.assert_array_equal(rows[2:7:2], x[2:7:2])


def test_what_compresses_badly_is_left_as_it_is(tmp_path):
    x = RNG.integers(0, 256, (40, 999)).astype(np.uint8)
    np.testing.assert_array_equal(read(written(tmp_path / "x.h5", x, chunks=(9, 999), compression="lzf"))[:], x)


def test_checksums_are_those_of_the_library(tmp_path):
    lengths = (1, 2, 719, 720, 721, 2**16 + 3, 400_001)
    arrays = {f"{n} {most}": RNG.integers(most, 256, n).astype(np.uint8) for n in lengths for most in (0, 255)}
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name, x in arrays.items():
            file.create_dataset(name, data=x, chunks=x.shape, fletcher32=True)
    found = open_datasets(tmp_path / "x.h5", TEXT_NAMES)
    written_at = (tmp_path / "x.h5").stat().st_mtime_ns
    with (tmp_path / "x.h5").open("r+b") as stream:
        for name, rows in found.items():
            np.testing.assert_array_equal(rows[:], arrays[name])
            rows._kept = (-1, np.empty(0))
            stream.seek(int(rows.places[0, 0]) + len(rows) // 2)
            stream.write(bytes([arrays[name][len(rows) // 2] ^ 4]))
            stream.flush()
            os.utime(tmp_path / "x.h5", ns=(written_at, written_at))  # a disk that decays says nothing of it
            with pytest.raises(UnreadableInput, match=r"damaged chunk 0 \(its checksum does not fit\)"):
                rows[:]


def test_one_large_chunk_is_read_in_time_of_its_size(tmp_path):
    """12.8 MB; by blocks of 256 rows through the library it was undone two hundred times."""
    x = (RNG.integers(0, 9, (50_000, 64)) * np.linspace(0, 1, 64)).astype(np.float32)
    path = written(tmp_path / "x.h5", x, chunks=x.shape, compression="gzip", compression_opts=1)
    plain = written(tmp_path / "plain.h5", x)
    spent = []
    for each in (plain, path):
        started = time.process_time()
        assert load(str(each)).n == 50_000
        spent.append(time.process_time() - started)
    assert spent[1] < spent[0] + 1


def test_fifty_thousand_chunks_are_read_in_seconds(tmp_path):
    x = np.arange(50_000 * 8, dtype=np.int32).reshape(50_000, 8)
    path = written(tmp_path / "x.h5", x, chunks=(1, 8), compression="gzip", compression_opts=1)
    started = time.process_time()
    rows = read(path)
    np.testing.assert_array_equal(np.concatenate([rows[i : i + 256] for i in range(0, 50_000, 256)]), x)
    assert time.process_time() - started < 5


def test_memory_does_not_grow_with_the_rows_of_a_chunk_beyond_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr("kernelscope.datasets.hdf5_chunks.BLOCK_BYTES", 2**16)
    x = np.zeros((64, 2**16), np.uint8)
    rows = read(written(tmp_path / "x.h5", x, chunks=(64, 2**10), compression="gzip"))
    assert rows.block_rows == 1
    tracemalloc.start()
    for start in range(8):
        rows[start : start + 1]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**19


def told(entries, **changes):
    """The outline of an array of four chunks as a child may tell it."""
    index = base64.b64encode(np.array(entries, np.int64).tobytes()).decode()
    stated = {"shape": [8, 4], "dtype": "|u1", "chunks": [2, 4], "filters": [], "index": index}
    return {"format": None, "datasets": {"x": stated | changes}}


GOOD = [[i, 8 * i, 8, 0] for i in range(4)]
LIES = {
    "overlapping": told([*GOOD[:3], [3, 20, 8, 0]]),
    "twice": told([*GOOD, [3, 40, 8, 0]]),
    "one missing": told(GOOD[:3]),
    "another number": told([*GOOD[:3], [9, 24, 8, 0]]),
    "negative": told([*GOOD[:3], [3, -8, 8, 0]]),
    "beyond the end": told([*GOOD[:3], [3, 4090, 8, 0]]),
    "far beyond it": told([*GOOD[:3], [3, 2**63 - 4, 2**62, 0]]),
    "of no length": told([*GOOD[:3], [3, 24, 0, 0]]),
    "another size": told([*GOOD[:3], [3, 24, 9, 0]]),
    "half an entry": told(GOOD[0][:3]),
    "a trillion rows": told(GOOD, shape=[10**12, 4]),
    "an endless row": told(GOOD, shape=[8, 10**12], chunks=[2, 10**12]),
    "an endless chunk": told(GOOD, chunks=[10**12, 4]),
    "no chunk": told(GOOD, chunks=[0, 4]),
    "other sides": told(GOOD, chunks=[2]),
    "objects": told(GOOD, dtype="|O"),
    "no type": told(GOOD, dtype="what"),
    "a type that NumPy cannot parse": told(GOOD, dtype=",|u1"),
    "a list of datasets": {"format": None, "datasets": []},
    "filters that are none": told(GOOD, filters=[[1]]),
    "numbers of no width": told(GOOD, filters=[[2, [0]]]),
    "a filter without its number": told(GOOD, filters=[[2, []]]),
    "a negative side": told(GOOD, shape=[-8, 4]),
    "a plain array beyond the end": {"format": None, "datasets": {"x": {"shape": [9], "dtype": "|u1", "offset": 4090}}},
    "nothing": {"format": None},
}


@pytest.mark.parametrize("lie", LIES)
def test_an_index_that_lies_is_refused(lie, tmp_path, monkeypatch):
    path = tmp_path / "x.h5"
    path.write_bytes(bytes(4096))
    answer = json.dumps({"outline": LIES[lie]}).encode()
    monkeypatch.setattr(hdf5_inputs.isolated, "ask", lambda *given, **more: (0, answer, b""))
    with pytest.raises(UnreadableInput) as caught:
        read(path)[:]
    assert str(caught.value).isprintable() and str(path) in str(caught.value)


def test_the_index_that_the_lies_are_told_about_is_read(tmp_path, monkeypatch):
    (tmp_path / "x.h5").write_bytes(bytes(range(32)) + bytes(4064))
    answer = json.dumps({"outline": told(GOOD)}).encode()
    monkeypatch.setattr(hdf5_inputs.isolated, "ask", lambda *given, **more: (0, answer, b""))
    np.testing.assert_array_equal(read(tmp_path / "x.h5")[:], np.arange(32).reshape(8, 4))


def test_rows_that_were_never_written_are_missing_and_not_zeros(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", (20, 4), "u1", chunks=(5, 4), compression="gzip")[:10] = 1
    with pytest.raises(UnreadableInput, match="declares 4 chunks and holds 2 of them"):
        load(str(tmp_path / "x.h5"))


def damaged(content):
    """A chunked dataset of one gzip chunk whose bytes are ``content``."""

    def make(path):
        with h5py.File(path, "w") as file:
            x = file.create_dataset("x", (64, 64), "u1", chunks=(64, 64), compression="gzip")
            x.id.write_direct_chunk((0, 0), content)
        return path

    return make


@pytest.mark.parametrize("content", [b"x", bytes(100), zlib.compress(bytes(10**7))], ids=["text", "zeros", "a bomb"])
def test_a_chunk_that_does_not_inflate_to_its_size_is_refused_in_little_memory(content, tmp_path):
    path = damaged(content)(tmp_path / "x.h5")
    tracemalloc.start()
    with pytest.raises(UnreadableInput, match=r"damaged chunk 0|cannot hold"):
        load(str(path))
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()


@pytest.mark.parametrize(
    "content", [b"\xff\xff\xff" * 9, b"\x20", b"\xe0", b"\x00a" + b"\xe0\xff\x00" * 9000, b"\x05a"]
)
def test_lzf_that_no_writer_makes_is_refused_or_stops_at_a_chunk(content):
    try:
        assert len(undone(32000, [], content, 1000)) <= 1000 + 264
    except (ValueError, IndexError) as error:
        assert str(error)


def test_texts_are_read_where_they_are_labels_and_nowhere_else(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.zeros((3, 2), np.float32)
        file["labels"] = ["dog", "cat", "dog"]
        file["captions"] = ["a", "b", "c"]
    found = open_datasets(tmp_path / "x.h5", TEXT_NAMES)
    assert found["labels"].tolist() == ["dog", "cat", "dog"] and found["captions"].tolist() == [""] * 3
    assert load(str(tmp_path / "x.h5")).classes == ("cat", "dog")


def test_a_chunk_is_undone_once_in_a_pass(tmp_path, monkeypatch):
    rows = read(written(tmp_path / "x.h5", chunks=(20, 2, 7, 5), compression="gzip"))
    seen = []
    whole = ChunkedRows._chunk
    monkeypatch.setattr(ChunkedRows, "_chunk", lambda self, number: seen.append(number) or whole(self, number))
    for start in range(0, 53, 4):
        rows[start : start + 4]
    assert sorted(seen) == list(range(6))


def test_a_file_that_is_cut_while_it_is_read_is_refused(tmp_path):
    path = written(tmp_path / "x.h5")
    rows = read(path)
    with path.open("r+b") as stream:
        stream.truncate(100)
    with pytest.raises(UnreadableInput, match="changed while it was read"):
        rows[:]


def test_the_file_is_closed_with_its_last_array(tmp_path):
    file = OpenFile(written(tmp_path / "x.h5"))
    file.close()
    assert file.number == -1
