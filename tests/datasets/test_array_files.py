"""Array files: the same arrays are the same examples whatever file holds them, and a doubtful file is refused."""

import h5py
import numpy as np
import pytest
import torch

from kernelscope import numpy_files
from kernelscope.datasets.arrays import examples_in_memory
from kernelscope.datasets.sources import load
from kernelscope.errors import Mismatch, UnreadableInput
from tests.datasets.foreign_layouts import images

X, Y = images(40, 6), np.arange(40) % 4


def write_h5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "x.npz", images=X, y=Y)
    write_h5(tmp_path / "x.h5", inputs=X, labels=Y, classes=np.array([b"a", b"b", b"c", b"d"]))
    with h5py.File(tmp_path / "chunked.hdf5", "w") as file:
        file.create_dataset("X", data=X, chunks=(7, 3, 6, 6), compression="gzip", shuffle=True)
        file.create_dataset("Y", data=Y)
    return [tmp_path / name for name in ("x.npy", "x.npz", "x.h5", "chunked.hdf5")]


def test_the_same_arrays_are_the_same_examples(files):
    found = [load(str(path)) for path in files]
    assert len({whole.order_sha256 for whole in found}) == 1
    for whole in found:
        np.testing.assert_array_equal(whole.raw(np.array([39, 0, 7, 7])), X[[39, 0, 7, 7]])
        assert torch.equal(whole.batch(35, 60), found[0].batch(35, 40))
        assert (whole.split, whole.n) == ("all", 40)
    assert found[0].labels is None
    assert [whole.labels.tolist() for whole in found[1:]] == [Y.tolist()] * 3
    assert [whole.classes for whole in found] == [(), tuple("0123"), tuple("abcd"), tuple("0123")]
    tests = [load(str(path), "test") for path in files[1:]]
    assert len({part.order_sha256 for part in tests}) == 1 and tests[0].n == 8


def test_what_lies_on_disk_is_not_read_whole(files, monkeypatch):
    monkeypatch.setattr(numpy_files, "HELD_BYTES", 100)
    assert [isinstance(load(str(path)).inputs, np.ndarray) for path in files] == [False, True, False, False]


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (X.transpose(0, 2, 3, 1), (3, 6, 6)),
        (X[:, 0], (1, 6, 6)),
        (X[:, :1].transpose(0, 2, 3, 1), (1, 6, 6)),
        (X.astype(np.float32)[:, 0], (6, 6)),
        (np.ones((40, 5)), (5,)),
    ],
)
def test_images_may_have_their_channels_last_or_none(array, shape, tmp_path):
    np.save(tmp_path / "x.npy", array)
    whole = load(str(tmp_path / "x.npy"))
    assert whole.example_shape([]) == shape
    if shape == (3, 6, 6):
        np.testing.assert_array_equal(whole.raw(np.arange(40)), X)
    ops = [operation["op"] for operation in whole.preprocess]
    assert ops == ([] if array.dtype != np.uint8 else ["scale", "normalize"] if shape[0] == 3 else ["scale"])


def test_labels_may_be_words_or_a_column(tmp_path):
    np.savez(tmp_path / "x.npz", x=X, labels=np.array(["dog", "cat"] * 20))
    whole = load(str(tmp_path / "x.npz"))
    assert whole.classes == ("cat", "dog") and whole.labels.tolist() == [1, 0] * 20
    np.savez(tmp_path / "x.npz", x=X, labels=Y[:, None].astype(float))
    assert load(str(tmp_path / "x.npz")).labels.tolist() == Y.tolist()


def test_tokens_are_named_inputs(tmp_path):
    tokens = np.arange(60).reshape(12, 5)
    np.savez(tmp_path / "t.npz", input_ids=tokens, attention_mask=np.ones((12, 5), int), labels=np.arange(12) % 2)
    whole = load(str(tmp_path / "t.npz"))
    batch = whole.batch(4, 7)
    assert batch["input_ids"].tolist() == tokens[4:7].tolist() and batch["input_ids"].dtype == torch.int64
    assert set(batch) == {"input_ids", "attention_mask"} and whole.example_shape() is None
    assert whole.take(np.array([3, 1])).batch(0, 2)["input_ids"].tolist() == tokens[[3, 1]].tolist()
    assert len({bytes(i) for i in whole.ids}) == 12
    write_h5(tmp_path / "t.h5", input_ids=tokens, attention_mask=np.ones((12, 5), int))
    assert load(str(tmp_path / "t.h5")).order_sha256 == whole.order_sha256
    with pytest.raises(Mismatch, match="named inputs input_ids, attention_mask, which take no preprocessing"):
        whole.batch(0, 2, [{"op": "scale", "by": 2}])


