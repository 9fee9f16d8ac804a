"""The log of a probe: one line a look, through crashes and full disks."""

import math

import pytest
import torch

from kernelscope.errors import UsageError
from tests.distill.probing import Net, small_probe, strict


def test_every_look_is_a_line_of_json(tmp_path):
    probe = small_probe(every=2, log=tmp_path / "runs" / "probe.jsonl")
    for step in range(7):
        probe(Net(seed=1), step)
    text = (tmp_path / "runs" / "probe.jsonl").read_text()
    assert text.endswith("\n")
    assert [strict(line) for line in text.splitlines()] == probe.trajectory
    assert len(probe.trajectory) == 4
    assert set(probe.trajectory[0]) == {"step", "layers", "seconds", "notes"}


def test_a_line_is_there_as_soon_as_the_look_is_over(tmp_path):
    probe = small_probe(log=tmp_path / "p.jsonl")
    assert (tmp_path / "p.jsonl").read_text() == ""
    for count in (1, 2, 3):
        probe(Net(seed=1), 0)
        assert len((tmp_path / "p.jsonl").read_text().splitlines()) == count


@pytest.mark.parametrize("broken", ["", '{"step": 500, "lay', '{"step": 500, "layers": {}, "seconds": 1, "notes": []}'])
def test_a_script_that_starts_again_goes_on_with_its_log(tmp_path, broken):
    """What a crash broke off is cut; a whole record that lacks its newline is kept."""
    log = tmp_path / "p.jsonl"
    small_probe(log=log)(Net(seed=1), 0)
    with log.open("a") as stream:
        stream.write(broken)
    small_probe(log=log)(Net(seed=1), 1000)
    steps = [strict(line)["step"] for line in log.read_text().splitlines()]
    assert steps == ([0, 500, 1000] if broken.endswith("}") else [0, 1000])


@pytest.mark.parametrize("content", ["epoch,loss\n1,0.5\n", "precious", "[1, 2]\n", '{"a": 1}\n'])
def test_a_file_that_is_no_log_is_left_alone(tmp_path, content):
    (tmp_path / "notes.txt").write_text(content)
    with pytest.raises(UsageError, match="holds something else than a probe's records"):
        small_probe(log=tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == content


def test_a_log_that_cannot_be_written_is_told_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file" / "p.jsonl", "/dev/full"):
        with pytest.raises(UsageError, match="choose another path") as caught:
            small_probe(log=place)
        assert len(str(caught.value)) <= 200


def test_training_outlives_its_log(tmp_path):
    """Records that could not be written are written later."""
    folder, aside = tmp_path / "runs", tmp_path / "aside"
    probe = small_probe(log=folder / "p.jsonl")
    folder.rename(aside)
    with pytest.warns(RuntimeWarning, match="cannot be written .* 1 records wait"):
        probe(Net(seed=1), 0)
    with pytest.warns(RuntimeWarning, match="2 records wait"):
        probe(Net(seed=1), 500)
    aside.rename(folder)
    probe(Net(seed=1), 1000)
    lines = (folder / "p.jsonl").read_text().splitlines()
    assert [strict(line) for line in lines] == probe.trajectory
    assert len(lines) == 3


def test_a_student_that_diverged_has_no_numbers_and_says_why(tmp_path):
    probe, student = small_probe(log=tmp_path / "p.jsonl"), Net(seed=1)
    with torch.no_grad():
        student.fc.weight[0, 0] = math.nan
    record = probe(student, 0)
    assert record["layers"]["logits"] is None
    assert record["layers"]["embedding"]["transfer_loss"] > 0
    assert record["notes"] == [
        "logits: student features hold 40 NaN or infinite values, first in row 0; check the network or drop the rows"
    ]
    assert strict((tmp_path / "p.jsonl").read_text()) == record
