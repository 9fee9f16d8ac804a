"""Broken and hostile files end in one line, with the right exit code, soon; nothing in them runs or comes through."""

import ast
import resource
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import kernelscope
from kernelscope.checkpoints.loading import load
from kernelscope.errors import KernelscopeError, UnreadableInput
from kernelscope.measurement import inspection
from kernelscope.networks import zoo
from tests.checkpoints.foreign_files import ARCH, KWARGS, weights
from tests.checkpoints.hostile_files import Call, flipped, pickle_of, saved, with_pickle
from tests.checkpoints.hostile_tensors import KINDS
from tests.checkpoints.watching import watching

QUICK, SMALL = 20, 2**20  #: seconds, and kilobytes of memory


def test_there_are_at_least_forty_kinds():
    assert len(KINDS) >= 40


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_no_good_is_refused_in_one_line(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").mkdir()
    path = KINDS[kind].write(tmp_path / "file")
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with watching() as seen, pytest.raises(KernelscopeError) as caught:
        load(path, arch=ARCH, arch_kwargs=KWARGS)
    assert time.monotonic() - started < QUICK
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < SMALL
    message = str(caught.value)
    assert caught.value.exit_code == KINDS[kind].code and KINDS[kind].piece in message, message
    assert (str(path)[:80] in message or str(path)[-49:] in message) and message.isprintable()
    assert len(message.replace(str(path.parent), "")) <= 200, message
    assert not seen and not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("kind", KINDS)
def test_inspect_tells_of_it_or_refuses_it_as_well(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").mkdir()
    path = KINDS[kind].write(tmp_path / "file")
    started = time.monotonic()
    with watching() as seen:
        try:
            said = list(inspection.describe(path))
        except KernelscopeError as error:
            said = [str(error)]
            assert error.exit_code == KINDS[kind].code
    assert said and all(line.isprintable() for line in said)
    assert time.monotonic() - started < QUICK and not (tmp_path / "ran").exists()
    assert not seen


def test_every_file_of_torch_is_loaded_as_weights_alone():
    calls = [
        node
        for path in Path(kernelscope.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "torch.jit.load", "pickle.load")
    ]
    said = [ast.unparse(keyword) for node in calls for keyword in node.keywords if keyword.arg == "weights_only"]
    assert said == ["weights_only=True"] * len(calls) and len(calls) >= 2


@pytest.mark.parametrize("old", [False, True])
def test_a_call_is_not_made_though_the_environment_asks_for_it(old, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    called = Call(np.save, str(tmp_path / "ran.npy"), 1)  # nothing on the list of what is known to be harmful
    (tmp_path / "t.pt").write_bytes(saved({"x": called, **weights()}, _use_new_zipfile_serialization=not old))
    with watching() as seen:
        if old:
            with pytest.raises(UnreadableInput, match="need code to load"):
                load(tmp_path / "t.pt", arch=ARCH, arch_kwargs=KWARGS)
        else:
            load(tmp_path / "t.pt", arch=ARCH, arch_kwargs=KWARGS)
    assert not seen and not (tmp_path / "ran.npy").exists()


# ---- damage at random ----

MUTATIONS = 2_000  #: of a checkpoint, and a quarter as many of each other kind of file


def mutated(content, rng):
    """One to four accidents: a changed byte, bytes lost, doubled, or moved."""
    for _ in range(rng.integers(1, 5)):
        at, length = int(rng.integers(len(content))), int(rng.integers(1, 9))
        accident = rng.integers(4)
        if accident == 0:
            content = content[:at] + bytes([rng.integers(256)]) + content[at + 1 :]
        elif accident == 1:
            content = content[:at] + content[at + length :]
        elif accident == 2:
            content = content[: at + length] + content[at:]
        else:
            to = int(rng.integers(len(content)))
            content = content[:to] + content[at : at + length] + content[to + length :]
    return content


@pytest.fixture(scope="module")
def small():
    """Weights of few bytes, so that many accidents meet what describes them."""
    with torch.random.fork_rng(devices=[]):
        return dict(zoo.build("mlp", **MLP).state_dict())


MLP = {"hidden": 3, "in_features": 2, "num_classes": 2}


def read_again(path, content):
    """What the door gives for ``content``; None if it refuses it as it should."""
    path.write_bytes(content)
    try:
        return load(path, arch="mlp", arch_kwargs=MLP).module.state_dict()
    except KernelscopeError as error:
        message = str(error)
        assert message.isprintable() and error.exit_code in (3, 4, 5), message
        return None


def is_sound(state_dict, like):
    return all(value.shape == like[key].shape and bool(value.isfinite().all()) for key, value in state_dict.items())


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(10, 20))]


@pytest.mark.parametrize("seed", SEEDS)
def test_two_thousand_accidents_to_a_checkpoint_are_refused_or_do_no_harm(seed, small, tmp_path):
    content, rng, refused = saved({"state_dict": small, "epoch": 3}), np.random.default_rng(seed), 0
    for i in range(MUTATIONS):
        after = read_again(tmp_path / "t.pt", mutated(content, rng))
        refused += after is None
        assert after is None or all(torch.equal(after[key], small[key]) for key in small), i
    assert refused > MUTATIONS // 2


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["pickle", "old", "safetensors"])
def test_accidents_that_no_checksum_covers_are_refused_or_give_sound_weights(kind, seed, small, tmp_path):
    content, rng = (
        {
            "pickle": lambda: pickle_of(
                {"state_dict": small, "at": Path("x")}
            ),  # with the archive's checksums made right
            "old": lambda: saved(small, _use_new_zipfile_serialization=False),
            "safetensors": lambda: safetensors.torch.save(small),
        }[kind](),
        np.random.default_rng(seed + 1),
    )
    for i in range(MUTATIONS // 4):
        damaged = mutated(content, rng)
        if kind == "pickle":
            damaged = with_pickle(damaged, {"state_dict": small})
        after = read_again(tmp_path / "t.pt", damaged)
        assert after is None or is_sound(after, small), i


def test_a_hundred_flipped_bits_in_the_weights_are_all_found(tmp_path):
    content, rng = saved(), np.random.default_rng(2)
    places = [
        content.index(value.numpy().tobytes()) + int(rng.integers(value.nbytes))
        for value in rng.choice(np.array([v for v in weights().values() if v.ndim > 1], dtype=object), 100)
    ]
    assert len(set(places)) > 90
    for place in places:
        (tmp_path / "t.pt").write_bytes(flipped(content, place, int(rng.integers(8))))
        with pytest.raises(UnreadableInput, match="fails its checksum"):
            load(tmp_path / "t.pt", arch=ARCH, arch_kwargs=KWARGS)
