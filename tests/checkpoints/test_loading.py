"""Networks from our checkpoints, from bare weights with an architecture, from the caller's own code, from memory."""

import hashlib
import sys
import types
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from kernelscope.checkpoints import archive, fitting
from kernelscope.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from kernelscope.checkpoints.loaded import loaded_module, weights_sha256
from kernelscope.checkpoints.loading import load
from kernelscope.errors import Mismatch, NumericalError, UnreadableInput, UsageError
from kernelscope.networks import zoo
from tests.checkpoints.watching import opening

ARCH, KWARGS = "resnet8x0.25", {"num_classes": 3, "in_channels": 1}


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return zoo.build(ARCH, **KWARGS).eval()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t.pt"


@pytest.fixture
def described(path, network):
    empty = {"layers": {}, "input": {}, "data": {}, "metrics": {}, "training": {}, "versions": {}}
    checkpoint = Checkpoint(
        arch=ARCH,
        arch_kwargs=KWARGS,
        state_dict=network.state_dict(),
        preprocess=[],
        classes=["a", "b", "c"],
        created="",
        **empty,
    )
    save_checkpoint(path, checkpoint)
    return path


@pytest.fixture
def own_code(tmp_path, monkeypatch):
    """A module in the working folder, as a user has it."""
    name = f"models_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, width=4):\n"
        "        super().__init__()\n"
        "        float(torch.linspace(0, 1, 3)[1])  # as stochastic depth does: impossible without memory\n"
        "        self.fc = torch.nn.Linear(2, width)\n"
        "    def forward(self, x):\n"
        "        return self.fc(x)\n"
        "    @classmethod\n"
        "    def wide(cls):\n"
        "        return cls(9)\n"
        "def broken():\n"
        "    return 1 / 0\n"
        "def words():\n"
        "    return 'a network'\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield name
    sys.modules.pop(name, None)


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


def test_a_checkpoint_that_describes_itself_needs_nothing_else(described, network):
    loaded = load(described)
    assert same(loaded.module, network) and not loaded.module.training
    assert (loaded.name, loaded.arch) == (str(described), ARCH)
    assert loaded.checkpoint.classes == ["a", "b", "c"]
    assert loaded.sha256 == loaded.checkpoint.sha256 and len(loaded.sha256) == 64


def bytes_read():
    """By this process, whoever in it reads."""
    return int(Path("/proc/self/io").read_text().partition("rchar: ")[2].split()[0])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the system does not count what a process reads")
@pytest.mark.parametrize("kind", ["ours", "torch", "old torch", "safetensors"])
def test_a_file_is_opened_once_and_read_once(kind, path, described):
    wide = {"hidden": 1500}
    weights = zoo.build("mlp", **wide).state_dict()
    if kind == "ours":
        torch.save({**torch.load(described), "arch": "mlp", "arch_kwargs": wide, "state_dict": weights}, path)
    elif kind == "safetensors":
        safetensors.torch.save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=kind == "torch")
    arch = {} if kind == "ours" else {"arch": "mlp", "arch_kwargs": wide}
    load(path, **arch)  # whatever is imported on the way is imported now
    before, size = bytes_read(), path.stat().st_size
    with opening() as opened:
        loaded = load(path, **arch)
    assert size <= bytes_read() - before < 1.02 * size
    assert opened.count(str(path)) == 1
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_was_checked_is_loaded_though_the_file_is_replaced_meanwhile(described, network, monkeypatch):
    checked_pickle = archive.checked_pickle

    def checked(path, content):
        pickled = checked_pickle(path, content)
        content = torch.load(path, weights_only=True)
        torch.save({**content, "state_dict": {key: value + 1 for key, value in content["state_dict"].items()}}, path)
        return pickled

    digest = hashlib.sha256(described.read_bytes()).hexdigest()
    monkeypatch.setattr(archive, "checked_pickle", checked)
    loaded = load(described)
    assert same(loaded.module, network) and loaded.sha256 == digest


def counted(monkeypatch, module, name):
    calls, original = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args, **options: (calls.append(args), original(*args, **options))[1])
    return calls


def test_a_checkpoint_is_built_once_and_compared_once(described, monkeypatch):
    built, compared = counted(monkeypatch, zoo, "build"), counted(monkeypatch, fitting, "misfit")
    load(described)
    assert len(built) == len(compared) == 1


def test_bare_weights_are_built_once_by_who_names_their_architecture(path, network, monkeypatch):
    torch.save(network.state_dict(), path)
    built, compared = counted(monkeypatch, zoo, "build"), counted(monkeypatch, fitting, "misfit")
    load(path, arch=ARCH, arch_kwargs=KWARGS)
    assert len(built) == len(compared) == 1


