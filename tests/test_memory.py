"""Memory that is not there is told before any work, with what is needed and what there is."""

import numpy as np
import pytest

from kernelscope import memory
from kernelscope.datasets.sources import load
from kernelscope.errors import ResourceError
from kernelscope.features.kinds import open_features


def test_what_is_free_is_known_and_at_most_what_there_is(tmp_path, monkeypatch):
    free = memory.free_bytes()
    assert free is None or 2**24 < free < 2**50
    (tmp_path / "limit").write_text("1000\n")
    monkeypatch.setattr(memory, "_LIMIT", tmp_path / "limit")
    assert memory.free_bytes() == 1000
    (tmp_path / "limit").write_text("max\n")
    assert memory.free_bytes() in (None, pytest.approx(free, rel=0.5))


def test_where_the_system_does_not_tell_work_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_FREE", tmp_path / "nowhere")
    monkeypatch.setattr(memory, "_LIMIT", tmp_path / "nowhere")
    memory.require(2**80, "file", "use less")


@pytest.mark.parametrize("read", [open_features, lambda path: load(str(path)).batch(0, 1)], ids=["features", "inputs"])
def test_an_archive_without_room_in_memory_is_refused_unread(read, tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", x=np.ones((1000, 100)))
    monkeypatch.setattr(memory, "free_bytes", lambda: 10**5)
    told = r"x\.npz needs more memory than there is \(800 kB of 100 kB\); write \.npy or"
    with pytest.raises(ResourceError, match=told):
        read(tmp_path / "x.npz")
