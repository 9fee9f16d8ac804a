"""Files from strangers through the command line: what was done to read them is in the report, and memory has an end."""

import html
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from kernelscope.checkpoints.checkpoint import Checkpoint, save_checkpoint
from kernelscope.checkpoints.loading import load
from kernelscope.networks import zoo

ARCH, KWARGS = "resnet8x0.25", {"num_classes": 10, "in_channels": 1}


def weights(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return dict(zoo.build(ARCH, **KWARGS).state_dict())


def measured(run, teacher, student, *more):
    named = [w for side in ("teacher", "student") for w in (f"--{side}-arch", ARCH, f"--{side}-arch-kwargs")]
    named = [w for word in named for w in ((word, json.dumps(KWARGS)) if word.endswith("kwargs") else (word,))]
    words = ("--data", "digits", "--limit", "60", "--layers", "embedding", "--json", "--quiet")
    return run("measure", "--teacher", teacher, "--student", student, *named, *words, *more)


def test_what_was_done_to_read_a_file_is_in_the_notes_of_every_pair(run, tmp_path):
    compiled = {f"_orig_mod.{key}": value for key, value in weights(0).items()}
    torch.save({"state_dict": compiled, "at": tmp_path}, "t.ckpt")
    half = {key: value.half() if value.is_floating_point() else value for key, value in weights(1).items()}
    save_file(half, "s.safetensors")
    code, out, err = measured(run, "t.ckpt", "s.safetensors")
    assert code == 0, err
    notes = json.loads(out)["pairs"][0]["notes"]
    expected = (
        "t.ckpt: 1 class read as inert stubs (pathlib.PosixPath)",
        "t.ckpt: weights were found under 'state_dict'",
        "t.ckpt: prefix '_orig_mod.' was taken off their names",
        "s.safetensors: carries no checksums: damage to its numbers cannot be seen",
        "s.safetensors: 47 float16 tensors read as float32",
    )
    assert set(expected) <= set(notes), notes


def test_it_is_on_the_terminal_and_on_the_page_as_well(run):
    old = {key: value.double() for key, value in weights(0).items() if "num_batches" not in key}
    torch.save({f"module.{key}": value for key, value in old.items()}, "t.pt")
    words = ("--data", "digits", "--limit", "60", "--layers", "embedding", "--quiet", "--html", "page.html")
    code, out, err = run("measure", "--teacher", "t.pt", "--student", "t.pt", *words)
    assert code == 0, err
    said, page = " ".join(out.split()), html.unescape(Path("page.html").read_text())
    for note in (
        "t.pt: taken for resnet8x0.25 (num_classes 10, in_channels 1), which its names and shapes fit completely",
        "t.pt: prefix 'module.' was taken off their names",
        "t.pt: 9 missing BatchNorm counters set to 0",
        "t.pt: 47 float64 tensors read as float32",
    ):
        assert note in said and note in page


def test_one_file_with_both_networks_needs_no_architecture(run):
    large = zoo.build("resnet14x0.25", **KWARGS).state_dict()
    torch.save({"teacher": large, "student": weights(1), "optimizer": {"state": {}, "param_groups": []}}, "t.pt")
    words = ("--data", "digits", "--limit", "60", "--layers", "embedding", "--json")
    code, out, err = run("measure", "--teacher", "t.pt", "--student", "t.pt", *words)
    assert code == 0, err
    assert [network["arch"] for network in json.loads(out)["networks"]] == ["resnet14x0.25", "resnet8x0.25"]


def test_fifty_accidents_to_a_checkpoint_end_in_one_line_or_do_no_harm(run):
    torch.save({"state_dict": weights(0), "at": Path("runs")}, "good.pt")
    content, rng, refused = Path("good.pt").read_bytes(), np.random.default_rng(0), 0
    for i in range(50):
        at, length = int(rng.integers(len(content))), int(rng.integers(1, 50))
        Path("t.pt").write_bytes(content[:at] + (b"" if i % 2 else rng.bytes(length)) + content[at + length :])
        code, out, err = measured(run, "t.pt", "good.pt") if i % 5 == 0 else run("inspect", "t.pt")
        assert code in (0, 3, 4, 5) and bool(out) == (code == 0) and bool(err) == (code != 0), (i, code, err)
        assert err.count("\n") == bool(err) and len(err) <= 201 and "Traceback" not in err, (i, err)
        refused += code != 0
    assert refused > 25


@pytest.mark.parametrize("shape", [[1, 10**6, 10**6], [1, -8, 8], "abc", [[1], 8], [3, 8, 8], [0]])
def test_inspect_runs_no_network_on_what_it_does_not_take(run, shape):
    checkpoint = Checkpoint(
        arch=ARCH,
        arch_kwargs=KWARGS,
        state_dict=weights(0),
        input={"shape": shape},
        preprocess=[],
        classes=[],
        created="",
        **{name: {} for name in ("layers", "data", "metrics", "training", "versions")},
    )
    save_checkpoint("t.pt", checkpoint)
    code, out, err = run("inspect", "t.pt")
    if shape == [3, 8, 8]:  # another number of channels
        assert code == 3 and err.count("\n") == 1
    else:
        assert code == 0 and "layers are not listed" in out, err


def test_two_networks_in_one_file_differ_by_role_and_in_the_cache(run):
    torch.save({"student": weights(0), "teacher": weights(1)}, "both.pt")
    code, out, err = measured(run, "both.pt", "both.pt")
    assert code == 0, err
    document = json.loads(out)
    assert document["pairs"][0]["transfer_loss"] > 0.01
    assert len({network["sha256"] for network in document["networks"]}) == 2


def test_two_networks_of_different_heads_in_one_file_are_told_apart(tmp_path):
    files = {"a": 10, "b": 5}
    content = {name: zoo.build("resnet8x0.25", num_classes=n).state_dict() for name, n in files.items()}
    torch.save(content, tmp_path / "both.pt")
    found = [load(tmp_path / "both.pt", arch="resnet8x0.25", arch_kwargs={"num_classes": n}) for n in files.values()]
    assert found[0].sha256 != found[1].sha256


def test_inspect_tells_of_a_folder_what_it_is(run, tmp_path):
    (tmp_path / "model").mkdir()
    save_file(weights(0), tmp_path / "model" / "model.safetensors")
    code, out, err = run("inspect", "model")
    values = sum(value.numel() for value in weights(0).values())
    assert code == 0, err
    assert f"56 tensors, {values:,} values" in out and "Hugging Face folder" in out
    assert "fits: resnet8x0.25 (num_classes 10, in_channels 1) in the file itself\nit needs no --teacher-arch" in out


def test_inspect_says_what_the_weights_leave_open(run):
    torch.save(zoo.build("shufflenetv2x0.5").state_dict(), "t.pt")
    code, out, err = run("inspect", "t.pt")
    assert code == 0, err
    assert "fits: shufflenetv2x0.5 (num_classes 10, in_channels 3) in the file itself, with stem cifar or imag" in out
    assert "pass --teacher-arch shufflenetv2x0.5 --teacher-arch-kwargs " in out and '"stem": "cifar"' in out


def test_weights_that_do_not_fit_the_architecture_asked_for_are_exit_4(run):
    torch.save(weights(0), "t.pt")
    code, out, err = run("measure", "--teacher", "t.pt", "--student", "t.pt", "--teacher-arch", "resnet14")
    assert code == 4 and not out and len(err.splitlines()) == 1 and "does not fit the architecture" in err


LITTLE_MEMORY = """
import resource, sys, torch
from kernelscope.cli.main import main
import kernelscope.checkpoints.loading
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
main(sys.argv[1:])
"""


def large(path):
    """A file of 1 GB of zeros that takes no place on the disk: the old kind ends with its bare numbers."""
    torch.save({"fc.weight": torch.zeros(7, 1)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    numbers = 2**28
    at = content.index(b"K\x07", content.index(b"cpu"))
    content = content[:at] + b"\x8a\x05" + numbers.to_bytes(5, "little") + content[at + 2 :]
    ends = content.rindex((7).to_bytes(8, "little"))
    path.write_bytes(content[:ends] + numbers.to_bytes(8, "little"))
    os.truncate(path, ends + 8 + 4 * numbers)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_file_larger_than_the_memory_is_exit_7(tmp_path):
    large(tmp_path / "t.pt")
    ended = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY, "inspect", tmp_path / "t.pt"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 7, ended.stderr
    assert ended.stderr.count("\n") == 1 and "needs more memory than there is" in ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_file_larger_than_the_machine_is_exit_7_before_it_is_read(run, tmp_path):
    values = 2**40
    header = json.dumps({"w": {"dtype": "F32", "shape": [values], "data_offsets": [0, 4 * values]}}).encode()
    path = tmp_path / "t.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    try:
        os.truncate(path, 8 + len(header) + 4 * values)
    except OSError:
        pytest.skip("this disk takes no file of 4 TB with nothing in it")
    code, out, err = run("inspect", path)
    assert code == 7 and not out
    assert err.count("\n") == 1 and "needs more memory than there is" in err