@pytest.mark.parametrize("arch", zoo.architectures())
def test_an_outline_with_weights_is_the_network_that_they_were_of(arch):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = zoo.build(arch).eval()
        x = torch.rand(2, 1 if arch == "mlp" else 3, 8, 8)
    weights = {key: value * 1.01 if value.is_floating_point() else value for key, value in network.state_dict().items()}
    network.load_state_dict(weights)
    filled = fitting.filled(fitting.outline(arch, {}), weights, arch)
    assert dict(filled.named_buffers()).keys() <= weights.keys()  # or some would hold whatever lay in memory
    with torch.no_grad():
        assert torch.equal(filled(x), network(x)) and bool(filled(x).isfinite().all())
    assert [p.requires_grad for p in filled.parameters()] == [p.requires_grad for p in network.parameters()]


def test_a_checkpoint_in_memory_is_identified_by_its_weights(described, network):
    checkpoint = load_checkpoint(described)
    in_memory = Checkpoint(**{**checkpoint.__dict__, "path": None, "sha256": None})
    assert load(checkpoint).sha256 == checkpoint.sha256
    assert load(in_memory).sha256 == weights_sha256(network.state_dict())
    assert load(in_memory).checkpoint is in_memory and load(in_memory).name == "checkpoint"


def test_bare_weights_of_a_built_in_network_are_enough(path, network):
    torch.save({"model": {f"module.{key}": value for key, value in network.state_dict().items()}}, path)
    loaded = load(path)
    assert same(loaded.module, network) and loaded.arch == ARCH and loaded.checkpoint is None
    assert loaded.notes == (
        "t.pt: taken for resnet8x0.25 (num_classes 3, in_channels 1), which its names and shapes fit completely",
        "t.pt: weights were found under 'model'",
        "t.pt: prefix 'module.' was taken off their names",
    )


def test_of_two_networks_in_one_file_the_role_chooses_without_an_architecture(path, network):
    torch.save({"teacher": zoo.build("resnet14x0.25").state_dict(), "student": network.state_dict()}, path)
    assert (load(path, role="teacher").arch, load(path, role="student").arch) == ("resnet14x0.25", ARCH)
    with pytest.raises(UnreadableInput, match=r"2 networks that fit \(.*student.*\); name one, as in FILE::teacher"):
        load(path)


def test_bare_weights_of_no_known_network_are_refused_with_how_to_name_one(path, network):
    torch.save({"fc.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(UnreadableInput, match=r"nor does a built-in one fit; pass teacher_arch= or"):
        load(path)
    torch.save({**network.state_dict(), "fc.bias": torch.ones(1).expand(3)}, path)
    with pytest.raises(UnreadableInput, match="of 3 values over 4 bytes"):
        load(path)


def test_weights_that_leave_open_what_is_computed_are_refused(path):
    torch.save(zoo.build("shufflenetv2x0.5").state_dict(), path)
    with pytest.raises(UnreadableInput, match=r"fits shufflenetv2x0\.5 \(.*\) with stem cifar or imagenet alike; pass"):
        load(path)
    assert load(path, arch="shufflenetv2x0.5", arch_kwargs={"stem": "imagenet"}).arch == "shufflenetv2x0.5"


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda w: w,
        lambda w: {f"module.{key}": value for key, value in w.items()},
        lambda w: {f"_orig_mod.module.{key}": value for key, value in w.items()},
        lambda w: {f"module._orig_mod.{key}": value for key, value in w.items()},
        lambda w: {"state_dict": {f"model.{key}": value for key, value in w.items()}, "epoch": 3},
        lambda w: {"model": w, "optimizer": {"state": {0: torch.zeros(3)}}},
        lambda w: {"n_averaged": torch.tensor(3), **{f"module.{key}": value for key, value in w.items()}},
        lambda w: {key: value for key, value in w.items() if not key.endswith("num_batches_tracked")},
        lambda w: {key: value.half() if value.is_floating_point() else value for key, value in w.items()},
    ],
    ids=[
        "bare",
        "DataParallel",
        "compiled",
        "compiled in parallel",
        "Lightning",
        "training state",
        "EMA",
        "old",
        "half",
    ],
)
def test_weights_are_found_in_the_usual_wrappings(path, network, wrapped):
    torch.save(wrapped(network.state_dict()), path)
    loaded = load(path, arch=ARCH, arch_kwargs=KWARGS)
    assert loaded.checkpoint is None and loaded.arch == ARCH and len(loaded.sha256) == 64
    for key, value in loaded.module.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[key], rtol=1e-3, atol=1e-4)


