"""Weights are read from the files that other people's programs leave, and nothing in those files runs."""

import pytest
import torch

from kernelscope.checkpoints.description import describe, lines
from kernelscope.checkpoints.loading import load
from tests.checkpoints.foreign_files import ARCH, KWARGS, network
from tests.checkpoints.foreign_folders import KINDS
from tests.checkpoints.watching import watching


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a kind of file; afterwards a module of the name it mentions lies in wait and leaves a mark if imported."""
    folder, trap = tmp_path / "file", tmp_path / "trap"
    folder.mkdir()
    trap.mkdir()
    (trap / "strangers.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()\ndef leave_a_mark(): pass\n")
    yield lambda kind: (KINDS[kind](folder), monkeypatch.syspath_prepend(str(trap)))[0]
    assert not (tmp_path / "mark").exists()


def test_there_are_at_least_twenty_kinds():
    assert len(KINDS) >= 20


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_read_and_nothing_runs(kind, written):
    foreign = written(kind)
    with watching() as seen:
        loaded = load(foreign.path, arch=ARCH, arch_kwargs=KWARGS, role=foreign.role)
    assert not seen
    expected = network().state_dict()
    for key, value in loaded.module.state_dict().items():
        if foreign.tolerance:
            torch.testing.assert_close(value, expected[key], rtol=foreign.tolerance, atol=foreign.tolerance)
        else:
            assert torch.equal(value, expected[key]), key
    assert len(loaded.sha256) == 64 and not loaded.module.training
    notes = "\n".join(loaded.notes)
    assert foreign.note in notes if foreign.note else not notes, notes
    assert all(note.startswith(foreign.path.name) and note.isprintable() and len(note) <= 200 for note in loaded.notes)


@pytest.mark.parametrize("kind", KINDS)
def test_inspect_counts_the_weights_and_names_the_architecture_that_fits(kind, written):
    foreign = written(kind)
    with watching() as seen:
        text = "\n".join(lines(describe(foreign.path)))
    assert not seen
    assert ARCH in text and "num_classes" in text, text


def test_stubs_are_allowed_for_one_file_only(written):
    before = set(torch.serialization.get_safe_globals())
    describe(written("Lightning").path)
    assert set(torch.serialization.get_safe_globals()) == before
