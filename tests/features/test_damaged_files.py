"""Bits that flip and bytes that change: found, in one line, without a crash or a hang."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from kernelscope.cli.main import main
from kernelscope.errors import KernelscopeError, UnreadableInput, one_line
from kernelscope.features.kinds import is_feature_file, open_features
from kernelscope.features.store import FeatureStore
from tests.features.mutants import everything, mutated
from tests.features.test_store import features, write


def mutants(folder: Path, seed: int, count: int) -> dict:
    write(folder / "f.h5", features(50))
    program = Path(__file__).with_name("mutants.py")
    done = subprocess.run(
        [sys.executable, str(program), str(folder / "f.h5"), str(seed), str(count)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def require_all_told(counts: dict, count: int) -> None:
    assert sum(counts.values()) == count
    assert set(counts) <= {"refused", "harmless", "incomplete", "cut short", "crashed or hung the child"}, counts
    assert counts["refused"] > count / 3


def test_three_hundred_mutations_are_refused_or_harmless(tmp_path):
    require_all_told(mutants(tmp_path, 0, 300), 300)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 12))
def test_eleven_times_two_thousand_mutations_are_refused_or_harmless(seed, tmp_path):
    require_all_told(mutants(tmp_path, seed, 2000), 2000)


@pytest.mark.long
def test_fifty_mutations_through_the_command_line_end_in_one_line(tmp_path):
    import random

    write(tmp_path / "f.h5", features(50))
    content, rng = (tmp_path / "f.h5").read_bytes(), random.Random(99)
    for number in range(50):
        (tmp_path / "g.h5").write_bytes(mutated(content, rng))
        words = ["inspect", "--verify", "g.h5"] if number % 2 else ["measure", "--teacher", "f.h5", "--student", "g.h5"]
        done = subprocess.run(
            [sys.executable, "-m", "kernelscope", *words], capture_output=True, text=True, cwd=tmp_path, timeout=120
        )
        assert done.returncode in (0, 3), done.stderr
        if done.returncode:
            assert done.stderr.startswith("kernelscope: error: "), done.stderr
            assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize("flips", [40, pytest.param(200, marks=pytest.mark.long)])
def test_flipped_bits_of_features_are_all_found(flips, tmp_path, capsys):
    n = 9000
    write(tmp_path / "f.h5", features(n))
    content = (tmp_path / "f.h5").read_bytes()
    with h5py.File(tmp_path / "f.h5") as file:
        places = [(group["features"].id.get_offset(), group["features"].nbytes) for group in file["layers"].values()]
    rng = np.random.default_rng(0)
    for number in range(flips):
        offset, size = places[number % 2]
        broken = bytearray(content)
        broken[offset + int(rng.integers(size))] ^= 1 << int(rng.integers(8))
        (tmp_path / "g.h5").write_bytes(bytes(broken))
        with FeatureStore.open(tmp_path / "g.h5", ours=True) as store:
            with pytest.raises(UnreadableInput, match="corrupt in rows"):
                store.verify()
            rows = store.features(store.layers[number % 2])
            with pytest.raises(UnreadableInput, match="corrupt in rows"):
                for start in range(0, n, 2048):
                    rows[start : start + 2048]
        if number % 10 == 0:
            assert exit_code("inspect", "--verify", str(tmp_path / "g.h5")) == 3
            assert "corrupt in rows" in one_line(capsys.readouterr().err)


def exit_code(*words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    return stop.value.code


def test_a_flipped_bit_of_an_id_or_a_label_is_found(tmp_path):
    write(tmp_path / "f.h5", features(50))
    content = (tmp_path / "f.h5").read_bytes()
    with h5py.File(tmp_path / "f.h5") as file:
        offsets = [file[name].id.get_offset() for name in ("samples/id", "samples/label")]
    for offset, word in zip(offsets, ("ids", "labels"), strict=True):
        broken = bytearray(content)
        broken[offset + 9] ^= 4
        (tmp_path / "g.h5").write_bytes(bytes(broken))
        with pytest.raises(UnreadableInput, match=f"{word} is corrupt"):
            FeatureStore.open(tmp_path / "g.h5", ours=True)


def test_a_damaged_partial_file_is_begun_again_and_ends_the_same(tmp_path):
    X = features(600)
    write(tmp_path / "whole.h5", X, batch=64)
    whole = (tmp_path / "whole.h5").read_bytes()
    with pytest.raises(RuntimeError):
        write(tmp_path / "f.h5", X, batch=64, stop_after=320)
    content = (tmp_path / "f.h5.partial").read_bytes()
    for at in (3, 200, 900, 5000, len(content) // 2, len(content) - 300_000):
        broken = bytearray(content)
        broken[at] ^= 255
        (tmp_path / "f.h5.partial").write_bytes(bytes(broken))
        write(tmp_path / "f.h5", X, batch=64)
        assert (tmp_path / "f.h5").read_bytes() == whole
        (tmp_path / "f.h5").unlink()
    for length in (0, 100, 4096, len(content) // 3):
        (tmp_path / "f.h5.partial").write_bytes(content[:length])
        write(tmp_path / "f.h5", X, batch=64)
        assert (tmp_path / "f.h5").read_bytes() == whole
        (tmp_path / "f.h5").unlink()


def test_a_read_only_the_owner_changed_meanwhile_is_told(tmp_path):
    write(tmp_path / "f.h5", features(9000))
    with FeatureStore.open(tmp_path / "f.h5", ours=True) as store:
        (tmp_path / "f.h5").write_bytes(b"")
        with pytest.raises(UnreadableInput, match="changed while it was read"):
            store.features("embedding")[:10]


def numpy_files(folder: Path) -> dict[str, bytes]:
    stream, zipped = io.BytesIO(), io.BytesIO()
    np.save(stream, features(30))
    np.savez_compressed(zipped, embedding=features(30), labels=np.arange(30))
    return {"x.npy": stream.getvalue(), "x.npz": zipped.getvalue()}


@pytest.mark.parametrize("count", [800, pytest.param(4000, marks=pytest.mark.long)])
def test_mutated_numpy_files_end_in_one_line(count, tmp_path):
    import random

    rng = random.Random(0)
    files = numpy_files(tmp_path)
    for number in range(count):
        name = ("x.npy", "x.npz")[number % 2]
        (tmp_path / name).write_bytes(mutated(files[name], rng))
        try:
            if is_feature_file(tmp_path / name):
                X = open_features(tmp_path / name).features(open_features(tmp_path / name).layers[0])
                np.asarray(X[:])
        except KernelscopeError as error:
            assert "\n" not in str(error)


def written(folder: Path, name: str, **arrays) -> Path:
    np.savez(folder / name, **arrays)
    return folder / name


def bomb(folder: Path) -> Path:
    """A hundred kilobytes that unpack to a hundred megabytes of zeros."""
    with zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        stream = io.BytesIO()
        np.save(stream, np.zeros((1000, 12_500)))
        archive.writestr("a.npy", stream.getvalue())
    return folder / "bomb.npz"


def unbelievable(folder: Path) -> Path:
    """An archive whose one array declares an exabyte."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (1 << 50, 128)})
    with zipfile.ZipFile(folder / "u.npz", "w") as archive:
        archive.writestr("a.npy", stream.getvalue())
    return folder / "u.npz"