def test_a_prefix_is_taken_off_only_if_everything_then_fits(path, network):
    weights = {f"module.{key}": value for key, value in network.state_dict().items()}
    del weights["module.fc.bias"]
    torch.save(weights, path)
    with pytest.raises(Mismatch, match=r"56 missing \(first bn1\.bias\), 55 extra \(first module\.bn1\.bias\)"):
        load(path, arch=ARCH, arch_kwargs=KWARGS)


def test_only_counters_may_be_missing(path, network):
    weights = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    del weights["bn1.running_var"]
    torch.save(weights, path)
    with pytest.raises(Mismatch, match="10 missing"):
        load(path, arch=ARCH, arch_kwargs=KWARGS)


def test_bare_weights_that_are_not_finite_or_not_dense_are_refused(path, network):
    torch.save({**network.state_dict(), "fc.bias": torch.tensor([0, float("nan"), 0])}, path)
    with pytest.raises(NumericalError, match=r"NaN or infinite weights in fc\.bias"):
        load(path, arch=ARCH, arch_kwargs=KWARGS)
    torch.save({**network.state_dict(), "fc.bias": torch.ones(3).to_sparse()}, path)
    with pytest.raises(UnreadableInput, match=r"fc\.bias sparse_coo"):
        load(path, arch=ARCH, arch_kwargs=KWARGS)


@pytest.mark.parametrize(
    ("content", "piece"),
    [
        ([1, 2], "holds a list, not weights"),
        (torch.zeros(3), "holds a Tensor, not weights"),
        ({"epoch": 3}, "holds no weights"),
        ({5: torch.zeros(1)}, "'5' among its weights"),
    ],
)
def test_a_file_without_weights_is_refused(path, content, piece):
    torch.save(content, path)
    with pytest.raises(UnreadableInput, match=piece):
        load(path, arch=ARCH, arch_kwargs=KWARGS)


def test_the_callers_architecture_wins_and_inherits_arguments_of_its_name(described, network):
    loaded = load(described, arch=ARCH)  # the file's own arguments
    assert same(loaded.module, network) and loaded.checkpoint is not None
    with pytest.raises(Mismatch, match=r"2 shapes differ, first fc\.weight"):
        load(described, arch=ARCH, arch_kwargs={"num_classes": 4, "in_channels": 1})
    with pytest.raises(Mismatch, match="does not fit the architecture"):
        load(described, arch="resnet14x0.25")
    with pytest.raises(UsageError, match="without an architecture"):
        load(described, arch_kwargs={"num_classes": 4})
    with pytest.raises(UsageError, match="unknown architecture"):
        load(described, arch="resnet9")


def test_the_callers_own_factory_is_honoured_from_the_working_folder(own_code, path):
    weights = {"fc.weight": torch.ones(4, 2), "fc.bias": torch.zeros(4)}
    torch.save(weights, path)
    before = torch.random.get_rng_state()
    loaded = load(path, arch=f"{own_code}:Net")
    assert torch.equal(loaded.module(torch.ones(1, 2)), torch.full((1, 4), 2.0)) and not loaded.module.training
    assert torch.equal(before, torch.random.get_rng_state())
    torch.save({"fc.weight": torch.ones(9, 2), "fc.bias": torch.zeros(9)}, path)
    assert load(path, arch=f"{own_code}:Net.wide").module.fc.out_features == 9
    assert load(path, arch=f"{own_code}:Net", arch_kwargs={"width": 9}).module.fc.out_features == 9
    with pytest.raises(Mismatch, match="2 shapes differ"):
        load(path, arch=f"{own_code}:Net")


def test_a_factory_in_a_file_is_never_honoured(own_code, described):
    content = torch.load(described, weights_only=True)
    torch.save({**content, "arch": f"{own_code}:Net"}, described)
    with pytest.raises(UnreadableInput, match=f"wants arch '{own_code}:Net', which is not built in"):
        load(described)
    assert own_code not in sys.modules


def test_a_file_tells_the_callers_own_code_no_arguments(own_code, described):
    content = torch.load(described, weights_only=True)
    weights = {"fc.weight": torch.ones(4, 2), "fc.bias": torch.zeros(4)}
    hostile = {"arch": f"{own_code}:Net", "arch_kwargs": {"width": 10**12}, "state_dict": weights}
    torch.save({**content, **hostile}, described)
    assert load(described, arch=f"{own_code}:Net").module.fc.out_features == 4