@pytest.mark.parametrize(
    ("arrays", "error", "piece"),
    [
        ({"a": X}, UnreadableInput, "holds a: none may be its inputs"),
        ({"x": X, "images": X}, UnreadableInput, "several may be its inputs"),
        ({"x": X, "X": X}, UnreadableInput, "several may be its inputs"),
        ({"x": X, "y": Y, "labels": Y}, UnreadableInput, "several may be its inputs or labels"),
        ({"x": X, "input_ids": Y[:, None]}, UnreadableInput, "several may be"),
        ({"x": X, "y": Y[:-1]}, Mismatch, r"labels have shape \(39,\), expected \(40,\)"),
        ({"x": X, "y": np.eye(40)}, Mismatch, r"labels have shape \(40, 40\).*of one-hot rows their argmax"),
        ({"x": X, "y": Y - 1}, Mismatch, "labels hold -1 in row 0, expected whole numbers from 0"),
        ({"x": X, "y": Y + 0.5}, Mismatch, r"labels hold 0\.5 in row 0, expected whole numbers"),
        ({"x": X, "y": Y, "classes": np.array(["a", "b"])}, Mismatch, "20 labels outside its 2 classes"),
        ({"x": X[:, 0, 0, 0]}, UnreadableInput, r"inputs of uint8 \(40,\)"),
        ({"x": X.astype(complex)}, UnreadableInput, "complex128"),
        ({"x": X[:0]}, UnreadableInput, "holds no examples"),
        ({"input_ids": np.ones((4, 3))}, UnreadableInput, "tokens that are no whole numbers"),
        ({"input_ids": np.ones((4, 3), int), "attention_mask": np.ones((3, 3), int)}, Mismatch, "different lengths"),
    ],
)
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_arrays_that_leave_a_doubt_are_refused(arrays, error, piece, suffix, tmp_path):
    path = tmp_path / f"x{suffix}"
    if suffix == ".npz":
        np.savez(path, **arrays)
    else:
        write_h5(path, **{k: v.astype("S") if v.dtype.kind == "U" else v for k, v in arrays.items()})
    with pytest.raises(error, match=piece) as caught:
        load(str(path))
    assert "\n" not in str(caught.value)


def broken_files(folder, suffix):
    good = folder / f"good{suffix}"
    if suffix == ".npy":
        np.save(good, X)
    elif suffix == ".npz":
        np.savez(good, x=X)
    else:
        write_h5(good, x=X)
    content = good.read_bytes()
    return {"cut": content[: len(content) // 2], "text": b"hello", "empty": b"", "head": content[:100]}


@pytest.mark.parametrize("kind", ["cut", "text", "empty", "head"])
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5"])
def test_a_broken_file_is_refused_in_one_line(kind, suffix, tmp_path):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(broken_files(tmp_path, suffix)[kind])
    with pytest.raises(UnreadableInput) as caught:
        load(str(path))
    assert "\n" not in str(caught.value)


def test_pickled_arrays_are_refused(tmp_path):
    for name, save in (("x.npy", np.save), ("x.npz", lambda path, x: np.savez(path, x=x))):
        save(tmp_path / name, np.array([{}, {}], dtype=object))
        with pytest.raises(UnreadableInput, match="bject"):
            load(str(tmp_path / name))


def test_a_header_that_promises_more_than_there_is_is_refused(tmp_path):
    import struct

    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    head += b" " * (117 - len(head)) + b"\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + b"\0" * 100)
    with pytest.raises(UnreadableInput):
        load(str(tmp_path / "x.npy"))


def test_hdf5_that_leads_elsewhere_or_inflates_is_refused(tmp_path):
    write_h5(tmp_path / "other.h5", x=X)
    path = tmp_path / "x.h5"

    def link(file):
        file["x"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/x")

    def soft(file):
        file["x"] = h5py.SoftLink("/y")

    def external(file):
        file.create_dataset("x", (40, 6), "u1", external=[(str(tmp_path / "other.h5"), 0, 240)])

    def virtual(file):
        layout = h5py.VirtualLayout((40, 3, 6, 6), "u1")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (40, 3, 6, 6))
        file.create_virtual_dataset("x", layout)

    def promises(file):
        file.create_dataset("x", (10**6, 10**6), "u1", chunks=(100, 100), compression="gzip")

    def large_chunk(file):
        file.create_dataset("x", (2**16, 2**16), "u1", chunks=(2**15, 2**15), compression="gzip")

    def strange(file):
        file["x"] = np.zeros(5, [("a", int)])

    def features(file):
        file.attrs["format"] = "kernelscope.features"

    for make in (link, soft, external, virtual, promises, large_chunk, strange, features):
        with h5py.File(path, "w") as file:
            make(file)
        with pytest.raises(UnreadableInput) as caught:
            load(str(path))
        assert "\n" not in str(caught.value), make


def test_arrays_and_tensors_in_memory(tmp_path):
    whole = examples_in_memory(torch.from_numpy(X), torch.from_numpy(Y), name="mine")
    np.testing.assert_array_equal(whole.inputs, X)
    assert whole.labels.tolist() == Y.tolist() and whole.n == 40
    assert examples_in_memory(X[:3], name="mine").order_sha256 == whole.head(3).order_sha256
    with pytest.raises(Mismatch, match="expected"):
        examples_in_memory(X, Y[:3], name="mine")
