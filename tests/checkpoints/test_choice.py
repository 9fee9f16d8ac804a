"""``FILE::part``: of several networks in a file the one that is named, and what is said where none or no such is."""

import pytest
import torch
from torch import nn

from kernelscope.checkpoints.checkpoint import save_checkpoint
from kernelscope.checkpoints.loading import load
from kernelscope.errors import Mismatch, UnreadableInput, UsageError
from kernelscope.measurement.inspection import describe
from kernelscope.measurement.opening import opened
from kernelscope.networks import zoo
from tests.checkpoints.test_checkpoint import checkpoint

ARCH = "resnet8x0.25"


def weights(seed: int, arch: str = ARCH) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return zoo.build(arch).state_dict()


@pytest.fixture
def path(tmp_path):
    """As training programs write them: an average beside the weights, a student's inside a module with its teacher."""
    student = {f"student.{key}": value for key, value in weights(3).items()}
    torch.save(
        {
            "state_dict": weights(1),
            "state_dict_ema": weights(2),
            "distiller": {"model": student | {f"teacher.{key}": value for key, value in weights(4).items()}},
        },
        tmp_path / "t.ckpt",
    )
    return tmp_path / "t.ckpt"


@pytest.mark.parametrize(
    ("part", "seed"),
    [
        ("state_dict", 1),
        ("state_dict_ema", 2),
        ("distiller/model:student", 3),
        ("distiller/model:teacher.", 4),
        ("student", 3),
        ("teacher", 4),
    ],
)
@pytest.mark.parametrize("arch", [ARCH, None])
def test_the_named_part_is_loaded(path, part, seed, arch):
    loaded = load(f"{path}::{part}", arch=arch)
    assert torch.equal(loaded.module.fc.weight, weights(seed)["fc.weight"])
    assert loaded.name == f"{path}::{part}"
    assert opened(f"{path}::{part}", "teacher", (arch, None)).name == loaded.name


def test_parts_of_one_file_have_digests_of_their_own(path):
    assert load(f"{path}::state_dict").sha256 != load(f"{path}::state_dict_ema").sha256


@pytest.mark.parametrize("arch", [ARCH, None])
def test_without_a_part_the_refusal_names_the_way_to_choose(path, arch):
    with pytest.raises(UnreadableInput, match=r"4 networks that fit \(state_dict.*; name one, as in FILE::\w+"):
        load(path, arch=arch)


@pytest.mark.parametrize("arch", [ARCH, None])
def test_a_part_that_is_not_there_is_refused_with_those_that_are(path, arch):
    with pytest.raises(UsageError, match=r"t.ckpt holds no network called 'emma'; it has state_dict"):
        load(f"{path}::emma", arch=arch)


def test_a_part_with_two_networks_is_refused_unless_a_role_tells(path):
    with pytest.raises(UnreadableInput, match=r"2 networks that fit \(distiller/model:student"):
        load(f"{path}::distiller", arch=ARCH)
    loaded = load(f"{path}::distiller", arch=ARCH, role="student")
    assert torch.equal(loaded.module.fc.weight, weights(3)["fc.weight"])


def test_a_part_of_another_architecture_is_told_why_it_does_not_fit(path):
    with pytest.raises(Mismatch, match=r"does not fit the architecture: .* missing"):
        load(f"{path}::state_dict_ema", arch="resnet14x0.25")


def test_the_parts_of_a_missing_file_are_a_missing_file(tmp_path):
    with pytest.raises(UnreadableInput, match=r"none.pt does not exist"):
        load(f"{tmp_path / 'none.pt'}::ema")


def test_our_own_checkpoint_has_one_part(tmp_path):
    save_checkpoint(tmp_path / "x.pt", checkpoint())
    assert load(f"{tmp_path / 'x.pt'}::state_dict").checkpoint is not None
    with pytest.raises(UsageError, match="no network called 'ema'"):
        load(f"{tmp_path / 'x.pt'}::ema")


def test_inspect_lists_what_may_be_chosen_and_how_it_fits(path):
    text = list(describe(path))
    assert "choose t.ckpt::state_dict_ema: 56 tensors, fits resnet8x0.25 (num_classes 10, in_channels 3)" in text
    assert any(line.startswith("choose t.ckpt::distiller/model:teacher.: 112 tensors, fits") for line in text)
    one = list(describe(f"{path}::state_dict_ema"))
    assert one[0].endswith("t.ckpt::state_dict_ema: state dict under 'state_dict_ema'")
    assert "it needs no --teacher-arch or --student-arch" in one and not any("choose" in line for line in one)


def test_inspect_with_an_architecture_says_which_parts_are_of_it(tmp_path):
    torch.save({"large": weights(1, "resnet14x0.25"), "small": weights(2), "ema": weights(3)}, tmp_path / "x.pt")
    text = list(describe(tmp_path / "x.pt", arch=ARCH, shape=(3, 8, 8)))
    assert "x.pt::small fits resnet8x0.25" in text and "x.pt::ema fits resnet8x0.25" in text
    assert any(line.startswith("x.pt::large does not fit the architecture:") for line in text)
    assert any("layer3.0.conv1" in line for line in text)


class Tied(nn.Module):
    def __init__(self, tied=True):
        super().__init__()
        self.embedding, self.inner, self.head = nn.Embedding(7, 4), nn.Linear(4, 4), nn.Linear(4, 7, bias=False)
        if tied:
            self.head.weight = self.embedding.weight


TIED = f"{__name__}:Tied"


@pytest.mark.parametrize("missing", ["head.weight", "embedding.weight"])
def test_a_name_tied_to_one_in_the_file_may_be_missing(tmp_path, missing):
    expected = Tied().state_dict()
    torch.save({"model." + key: value for key, value in expected.items() if key != missing}, tmp_path / "x.pt")
    loaded = load(tmp_path / "x.pt", arch=TIED)
    assert torch.equal(loaded.module.head.weight, expected["head.weight"])
    assert loaded.module.head.weight is loaded.module.embedding.weight
    assert f"x.pt: 1 missing name filled by the tensor that the network ties to it ({missing})" in loaded.notes


def test_a_name_that_is_not_tied_may_not_be_missing(tmp_path):
    torch.save({key: value for key, value in Tied().state_dict().items() if key != "head.weight"}, tmp_path / "x.pt")
    with pytest.raises(Mismatch, match=r"1 missing \(first head.weight\)"):
        load(tmp_path / "x.pt", arch=TIED, arch_kwargs={"tied": False})


def test_tied_names_with_different_tensors_in_the_file_are_refused(tmp_path):
    torch.save(Tied(tied=False).state_dict(), tmp_path / "x.pt")
    with pytest.raises(Mismatch, match=r"different tensors as embedding.weight and head.weight, which"):
        load(tmp_path / "x.pt", arch=TIED)


def normed(old=False):
    make = nn.utils.weight_norm if old else nn.utils.parametrizations.weight_norm
    return nn.Sequential(make(nn.Linear(3, 4)), nn.ReLU(), nn.Sequential(make(nn.Conv1d(1, 2, 3))))


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")
def test_weight_norm_is_read_under_its_former_names(tmp_path):
    network = normed(old=True)
    torch.save({f"net.{key}": value for key, value in network.state_dict().items()}, tmp_path / "x.pt")
    loaded = load(tmp_path / "x.pt", arch=f"{__name__}:normed")
    assert torch.equal(loaded.module[0](torch.ones(3)), network[0](torch.ones(3)))
    assert "x.pt: 4 tensors of weight norm under former names" in loaded.notes