@pytest.mark.parametrize(
    ("attribute", "piece"),
    [
        ("nothing", "cannot be imported"),
        ("broken", "cannot be called with {} .ZeroDivisionError"),
        ("words", "makes a str, expected an nn.Module"),
    ],
)
def test_a_factory_that_fails_is_named_with_its_error(own_code, path, attribute, piece):
    torch.save({"fc.weight": torch.ones(4, 2)}, path)
    with pytest.raises(UsageError, match=piece):
        load(path, arch=f"{own_code}:{attribute}")


@pytest.mark.parametrize("arch", [":x", "nothing_of_that_name:x", "os:"])
def test_what_cannot_be_imported_is_a_usage_error(path, arch):
    torch.save({"fc.weight": torch.ones(4, 2)}, path)
    with pytest.raises(UsageError, match=r"pkg\.mod:factory"):
        load(path, arch=arch)


def test_a_module_in_memory_is_identified_by_the_bits_of_its_weights():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    first = loaded_module(module, name="student")
    assert (first.name, first.arch, first.checkpoint, first.module) == ("student", "Sequential", None, module)
    with torch.no_grad():
        module[0].weight[0, 0] = torch.nextafter(module[0].weight[0, 0], torch.tensor(9.0))
    assert loaded_module(module, name="student").sha256 != first.sha256


def test_names_types_and_shapes_are_part_of_the_identity():
    zeros = torch.zeros(2, 3)
    others = [{"a": zeros}, {"b": zeros}, {"a": zeros.half()}, {"a": zeros.T}, {"a": zeros, "b": zeros}, {}]
    assert len({weights_sha256(weights) for weights in others}) == len(others)
    view = torch.zeros(6, 4)[::3, ::2][:, :1].expand(2, 3)
    assert weights_sha256({"a": view}) == weights_sha256({"a": zeros})
    assert weights_sha256({"a": torch.ones(3, dtype=torch.bfloat16), "n": torch.tensor(1)})


@pytest.fixture
def library(monkeypatch):
    """A stand-in for timm that knows one network."""

    def create_model(name, pretrained, num_classes=2, **others):
        assert pretrained is False and not others
        return nn.Linear(3, num_classes)

    timm = types.ModuleType("timm")
    timm.is_model, timm.list_models, timm.create_model = "small".__eq__, lambda: ["small"], create_model
    monkeypatch.setitem(sys.modules, "timm", timm)


def naming(described, arch, arch_kwargs):
    weights = {"weight": torch.ones(5, 3), "bias": torch.zeros(5)}
    content = torch.load(described, weights_only=True)
    torch.save({**content, "arch": arch, "arch_kwargs": arch_kwargs, "state_dict": weights}, described)
    return described


def test_a_file_may_name_a_network_of_a_library_and_its_sizes(described, library):
    assert load(naming(described, "timm:small", {"num_classes": 5})).module.out_features == 5


@pytest.mark.parametrize(
    ("arch", "arch_kwargs", "piece"),
    [
        ("timm:small", {"checkpoint_path": "/etc/passwd"}, "a file may give num_classes and in_chans alone"),
        ("timm:small", {"num_classes": 10**12}, "a file may give num_classes and in_chans alone"),
        ("timm:small", {"num_classes": 6}, "2 shapes differ"),
        ("timm:large", {}, "timm has no network 'large'"),
        ("hf:/tmp", {}, "which is not built in"),
    ],
)
def test_a_file_tells_a_library_nothing_else(described, library, arch, arch_kwargs, piece):
    with pytest.raises(UnreadableInput, match=piece) as caught:
        load(naming(described, arch, arch_kwargs))
    assert len(str(caught.value).replace(str(described.parent), "")) <= 200


@pytest.mark.parametrize(("value", "fits"), [(0, True), (1, False)])
def test_a_constant_the_network_makes_itself_may_stand_in_the_file_if_equal(value, fits, tmp_path):
    code = (
        "import torch\nfrom torch import nn\nclass Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.fc = nn.Linear(2, 2)\n"
        "        self.register_buffer('places', torch.arange(4)[None], persistent=False)\n"
    )
    (tmp_path / "with_places.py").write_text(code)
    weights = {"bert.fc.weight": torch.ones(2, 2), "bert.fc.bias": torch.ones(2)}
    torch.save(weights | {"bert.places": torch.arange(value, 4 + value)[None]}, tmp_path / "w.pt")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setattr(sys, "path", list(sys.path))
        if not fits:
            with pytest.raises(Mismatch, match="extra"):
                load(tmp_path / "w.pt", arch="with_places:Net")
            return
        loaded = load(tmp_path / "w.pt", arch="with_places:Net")
    assert torch.equal(loaded.module.fc.weight, torch.ones(2, 2))
    assert any("1 constant that the network makes itself left out" in note for note in loaded.notes)