def pickled(folder: Path) -> Path:
    np.save(folder / "p.npy", np.array([{}], dtype=object), allow_pickle=True)
    return folder / "p.npy"


X = features(30)
NUMPY = {
    "pickled": (pickled, UnreadableInput),
    "pickled inside": (lambda d: written(d, "a.npz", a=np.array([[{}]], dtype=object)), UnreadableInput),
    "a bomb": (bomb, UnreadableInput),
    "an exabyte": (unbelievable, UnreadableInput),
    "no rows": (lambda d: written(d, "b.npz", a=X[:0]), UnreadableInput),
    "only vectors": (lambda d: written(d, "c.npz", a=X[0]), UnreadableInput),
    "layers of other lengths": (lambda d: written(d, "d.npz", a=X, b=X[:9]), UnreadableInput),
    "labels of another length": (lambda d: written(d, "e.npz", a=X, labels=np.arange(9)), UnreadableInput),
    "labels between numbers": (lambda d: written(d, "f.npz", a=X, labels=np.arange(30) / 2), UnreadableInput),
    "labels of two columns": (lambda d: written(d, "g.npz", a=X, labels=np.ones((30, 2))), UnreadableInput),
    "one label": (lambda d: written(d, "h.npz", a=X, labels=np.array(3)), UnreadableInput),
    "ids of dates": (lambda d: written(d, "i.npz", a=X, ids=np.zeros(30, "M8[s]")), UnreadableInput),
}


@pytest.mark.parametrize("kind", NUMPY)
def test_a_numpy_file_of_no_use_is_refused_in_one_line(kind, tmp_path):
    make, expected = NUMPY[kind]
    with pytest.raises(expected) as error:
        open_features(make(tmp_path))
    assert "\n" not in str(error.value)


def test_numpy_files_are_read_with_labels_by_number_or_name(tmp_path):
    np.save(tmp_path / "x.npy", X)
    assert open_features(tmp_path / "x.npy").layers == ("features",)
    store = open_features(written(tmp_path, "x.npz", embedding=X, logits=2 * X, labels=np.arange(30)))
    assert store.layers == ("embedding", "logits")
    assert store.labels.tolist() == list(range(30))
    named = open_features(written(tmp_path, "y.npz", embedding=X, labels=np.array(["cat", "ant"] * 15)))
    assert (named.classes, named.labels.tolist()) == (("ant", "cat"), [1, 0] * 15)


def test_everything_of_an_undamaged_file_is_told_twice_alike(tmp_path):
    write(tmp_path / "f.h5", features(50))
    with FeatureStore.open(tmp_path / "f.h5") as first, FeatureStore.open(tmp_path / "f.h5", ours=True) as second:
        assert everything(first) == everything(second)
