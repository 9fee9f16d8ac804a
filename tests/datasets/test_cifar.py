"""CIFAR in both of its versions is read bit by bit, and a broken file is refused."""

import dataclasses
import os
import pickle

import numpy as np
import pytest

from kernelscope.datasets import cifar as cifar_module
from kernelscope.datasets.cifar import cifar
from kernelscope.datasets.cifar_pickle import read_pickle
from kernelscope.errors import UnreadableInput, UsageError
from tests.datasets.foreign_layouts import python2_pickle, write_cifar_binary, write_cifar_python

RECORDS = 30
PUBLISHED = dict(cifar_module.VERSIONS)
WRITERS = {"binary": write_cifar_binary, "python": write_cifar_python}


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    """The layouts with thirty images a file: the published ones have 10,000 and 50,000."""
    for kind, versions in cifar_module.VERSIONS.items():
        small = tuple(
            dataclasses.replace(v, parts={split: (names, RECORDS) for split, (names, _) in v.parts.items()})
            for v in versions
        )
        monkeypatch.setitem(cifar_module.VERSIONS, kind, small)


def test_the_published_lengths_are_expected():
    lengths = {}
    for kind, (binary, _) in PUBLISHED.items():
        for split, (_, records) in binary.parts.items():
            lengths[kind, split] = records * (binary.labels + 3072)
    assert lengths == {
        ("cifar10", "train"): 30_730_000,
        ("cifar10", "test"): 30_730_000,
        ("cifar100", "train"): 153_700_000,
        ("cifar100", "test"): 30_740_000,
    }


@pytest.mark.parametrize("version", WRITERS)
@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
def test_images_labels_and_names_are_those_of_the_files(kind, version, tmp_path):
    write = WRITERS[version]
    x, y = write(tmp_path, kind, "test", RECORDS, seed=1)
    x_train, y_train = write(tmp_path, kind, "train", RECORDS)
    data = cifar(tmp_path, kind)
    test = data.split()
    np.testing.assert_array_equal(test.inputs, x)
    assert test.labels.tolist() == y.tolist() and test.split == "test"
    assert test.classes == tuple(f"class{i}" for i in range(100 if kind == "cifar100" else 10))
    train, validation = data.split("train"), data.split("validation")
    together = {bytes(i): label for part in (train, validation) for i, label in zip(part.ids, part.labels)}
    assert len(together) == len(x_train) == train.n + validation.n and validation.n > 0
    found = dict(zip((image.tobytes() for image in x_train), y_train.tolist()))
    assert [found[image.tobytes()] for image in train.inputs] == train.labels.tolist()
    place = next(tmp_path.iterdir())
    assert cifar(place, kind).split().order_sha256 == test.order_sha256


def test_both_versions_hold_the_same_examples(tmp_path):
    for name, write in WRITERS.items():
        write(tmp_path / name, "cifar10", "test", RECORDS)
    binary, python = (cifar(tmp_path / name, "cifar10").split("test") for name in WRITERS)
    assert binary.order_sha256 == python.order_sha256 and binary.labels.tolist() == python.labels.tolist()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_pickles_written_again_by_python_3_are_read(protocol, tmp_path):
    x = np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3072)
    (tmp_path / "f").write_bytes(pickle.dumps({b"data": x, b"labels": [3, 1]}, protocol=protocol))
    document = read_pickle(tmp_path / "f")
    np.testing.assert_array_equal(document["data"], x)
    assert document["labels"] == [3, 1]


def test_a_split_that_is_not_there_is_refused(tmp_path):
    write_cifar_binary(tmp_path, "cifar10", "test", RECORDS)
    with pytest.raises(UsageError, match="no split 'dev'; choose one of train, validation, test"):
        cifar(tmp_path, "cifar10").split("dev")
    with pytest.raises(UnreadableInput, match=r"data_batch_1\.bin does not exist"):
        cifar(tmp_path, "cifar10").split("train")


def test_a_binary_file_of_another_length_or_label_is_refused(tmp_path):
    write_cifar_binary(tmp_path, "cifar10", "test", RECORDS)
    path = tmp_path / "cifar-10-batches-bin" / "test_batch.bin"
    whole = path.read_bytes()
    for content in (whole[:-1], whole + b"\0", whole[:3073]):
        path.write_bytes(content)
        with pytest.raises(UnreadableInput, match=rf"has {len(content):,} bytes, expected 92,190; download it again"):
            cifar(tmp_path, "cifar10").split("test")
    path.write_bytes(b"\x0a" + whole[1:])
    with pytest.raises(UnreadableInput, match="has label 10 at image 0, expected 0 to 9"):
        cifar(tmp_path, "cifar10").split("test")
    path.write_bytes(whole)
    (path.parent / "batches.meta.txt").write_text("a b c")
    with pytest.raises(UnreadableInput, match="has 3 class names, expected 10"):
        cifar(tmp_path, "cifar10").split("test")


def test_a_folder_without_cifar_is_refused(tmp_path):
    with pytest.raises(UnreadableInput, match="holds neither cifar-10-batches-bin nor cifar-10-batches-py"):
        cifar(tmp_path, "cifar10")
    with pytest.raises(UnreadableInput, match="does not exist"):
        cifar(tmp_path / "no", "cifar100")


@pytest.mark.parametrize(
    ("changes", "piece"),
    [
        ({"data": np.zeros((RECORDS, 3071), np.uint8)}, "expected uint8 of"),
        ({"data": np.zeros((RECORDS - 1, 3072), np.uint8)}, "expected uint8 of"),
        ({"data": [1, 2]}, "has data list"),
        ({"labels": [1] * (RECORDS - 1)}, "lacks 30 whole numbers as labels"),
        ({"labels": ["1"] * RECORDS}, "lacks 30 whole numbers as labels"),
        ({"labels": [10] * RECORDS}, "has label 10 at image 0"),
        ({"labels": [-1] * RECORDS}, "label outside"),
    ],
)
def test_a_pickle_with_other_contents_is_refused(changes, piece, tmp_path):
    write_cifar_python(tmp_path, "cifar10", "test", RECORDS)
    document = {"data": np.zeros((RECORDS, 3072), np.uint8), "labels": [1] * RECORDS, **changes}
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(python2_pickle(document))
    with pytest.raises(UnreadableInput, match=piece) as caught:
        cifar(tmp_path, "cifar10").split("test")
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_every_shorter_file_is_refused_and_every_flipped_byte_too_or_read(tmp_path):
    """Where a flipped byte lies within pixels or a name, nothing can be seen of it: pickles have no checksum."""
    x, _ = write_cifar_python(tmp_path, "cifar10", "test", RECORDS)
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    ends = [*range(200), *rng.integers(200, len(whole), 200), *range(len(whole) - 200, len(whole))]
    for end in ends:
        path.write_bytes(whole[:end])
        with pytest.raises(UnreadableInput):
            cifar(tmp_path, "cifar10").split("test")
    header = [*range(300), *range(len(whole) - 400, len(whole))]
    for place in header:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            test = cifar(tmp_path, "cifar10").split("test")
        except UnreadableInput as error:
            assert "\n" not in str(error)
        else:
            assert test.inputs.shape == x.shape


def test_an_unreadable_file_is_refused(tmp_path):
    write_cifar_binary(tmp_path, "cifar10", "test", RECORDS)
    path = tmp_path / "cifar-10-batches-bin" / "test_batch.bin"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UnreadableInput):
        cifar(tmp_path, "cifar10").split("test")
