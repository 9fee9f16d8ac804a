"""A stranger's feature file: refused in one line whatever it holds, and nothing outside it is read."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

from kernelscope.errors import UnreadableInput
from kernelscope.features import outline
from kernelscope.features.store import CHECKED_ROWS, FeatureStore
from tests.features.test_store import features, write

LAYER = "layers/0000/features"
N, D = 50, 5


@pytest.fixture
def hostile(tmp_path):
    """Makes a good file and lets a function change it; its own checksum of itself is left out, as a stranger would."""

    def make(change):
        path = tmp_path / "hostile.h5"
        write(path, features(N, D))
        write(tmp_path / "other.h5", features(N, D))
        with h5py.File(path, "r+") as file:
            del file.attrs["outline_crc32"]
            change(file, tmp_path)
        return path

    return make


def replaced(where, make):
    """A change that puts something else in the place of ``where``."""

    def change(file, folder):
        del file[where]
        made = make(file, folder)
        if made is not None:
            file[where] = made

    return change


def array(content, where=LAYER, **options):
    """As above, with another array that keeps the attributes."""

    def change(file, folder):
        attributes = dict(file[where].attrs)
        del file[where]
        file.create_dataset(where, data=content, **options).attrs.update(attributes)

    return change


def attribute(owner, name, value):
    return lambda file, folder: file[owner].attrs.__setitem__(name, value)


def stored_outside(file, folder):
    (folder / "secret.txt").write_text("x" * 4000)
    file.create_dataset(LAYER, (N, D), "f4", external=[(str(folder / "secret.txt"), 0, 1000)])


def virtual(file, folder):
    layout = h5py.VirtualLayout((N, D), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), LAYER, (N, D))
    file.create_virtual_dataset(LAYER, layout)


def behind_many_names(file, folder):
    """An external link that sorts after ten thousand hard ones."""
    for number in range(10_001):
        file[f"layers/a{number:05d}"] = file["layers/0000"]
    file["layers/z"] = h5py.ExternalLink(str(folder / "other.h5"), "/layers/0000")


def many_names_in_the_root(file, folder):
    for number in range(100):
        file[f"a{number}"] = file["samples"]


def unknown_filter(file, folder):
    form = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    form.set_chunk((10, D))
    form.set_filter(32_000, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((N, D))
    h5py.h5d.create(file.id, LAYER.encode(), h5py.h5t.IEEE_F32LE, space, form)


def odd_floats(file, folder):
    """Four-byte floats with another exponent bias, which would be read as other numbers."""
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_ebias(100)
    h5py.h5d.create(file.id, LAYER.encode(), kind, h5py.h5s.create_simple((N, D)))


def narrower_than_it_says(file, folder):
    file[LAYER].attrs["name"] = h5py.Empty("f4")


def swapped_checksums(file, folder):
    del file["layers/0000/crc32"]
    file["layers/0000/crc32"] = file["layers/0000/rows_done"]


X = np.ones((N, D), "f4")
HOSTILE = {
    "no format": lambda f, d: f.attrs.pop("format"),
    "format is a number": attribute("/", "format", 3),
    "newer": attribute("/", "format_version", 9),
    "version is a text": attribute("/", "format_version", "1"),
    "partial": attribute("/", "status", "partial"),
    "status is a list": attribute("/", "status", np.array([1, 2])),
    "top1 is a text": attribute("/", "top1", "high"),
    "top1 is NaN": attribute("/", "top1", np.nan),
    "notes are no JSON": attribute("/", "notes", "{"),
    "notes are numbers": attribute("/", "notes", "[1]"),
    "notes are deep": attribute("/", "notes", "[" * 30_000),
    "arch is no UTF-8": attribute("/", "arch", np.bytes_(b"\xff\xfe")),
    "arch is empty": attribute("/", "arch", h5py.Empty("S1")),
    "arch is a reference": lambda f, d: f.attrs.create("arch", f["samples"].ref, dtype=h5py.ref_dtype),
    "order is missing": lambda f, d: f["samples/id"].attrs.pop("order_sha256"),
    "classes are a number": attribute("samples/label", "classes", 3),
    "classes are an object": attribute("samples/label", "classes", '{"a": 1}'),
    "shape is of texts": attribute(LAYER, "raw_shape", '["5"]'),
    "name is missing": lambda f, d: f[LAYER].attrs.pop("name"),
    "name is empty": narrower_than_it_says,
    "two layers of one name": attribute("layers/0001/features", "name", "embedding"),
    "soft link": replaced(LAYER, lambda f, d: h5py.SoftLink("/samples/id")),
    "external link": replaced("samples", lambda f, d: h5py.ExternalLink(str(d / "other.h5"), "/samples")),
    "external link to a layer": replaced("layers", lambda f, d: h5py.ExternalLink(str(d / "other.h5"), "/layers")),
    "link behind 10,000 names": behind_many_names,
    "many names": many_names_in_the_root,
    "external storage": replaced(LAYER, stored_outside),
    "virtual": replaced(LAYER, virtual),
    "unknown filter": replaced(LAYER, unknown_filter),
    "odd floats": replaced(LAYER, odd_floats),
    "big-endian": array(X.astype(">f4")),
    "chunked": array(X, chunks=(10, D)),
    "compressed": array(X, compression="gzip"),
    "too many rows": array(np.ones((60, D), "f4")),
    "no columns": array(np.ones((N, 0), "f4")),
    "other rank": array(np.ones(N, "f4")),
    "whole numbers": array(X.astype("i4")),
    "complex": array(X.astype("c8")),
    "texts": array(np.array([[b"x"] * D] * N)),
    "records": array(np.zeros((N, D), [("a", "f4")])),
    "without shape": replaced(LAYER, lambda f, d: f.create_dataset(LAYER, data=h5py.Empty("f4")) and None),
    "declared, not stored": replaced(LAYER, lambda f, d: f.create_dataset(LAYER, (N, 10**12), "f4") and None),
    "a group for an array": replaced(LAYER, lambda f, d: f.create_group(LAYER) and None),
    "an array for a group": replaced("layers/0001", lambda f, d: np.ones(3)),
    "a type for a layer": replaced("layers/0001", lambda f, d: np.dtype("f4")),
    "a cycle": replaced("layers/0001", lambda f, d: f["layers"]),
    "no samples": replaced("samples", lambda f, d: None),
    "no layers": replaced("layers", lambda f, d: f.create_group("layers") and None),
    "narrow ids": array(np.ones((N, 8), "u1"), "samples/id"),
    "ids of floats": array(np.ones((N, 16), "f4"), "samples/id"),
    "labels of floats": array(np.ones(N), "samples/label"),
    "too few labels": array(np.ones(N - 1, "i8"), "samples/label"),
    "other labels": array(np.ones(N, "i8"), "samples/label"),
    "too many checksums": array(np.ones(2, "u4"), "layers/0000/crc32"),
    "checksums of floats": array(np.ones(1), "layers/0000/crc32"),
    "swapped checksums": swapped_checksums,
    "rows missing": lambda f, d: f["layers/0000/rows_done"].__setitem__((), 10),
    "rows beyond": lambda f, d: f["layers/0000/rows_done"].__setitem__((), 2**60),
    "a list of rows done": array(np.array([N]), "layers/0000/rows_done"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(kind, hostile):
    path = hostile(HOSTILE[kind])
    with pytest.raises(UnreadableInput) as error:
        FeatureStore.open(path, ours=True)  # the same checks as in a child, without its third of a second
    message = str(error.value).replace(str(path), "f.h5")
    assert "\n" not in message
    assert "; " in message
    assert len(message) <= 160


def test_what_only_a_harmless_name_is_added_to_is_still_read(hostile):
    path = hostile(lambda f, d: f["layers/0000"].create_dataset("gram", data=np.ones(3)))
    with FeatureStore.open(path) as store:
        np.testing.assert_array_equal(store.features("embedding")[:], features(N, D))


@pytest.mark.parametrize("kind", ["soft link", "external storage", "declared, not stored"])
def test_the_child_refuses_as_the_parent_would(kind, hostile):
    path = hostile(HOSTILE[kind])
    with pytest.raises(UnreadableInput) as here:
        FeatureStore.open(path, ours=True)
    with pytest.raises(UnreadableInput) as there:
        FeatureStore.open(path)
    assert str(there.value) == str(here.value)


@pytest.mark.parametrize("content", [b"no features", outline.FORMAT.encode(), b"\x89HDF\r\n\x1a\n", bytes(5000)])
def test_what_is_no_hdf5_is_refused(content, tmp_path):
    (tmp_path / "f.h5").write_bytes(content)
    with pytest.raises(UnreadableInput, match="no readable feature file"):
        FeatureStore.open(tmp_path / "f.h5")


def test_a_file_cut_anywhere_is_refused(tmp_path):
    write(tmp_path / "f.h5", features(N, D))
    content = (tmp_path / "f.h5").read_bytes()
    for length in range(1, len(content), len(content) // 40):
        (tmp_path / "g.h5").write_bytes(content[:length])
        with pytest.raises(UnreadableInput):
            FeatureStore.open(tmp_path / "g.h5", ours=True)


ENDLESS = """
import resource, sys
from kernelscope.features import outline
def outline_of_an_evil_file(path):
    {deed}
outline.read_outline = outline_of_an_evil_file
outline.CPU_SECONDS = 1
outline.main("x")
"""


@pytest.mark.parametrize(
    ("deed", "expected"),
    [
        ("while True: pass", "negative"),
        ("return bytearray(1 << 40)", "MemoryError"),
        ("__import__('pathlib').Path('written').write_text('x')", "OSError"),
        ("import ctypes; ctypes.string_at(0)", "negative"),
    ],
    ids=["hangs", "takes all memory", "writes", "crashes"],
)
def test_the_child_can_neither_hang_nor_take_memory_nor_write(deed, expected, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ENDLESS.format(deed=deed)], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    if expected == "negative":
        assert done.returncode < 0
    else:
        assert expected in json.loads(done.stdout)["refused"]
    assert not any(path.stat().st_size for path in tmp_path.iterdir())


def test_every_block_has_a_checksum_of_its_own(tmp_path):
    n = 2 * CHECKED_ROWS + 1
    write(tmp_path / "f.h5", features(n))
    with h5py.File(tmp_path / "f.h5") as file:
        assert file["layers/0000/crc32"].shape == (3,)
        assert len(set(file["layers/0000/crc32"][:])) == 3
