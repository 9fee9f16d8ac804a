"""The feature file: written atomically, resumed bit for bit, and believed in nothing it declares."""

import errno
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

import kernelscope as ks
from kernelscope import files
from kernelscope.errors import Mismatch, ResourceError, UnreadableInput, UsageError
from kernelscope.features.header import Samples
from kernelscope.features.kinds import is_feature_file
from kernelscope.features.pair import FeaturePair
from kernelscope.features.store import CHECKED_ROWS, FeatureStore
from kernelscope.features.writing import feature_writer


def write(path, X, *, batch=256, stop_after=None, config=None, labelled=True, **options):
    """One layer ``embedding``; ``stop_after`` raises once that many rows are written."""
    ids = np.frombuffer(np.arange(2 * len(X), dtype="<u8").tobytes(), np.uint8).reshape(len(X), 16)
    samples = Samples(ids, "o", "s", np.arange(len(X)) % 3 if labelled else None, ("a", "b", "c"))
    options = {"dtype": "float32", **options}
    with feature_writer(path, config=config or {"k": 1}, samples=samples, **options) as writer:
        if not writer.laid_out:
            layer = {"width": X.shape[1], "pool": "auto", "raw_shape": [X.shape[1]], "torch_dtype": "float32"}
            writer.create_layers({"embedding": layer, "a/../b": layer})
        for start in range(writer.rows_done // batch * batch, len(X), batch):
            if stop_after is not None and start >= stop_after:
                raise RuntimeError("pulled the plug")
            block = X[start : start + batch]
            writer.write(start, {"embedding": block, "a/../b": 2 * block})


def features(n, d=5):
    return np.random.default_rng(n).standard_normal((n, d)).astype(np.float32)


@pytest.mark.parametrize("n", [1, 2, CHECKED_ROWS - 1, CHECKED_ROWS, CHECKED_ROWS + 1, 10_000])
def test_what_is_written_is_read_back(n, tmp_path):
    X = features(n)
    write(tmp_path / "f.h5", X)
    with FeatureStore.open(tmp_path / "f.h5") as store:
        assert store.layers == ("embedding", "a/../b")
        np.testing.assert_array_equal(store.features("embedding")[:], X)
        np.testing.assert_array_equal(store.features("a/../b")[n // 2 :], 2 * X[n // 2 :])
        assert store.labels.tolist() == [i % 3 for i in range(n)]
        assert store.classes == ("a", "b", "c")
        store.verify()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.h5"]


@pytest.mark.parametrize("stop_after", [256, 4096, 5000, 9984])
def test_a_resumed_file_has_the_same_rows_and_sums(stop_after, tmp_path):
    X = features(10_000)
    write(tmp_path / "whole.h5", X)
    with pytest.raises(RuntimeError, match="pulled the plug"):
        write(tmp_path / "cut.h5", X, stop_after=stop_after)
    assert not (tmp_path / "cut.h5").exists()
    assert (tmp_path / "cut.h5.partial").exists()
    write(tmp_path / "cut.h5", X)
    with h5py.File(tmp_path / "whole.h5") as a, h5py.File(tmp_path / "cut.h5") as b:
        for name in ("layers/0000/features", "layers/0000/crc32", "layers/0001/features", "samples/id"):
            np.testing.assert_array_equal(a[name][:], b[name][:])


def test_a_partial_file_of_other_settings_is_not_gone_on_with(tmp_path):
    X = features(1000)
    with pytest.raises(RuntimeError):
        write(tmp_path / "f.h5", X, stop_after=512)
    with pytest.raises(Mismatch, match="other settings"):
        write(tmp_path / "f.h5", X, config={"k": 2})
    write(tmp_path / "f.h5", X, config={"k": 2}, overwrite=True)


def test_an_output_that_exists_is_kept(tmp_path):
    (tmp_path / "f.h5").write_text("mine")
    with pytest.raises(UsageError, match="overwrite=True"):
        write(tmp_path / "f.h5", features(10))
    assert (tmp_path / "f.h5").read_text() == "mine"


def test_a_second_writer_is_refused(tmp_path):
    with files.lock(tmp_path / "f.h5.lock"), pytest.raises(ResourceError, match="held by process"):
        write(tmp_path / "f.h5", features(10))
    assert not (tmp_path / "f.h5").exists()


def test_a_lock_that_a_dead_writer_left_does_not_block_and_is_removed(tmp_path):
    (tmp_path / "f.h5.lock").write_text("process 1 on another-host")
    write(tmp_path / "f.h5", features(10))
    assert [path.name for path in tmp_path.iterdir()] == ["f.h5"]


def test_a_disk_without_room_is_told_before_work(tmp_path, monkeypatch):
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ResourceError, match=r"has 1\.0 kB free, \d+ kB needed"):
        write(tmp_path / "f.h5", features(1000))
    assert not (tmp_path / "f.h5").exists()


KILLED = """
import sys, time
sys.path.insert(0, {here!r})
from tests.features.test_store import features, write
write({path!r}, features(20_000), batch=64)
"""


def test_a_killed_writer_is_gone_on_with_bit_for_bit(tmp_path):
    X = features(20_000)
    write(tmp_path / "whole.h5", X, batch=64)
    rng = np.random.default_rng(0)
    killed = 0
    for number in range(3):
        path = tmp_path / f"{number}.h5"
        code = KILLED.format(here=str(Path(__file__).parents[2]), path=str(path))
        process = subprocess.Popen([sys.executable, "-c", code])
        while process.poll() is None and not path.with_name(path.name + ".partial").exists():
            time.sleep(0.01)
        time.sleep(float(rng.uniform(0, 0.3)))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        if not path.exists():
            write(path, X, batch=64)
        with h5py.File(tmp_path / "whole.h5") as a, h5py.File(path) as b:
            for name in ("layers/0000/features", "layers/0000/crc32", "layers/0001/features"):
                np.testing.assert_array_equal(a[name][:], b[name][:])
    assert killed


def test_kinds_are_told_apart_by_content(tmp_path):
    write(tmp_path / "f.pt", features(5))
    with (tmp_path / "x.pt").open("wb") as stream:
        np.savez(stream, a=features(5))
    (tmp_path / "t.h5").write_bytes(b"PK\x03\x04 not a zip")
    assert is_feature_file(tmp_path / "f.pt")
    assert is_feature_file(tmp_path / "x.pt")
    assert not is_feature_file(tmp_path / "t.h5")


def test_ids_of_two_files_in_one_order_take_no_memory(tmp_path):
    def peak(n):
        for name in "ts":
            write(tmp_path / name, features(n, 1), batch=n, labelled=False, overwrite=True)
        tracemalloc.start()
        pair = FeaturePair(FeatureStore.open(tmp_path / "t"), FeatureStore.open(tmp_path / "s"))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert pair.ids[n - 1 : n].tobytes() == np.arange(2 * n - 2, 2 * n, dtype="<u8").tobytes()
        return most

    few, many = (peak(n) for n in (50_000, 250_000))
    assert many - few < 0.1 * 200_000  # a byte of a checksum for thousands of rows


def test_a_flipped_bit_of_an_id_is_seen_at_once_and_later(tmp_path):
    write(tmp_path / "f.h5", features(5_000))
    written = (tmp_path / "f.h5").stat().st_mtime_ns
    with FeatureStore.open(tmp_path / "f.h5") as store, h5py.File(tmp_path / "f.h5", "r+") as file:
        file["samples/id"][4_500, 3] ^= 1
        file.flush()
        with pytest.raises(UnreadableInput, match="changed while it was read"):
            store.ids[4_096:]
        os.utime(tmp_path / "f.h5", ns=(written, written))  # a disk that decays says nothing of it
        assert len(store.ids[:4_096]) == 4_096
        with pytest.raises(UnreadableInput, match="ids is corrupt in rows 4096 to 4999"):
            store.ids[4_096:]
    with pytest.raises(UnreadableInput, match="ids is corrupt; extract it again"):
        FeatureStore.open(tmp_path / "f.h5")


def test_a_cache_that_fails_while_it_is_read_is_extracted_again(little, tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELSCOPE_CACHE", str(tmp_path))
    given = {"teacher": little / "teacher.pt", "student": little / "student.pt", "limit": 60}
    whole = ks.measure(**given)
    cached = {path.stat().st_ino for path in tmp_path.rglob("*.h5")}
    preadv, calls, most = os.preadv, [], [10**9]

    def failing(descriptor, buffers, offset):
        if os.fstat(descriptor).st_ino in cached:
            calls.append(offset)
            if len(calls) > most[0]:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", failing)
    ks.measure(**given)
    most[0] = len(calls) - 4  # both files were opened and verified by then
    calls.clear()
    report = ks.measure(**given)
    assert len(calls) > most[0]
    assert [pair.transfer_loss for pair in report] == [pair.transfer_loss for pair in whole]
