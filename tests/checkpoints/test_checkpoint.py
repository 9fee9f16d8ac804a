"""A checkpoint comes back as it was saved, or is refused in one line; nothing in it is run."""

import dataclasses
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kernelscope.checkpoints import weights_file
from kernelscope.checkpoints.checkpoint import FORMAT, Checkpoint, load_checkpoint, save_checkpoint
from kernelscope.errors import NumericalError, UnreadableInput, UsageError
from kernelscope.networks import zoo

KWARGS = {"num_classes": 3, "in_channels": 1}


def network(arch="resnet8x0.25", **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return zoo.build(arch, **(KWARGS | options))


def checkpoint(**changes):
    fields = {
        "arch": "resnet8x0.25",
        "arch_kwargs": KWARGS,
        "state_dict": network().state_dict(),
        "layers": {"embedding": "fc:in", "logits": "fc:out"},
        "input": {"shape": [1, 8, 8], "layout": "NCHW"},
        "preprocess": [{"op": "scale", "by": 0.0625}, {"op": "normalize", "mean": [0.3], "std": [0.4]}],
        "classes": ["a", "b", "c"],
        "data": {"name": "digits", "split": "test", "n": 450, "seed": 0, "order_sha256": "00ff"},
        "metrics": {"top1": 0.1 + 0.2},
        "training": {"recipe": {"lr": 0.1, "milestones": [1, 2]}, "history": [{"epoch": 1}], "teacher_sha256": None},
        "versions": {"torch": "2.13.0"},
        "created": "2026-11-23T00:00:00+00:00",
    }
    return Checkpoint(**(fields | changes))


def document(**changes):
    c = checkpoint()
    names = [f.name for f in dataclasses.fields(c) if f.name not in ("path", "sha256")]
    return {"format": FORMAT, "format_version": 1, **{name: getattr(c, name) for name in names}, **changes}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t.pt"


@pytest.fixture
def saved(path):
    save_checkpoint(path, checkpoint())
    return path


def refused(path, piece, kind=UnreadableInput):
    """Loading (and, if that works, building) ends in one line that holds ``piece``."""
    with pytest.raises(kind, match=piece) as caught:
        load_checkpoint(path).network()
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    assert len(message) - len(str(path)) + len("t.pt") <= 200, message


def test_a_checkpoint_comes_back_bit_for_bit(saved):
    before, after = checkpoint(), load_checkpoint(saved)
    for field in dataclasses.fields(Checkpoint):
        if field.name not in ("state_dict", "path", "sha256"):
            assert getattr(after, field.name) == getattr(before, field.name), field.name
    assert list(after.state_dict) == list(before.state_dict)
    for key, value in before.state_dict.items():
        assert after.state_dict[key].dtype == value.dtype
        assert after.state_dict[key].numpy().tobytes() == value.numpy().tobytes(), key
    assert after.path == str(saved)
    assert after.sha256 == subprocess.run(["sha256sum", saved], capture_output=True, text=True).stdout.split()[0]


def test_the_network_that_was_saved_answers_the_same(saved):
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    loaded = load_checkpoint(saved).network()
    assert not any(module.training for module in loaded.modules())
    with torch.no_grad():
        assert torch.equal(loaded(x), network().eval()(x))


def test_the_file_loads_without_our_help_and_without_any_class(saved):
    found = torch.load(saved, weights_only=True)
    assert found["format"] == "kernelscope.checkpoint" and found["format_version"] == 1
    assert not torch.serialization.get_unsafe_globals_in_checkpoint(saved)
    with zipfile.ZipFile(saved) as archive:
        assert not any(str(os.getpid()) in name for name in archive.namelist())


def test_equal_checkpoints_are_equal_files(saved, tmp_path):
    save_checkpoint(tmp_path / "other name.pt", checkpoint())
    assert (tmp_path / "other name.pt").read_bytes() == saved.read_bytes()


def test_building_from_a_file_leaves_the_random_generator_alone(saved):
    before = torch.random.get_rng_state()
    load_checkpoint(saved).network()
    assert torch.equal(before, torch.random.get_rng_state())


def test_training_the_network_does_not_change_the_checkpoint(saved):
    loaded = load_checkpoint(saved)
    built = loaded.network()
    with torch.no_grad():
        built.fc.weight.zero_()
    assert torch.equal(loaded.state_dict["fc.weight"], network().fc.weight.detach())


def test_numpy_numbers_and_versions_become_plain(path):
    metrics = {"top1": np.float64(0.5), "n": np.int64(3), "ok": np.bool_(True), "f": np.float32(0.1)}
    save_checkpoint(path, checkpoint(metrics=metrics, versions={"torch": torch.__version__, "numpy": np.str_("2")}))
    after = load_checkpoint(path)
    assert after.metrics == {"top1": 0.5, "n": 3, "ok": True, "f": float(np.float32(0.1))}
    assert [type(v) for v in after.metrics.values()] == [float, int, bool, float]
    assert after.versions == {"torch": str(torch.__version__), "numpy": "2"}
    assert all(type(v) is str for v in after.versions.values())


@pytest.mark.parametrize(
    ("training", "piece"),
    [
        ({"out": Path("a")}, r"training\.out is a PosixPath"),
        ({"x": [1, {"y": np.zeros(2)}]}, r"training\.x\[1\]\.y is a ndarray"),
        ({"x": torch.zeros(1)}, r"training\.x is a Tensor"),
        ({1: 2}, r"training has the key 1, expected text"),
        ({"seen": {1, 2}}, r"training\.seen is a set"),
    ],
)
def test_more_than_plain_data_is_refused_before_anything_is_written(path, training, piece):
    with pytest.raises(UsageError, match=piece):
        save_checkpoint(path, checkpoint(training=training))
    assert not list(path.parent.iterdir())


def test_a_view_is_saved_without_the_rest_of_its_storage(path):
    whole = torch.arange(1_000_000.0)
    save_checkpoint(path, checkpoint(state_dict={"a": whole[5:8], "b": whole.reshape(1000, 1000)[:2, :2].T}))
    assert path.stat().st_size < 10_000
    after = load_checkpoint(path).state_dict
    assert after["a"].tolist() == [5, 6, 7] and after["b"].tolist() == [[0, 1000], [1, 1001]]


def test_an_existing_file_is_replaced_only_if_asked(saved):
    before = saved.read_bytes()
    with pytest.raises(UsageError, match="exists; pass overwrite=True"):
        save_checkpoint(saved, checkpoint(created="later"))
    assert saved.read_bytes() == before
    save_checkpoint(saved, checkpoint(created="later"), overwrite=True)
    assert load_checkpoint(saved).created == "later"
    assert list(saved.parent.iterdir()) == [saved]


FULL_DISK = """
import resource, signal, sys
from kernelscope.errors import ResourceError
from kernelscope.checkpoints.checkpoint import load_checkpoint, save_checkpoint
checkpoint = load_checkpoint(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for size in (20_000, 4096, 100):  # in the weights, in what is still buffered when the file is closed, in the head
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        save_checkpoint(sys.argv[2], checkpoint, overwrite=True)
    except ResourceError as error:
        print(error)
"""


def test_a_disk_that_takes_no_more_leaves_the_old_file_and_no_torso(saved, tmp_path):
    old = tmp_path / "old.pt"
    old.write_bytes(b"old")
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, saved, old], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout == f"disk full while writing {old}; free some space and run again\n" * 3
    assert old.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == [old, saved]


