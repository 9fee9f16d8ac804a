"""A file that is read forwards is read one block ahead, by a thread that nobody has to end."""

import _thread
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import h5py
import numpy as np
import pytest

from kernelscope.errors import UnreadableInput
from kernelscope.features import store as stores
from kernelscope.features.header import Samples
from kernelscope.features.store import CHECKED_ROWS, FeatureStore
from kernelscope.features.writing import feature_writer

N, D = 5 * CHECKED_ROWS - 7, 64


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("ahead") / "f.h5"
    layer = {"width": D, "pool": "auto", "raw_shape": [D], "torch_dtype": "float32"}
    samples = Samples(np.zeros((N, 16), np.uint8), "o", "s", None, ())
    with feature_writer(path, config={}, samples=samples, dtype="float32") as writer:
        writer.create_layers({"x": layer})
        writer.write(0, {"x": expected()})
    return path


def expected():
    return np.arange(N * D, dtype=np.float32).reshape(N, D)


@pytest.fixture
def readers(monkeypatch):
    """The threads that read, by block."""
    found, read = {}, stores.read_rows

    def noted(descriptor, place, start=0, stop=None):
        if place.shape == (N, D):
            found[start // CHECKED_ROWS] = threading.get_ident()
        return read(descriptor, place, start, stop)

    monkeypatch.setattr(stores, "read_rows", noted)
    return found


def in_use():
    """Threads and open files."""
    return _thread._count(), len(list(Path("/proc/self/fd").iterdir()))


def test_a_pass_forwards_is_read_by_another_thread_and_gives_the_rows(path, readers):
    with FeatureStore.open(path) as store:
        X, step = store.features("x"), 1000
        read = [X[start : start + step] for start in range(0, N, step)]
    np.testing.assert_array_equal(np.concatenate(read), expected())
    mine = threading.get_ident()
    assert readers[0] == mine and all(readers[number] != mine for number in range(1, 5))


def test_a_second_pass_is_read_ahead_too(path, readers):
    with FeatureStore.open(path) as store:
        X = store.features("x")
        assert len(X[:]) == N
        readers.clear()
        np.testing.assert_array_equal(X[:], expected())
    assert set(readers) == {0, 1, 2, 3, 4} and threading.get_ident() not in (readers[2], readers[3], readers[4])


def test_single_rows_here_and_there_start_no_thread(path, readers):
    with FeatureStore.open(path) as store:
        X = store.features("x")
        for number in (3, 1, 4, 2):
            start = number * CHECKED_ROWS + 5
            np.testing.assert_array_equal(X[start : start + 1], expected()[start : start + 1])
    assert set(readers.values()) == {threading.get_ident()} and set(readers) == {1, 2, 3, 4}


def test_whoever_stops_early_leaves_no_thread_and_no_open_file(path):
    gc.collect()  # of other tests
    before = in_use()
    for closed in (True, False):
        store = FeatureStore.open(path)
        assert len(store.features("x")[:10]) == 10
        if closed:
            store.close()
        del store
        deadline = time.monotonic() + 2
        while in_use() != before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert in_use() == before


def test_damage_ahead_is_an_error_of_the_rows_it_is_in(path, tmp_path):
    copy = tmp_path / "f.h5"
    copy.write_bytes(path.read_bytes())
    with h5py.File(copy, "r+") as file:
        file["layers/0000/features"][CHECKED_ROWS + 3, 0] = -1
    with FeatureStore.open(copy) as store:
        X = store.features("x")
        assert len(X[:CHECKED_ROWS]) == CHECKED_ROWS
        with pytest.raises(UnreadableInput, match="corrupt in rows 4096 to 8191"):
            X[CHECKED_ROWS : CHECKED_ROWS + 1]
        assert len(X[:CHECKED_ROWS]) == len(X[2 * CHECKED_ROWS : 3 * CHECKED_ROWS]) == CHECKED_ROWS
        with pytest.raises(UnreadableInput, match="corrupt in rows 4096 to 8191"):
            X[CHECKED_ROWS : CHECKED_ROWS + 1]


def test_without_a_thread_rows_are_read_when_asked_for(path, monkeypatch):
    def none_left(*given):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", none_left)
    with FeatureStore.open(path) as store:
        np.testing.assert_array_equal(store.features("x")[:], expected())


def test_a_process_forked_meanwhile_reads_for_itself(path):
    store = FeatureStore.open(path)
    X = store.features("x")
    assert len(X[:10]) == 10  # the next block is on its way, or there
    X._ahead.wait()
    X._ahead._process, X._ahead._block = os.getppid(), Future()  # what a fork would leave: nobody fills it
    np.testing.assert_array_equal(X[:], expected())
    store.close()


def test_an_interrupt_in_the_middle_of_a_pass_ends_the_process(path):
    code = """
import sys
from kernelscope.features.store import FeatureStore
X = FeatureStore.open(sys.argv[1]).features("x")
print("reading", flush=True)
while True:
    X[:]"""
    reader = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert reader.stdout.readline() == b"reading\n"
    time.sleep(0.05)
    reader.send_signal(signal.SIGINT)
    _, said = reader.communicate(timeout=20)
    assert reader.returncode == -signal.SIGINT and said.rstrip().endswith(b"KeyboardInterrupt")
