"""Networks by the names of other people's libraries: lazily, without downloads, and refused in one line."""

import sys

import pytest
import torch
from safetensors.torch import save_file

import kernelscope as ks
from kernelscope.errors import UnreadableInput, UsageError
from kernelscope.networks import libraries as other_architectures


class Broken:
    """An importer for which one package is installed and fails with an error of its own kind."""

    def __init__(self, package, error):
        self.package, self.error = package, error

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == self.package:
            raise self.error


@pytest.mark.parametrize(
    ("arch", "package", "error", "fix"),
    [
        (
            "torchvision:resnet18",
            "torchvision",
            RuntimeError("operator torchvision::nms does not exist"),
            "pip install --upgrade torch torchvision",
        ),
        ("timm:resnet18", "timm", ImportError("No module named 'timm'"), "pip install --upgrade torch timm"),
    ],
)
def test_a_missing_or_broken_library_is_refused_with_the_command_to_install_it(monkeypatch, arch, package, error, fix):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(package, error), *sys.meta_path])
    with pytest.raises(UsageError, match=fix) as caught:
        other_architectures.build(arch, {})
    assert type(error).__name__ in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"{", b"[1]", b" " * (2**24 + 1)])
def test_a_folder_without_a_readable_configuration_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UnreadableInput, match=r"config\.json cannot be read"):
        other_architectures.build(f"hf:{tmp_path}", {})


def test_without_transformers_a_folder_is_refused_with_its_command(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "transformers"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken("transformers", ImportError("no module")), *sys.meta_path])
    (tmp_path / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    save_file({"a": torch.ones(2)}, tmp_path / "model.safetensors")
    for load in (lambda: other_architectures.build(f"hf:{tmp_path}", {}), lambda: ks.load(tmp_path)):
        with pytest.raises(UsageError, match=r"transformers cannot be imported \(.*\); run pip install transformers"):
            load()


def test_a_factory_of_the_working_folder_is_found(tmp_path, monkeypatch):
    (tmp_path / "mine_for_this_test.py").write_text(
        "from torch import nn\ndef build(d=2): return nn.Linear(d, 1)\nx=3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert other_architectures.build("mine_for_this_test:build", {"d": 4}).in_features == 4
    with pytest.raises(UsageError, match="expected a factory"):
        other_architectures.build("mine_for_this_test:x", {})
    with pytest.raises(UsageError, match="cannot be imported"):
        other_architectures.build("mine_for_this_test:missing", {})
    with pytest.raises(UsageError, match="makes a dict, expected an nn"):
        other_architectures.build("builtins:dict", {})