# ---- files that are something else ----


@pytest.mark.parametrize(
    ("content", "piece"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git-lfs pointer, .*run git lfs pull"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "is an HTML page"),
        (b"\xef\xbb\xbf<html>", "is an HTML page"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 90, "is an HDF5 file"),
        (b"\x93NUMPY\x01\0" + b"\0" * 90, "is a NumPy array"),
        ((60).to_bytes(8, "little") + b'{"a":{"dtype":"F32"}}' + b" " * 90, "is a damaged safetensors file"),
        (b"epoch,loss\n1,0.3\n" * 20, "is not a torch file"),
        (b"PK\x03\x04" + b"\0" * 50, "is truncated after 54 bytes"),
        (b"\x80\x02" + b"\0" * 50, "is damaged or not a torch file"),
        (bytes(range(256)) * 4, "is not a torch file"),
    ],
    ids=["empty", "lfs", "html", "html-bom", "hdf5", "npy", "safetensors", "text", "zip-head", "pickle-head", "noise"],
)
def test_a_file_of_another_kind_is_told_by_its_content(path, content, piece):
    path.write_bytes(content)
    refused(path, piece)


def test_archives_of_another_kind_are_told_apart(path):
    with path.open("wb") as stream:
        np.savez(stream, a=np.zeros(3))
    refused(path, "is a NumPy .npz archive")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(path, "is a zip archive without a checkpoint in it")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10_000_000)
    refused(path, "would unpack to more than it holds")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", os.urandom(1000))
    refused(path, "compressed archive")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
        archive.writestr("archive/archive_format", b"pt2")
    refused(path, "is a torch.export program")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_program_is_refused(path):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), path)
    refused(path, "is a TorchScript program")


def test_missing_files_folders_and_impossible_names_are_unreadable(tmp_path):
    refused(tmp_path / "none.pt", "does not exist")
    refused(tmp_path, "is not a regular file")
    os.mkfifo(tmp_path / "pipe.pt")
    refused(tmp_path / "pipe.pt", "is not a regular file")
    with pytest.raises(UnreadableInput):
        load_checkpoint("a\0b")
    with pytest.raises(UnreadableInput):
        load_checkpoint("x" * 5000)


class Malice:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_named_and_not_run(path, tmp_path, zipped):
    target = tmp_path / "ran"
    torch.save(document(metrics={"x": Malice(target)}), path, _use_new_zipfile_serialization=zipped)
    refused(path, r"need code to load \((posix|nt)\.mkdir\)")
    path.write_bytes(pickle.dumps({"a": Malice(target)}, protocol=2))
    refused(path, "need code to load|damaged")
    torch.save(nn.Linear(2, 2), path, _use_new_zipfile_serialization=zipped)
    if zipped:
        refused(path, "does not describe its network")  # its classes are stubs, and its weights are there
    else:
        refused(path, r"need code to load \(torch\.nn\.modules\.linear\.Linear\)")
    assert not target.exists()


def test_code_is_not_run_though_the_environment_asks_for_it(path, tmp_path):
    target = tmp_path / "ran"
    torch.save(document(metrics={"x": Malice(target)}), path)
    code = "import sys; from kernelscope.checkpoints.checkpoint import load_checkpoint as load; load(sys.argv[1])"
    ended = subprocess.run(
        [sys.executable, "-c", code, path],
        env=os.environ | {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "UnreadableInput" in ended.stderr and not target.exists()


# ---- damage ----


def test_a_truncated_file_is_refused_wherever_it_ends(saved):
    whole = saved.read_bytes()
    for size in [1, 3, 4, 30, 500, *range(1000, len(whole), 1009), len(whole) - 1]:
        saved.write_bytes(whole[:size])
        refused(saved, "truncated|not a torch file|damaged|need code")


def test_a_flipped_bit_in_the_weights_is_refused(saved):
    whole = bytearray(saved.read_bytes())
    weights = network().conv1.weight.detach().numpy().tobytes()
    at = bytes(whole).index(weights) + 5
    whole[at] ^= 1
    saved.write_bytes(whole)
    refused(saved, "is corrupt: .* fails its checksum")


def test_a_flipped_bit_anywhere_is_refused_or_harmless(path):
    """The checksums cover the members; this covers the archive's own structure, where torch trusts the file."""
    small = zoo.build("mlp", hidden=1, in_features=1, num_classes=1)
    save_checkpoint(path, checkpoint(arch="mlp", arch_kwargs={}, state_dict=small.state_dict()))
    whole, before = path.read_bytes(), load_checkpoint(path)
    directory = whole.index(b"PK\x01\x02")
    rng = np.random.default_rng(0)
    places = [*range(directory, len(whole), 3), *rng.integers(0, directory, 150).tolist()]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            after = load_checkpoint(path)
        except UnreadableInput:
            continue
        assert after.training == before.training and after.data == before.data
        for key, value in before.state_dict.items():
            assert torch.equal(after.state_dict[key], value), (place, key)


def test_a_member_marked_as_a_folder_is_refused(saved):
    """torch gives such a tensor the bytes that lay in memory."""
    whole = bytearray(saved.read_bytes())
    entry = bytes(whole).index(b"PK\x01\x02", bytes(whole).index(b"PK\x01\x02") + 4)
    whole[entry + 38] |= 0x10
    saved.write_bytes(whole)
    refused(saved, "a tensor is marked as a folder")


# ---- what the document says ----


@pytest.mark.parametrize(
    ("changes", "piece"),
    [
        ({"format": "other"}, "does not describe its network; pass teacher_arch= or student_arch="),
        ({"format_version": 2}, "has format_version 2, expected 1"),
        ({"format_version": torch.tensor([1, 1])}, "is truncated or damaged"),
        ({"format_version": "1\n" * 99}, "has format_version"),
        ({"classes": "abc"}, "holds a str as classes, expected list"),
        ({"classes": [1, 2]}, "holds a int as classes item, expected str"),
        ({"preprocess": ["scale"]}, "holds a str as preprocess item, expected dict"),
        ({"metrics": None}, "holds a NoneType as metrics, expected dict"),
        ({"metrics": {"x": torch.zeros(2)}}, r"more than plain data: metrics\.x is a Tensor"),
        ({"data": {"seed": "0"}}, "holds a str as data seed, expected int"),
        ({"arch": "os:system"}, "wants arch 'os:system', which is not built in; pass teacher_arch="),
        ({"arch": "torchvision:resnet18"}, "but a file may give num_classes and in_chans alone"),
        ({"arch": "pkg.mod:build"}, "wants arch 'pkg.mod:build', which is not built in"),
        ({"arch": "resnet19"}, "wants arch 'resnet19', which is not built in"),
        ({"arch": "x" * 5000}, "is not built in"),
        ({"arch_kwargs": {"num_classes": "many"}}, "arguments that cannot be built"),
        ({"arch_kwargs": {"arch": "resnet8"}}, "arguments that cannot be built"),
        ({"arch_kwargs": {"num_classes": 10**30}}, "arguments that cannot be built"),
        ({"arch_kwargs": {"num_classes": 10**12, "in_channels": 1}}, "2 shapes differ, first fc.weight"),
        ({"state_dict": {}}, r"56 missing \(first bn1\.bias\) keys"),
    ],
)
def test_a_document_that_says_something_else_is_refused(path, changes, piece):
    torch.save(document(**changes), path)
    refused(path, piece)


def test_a_document_that_lacks_fields_or_is_no_document_is_refused(path):
    lacking = document()
    del lacking["data"], lacking["layers"]
    torch.save(lacking, path)
    refused(path, "lacks layers, data")
    for other in ([1, 2], torch.zeros(3), "text", network().state_dict()):
        torch.save(other, path)
        refused(path, "does not describe its network; pass teacher_arch=")


def test_fields_that_grow_without_end_are_refused(path):
    nested = ["x"]
    for _ in range(40):
        nested = [nested, nested]  # 2^40 items, a few bytes in the file
    torch.save(document(training={"history": nested}), path)
    refused(path, "beyond a million items")
    round_about: list = []
    round_about.append(round_about)
    torch.save(document(training={"history": round_about}), path)
    refused(path, "beyond a million items")


def weights(**changes):
    state_dict = dict(network().state_dict())
    for key, value in changes.items():
        name = key.replace("__", ".")
        if value is None:
            del state_dict[name]
        else:
            state_dict[name] = value
    return state_dict


def test_missing_extra_and_misshapen_weights_are_counted_and_named(path):
    torch.save(document(state_dict=weights(fc__bias=None, fc__weight=None, extra=torch.zeros(1))), path)
    refused(path, r"2 missing \(first fc\.bias\), 1 extra \(first extra\) keys")
    torch.save(document(state_dict=weights(extra=torch.zeros(1))), path)
    refused(path, r"architecture: 1 extra \(first extra\) keys")
    torch.save(document(state_dict=weights(fc__weight=torch.zeros(3, 5))), path)
    refused(path, r"1 shapes differ, first fc\.weight \(3, 5\) for \(3, 16\)")


@pytest.mark.parametrize(
    ("value", "piece"),
    [
        (torch.ones(3, dtype=torch.int32), "holds fc.bias as int32, expected float32"),
        (torch.ones(3, dtype=torch.complex64), "holds fc.bias as complex64"),
        (torch.ones(3).to(torch.float8_e4m3fn), "holds fc.bias as float8_e4m3fn"),
        (torch.ones(3).to_sparse(), "holds fc.bias sparse_coo, expected a dense tensor"),
        (torch.empty(3, device="meta"), "holds fc.bias on device meta"),
        (torch.ones(1).expand(3), "holds fc.bias of 3 values over 4 bytes"),
        (torch.ones(1).expand(10**12), "holds fc.bias of 1,000,000,000,000 values over 4 bytes"),
        (1.0, "holds a float as 'fc.bias' among its weights"),
    ],
)
def test_weights_that_are_no_ordinary_numbers_are_refused(path, value, piece):
    torch.save(document(state_dict=weights(fc__bias=value)), path)
    refused(path, piece)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_converted(path, dtype):
    torch.save(document(state_dict=weights(fc__bias=torch.tensor([1.0, 0.5, -2.0], dtype=dtype))), path)
    built = load_checkpoint(path).network()
    assert built.fc.bias.dtype == torch.float32 and built.fc.bias.tolist() == [1.0, 0.5, -2.0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(path, bad):
    torch.save(document(state_dict=weights(fc__bias=torch.tensor([0, bad, 0]))), path)
    refused(path, "NaN or infinite weights in fc.bias", NumericalError)


def test_files_written_before_torch_1_6_are_read(path):
    torch.save(document(), path, _use_new_zipfile_serialization=False)
    assert torch.equal(load_checkpoint(path).network().fc.weight, network().fc.weight)


def test_weights_are_read_onto_the_cpu_and_nothing_is_said_on_the_way(saved, recwarn):
    with weights_file.opened(saved):
        pass
    assert not list(recwarn)
