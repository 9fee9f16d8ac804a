"""A look at a student in somebody else's loop gives what measure gives; what it refuses."""

import copy
import dataclasses
import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import kernelscope as ks
from kernelscope.checkpoints.checkpoint import save_checkpoint
from kernelscope.datasets.sources import load as load_data
from kernelscope.distill.training import train
from kernelscope.errors import DegenerateKernel, KernelscopeError, Mismatch, UsageError
from tests.distill.probing import Net, images, small_probe


@pytest.fixture(scope="module")
def data():
    """300 training digits and small validation and test parts."""
    return tuple(load_data("digits", split).head(n) for split, n in (("train", 300), ("validation", 60), ("test", 80)))


@pytest.fixture(scope="module")
def files(data, tmp_path_factory):
    """Checkpoints of a teacher and of a narrower student."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name, arch, seed in (("t.pt", "resnet8x0.5", 0), ("s.pt", "resnet8x0.25", 1)):
        recipe = ks.Recipe(arch=arch, epochs=1, batch_size=64, seed=seed)
        save_checkpoint(folder / name, train(recipe, data=data).last)
    return folder


def numbers(pair):
    """Of a report's pair what a record holds."""
    paper = pair.paper
    return {
        "n": pair.n,
        "landmarks": pair.landmarks.m,
        "transfer_loss": pair.transfer_loss,
        "scaled": pair.ladder.scaled,
        "cka": pair.cka,
        "norm_teacher": pair.norm_teacher,
        "norm_student": pair.norm_student,
        "partial_norm": pair.nystrom.partial_norm,
        "partial_ratio": pair.nystrom.partial_ratio,
        "estimate": paper.estimate,
        "expanded_estimate": pair.nystrom.expanded_estimate,
        "min_eigenvalue_teacher": pair.landmark_spectrum.teacher.min,
        "min_eigenvalue_student": pair.landmark_spectrum.student.min,
        "theorem2": {name: getattr(paper.theorem2, name) for name in paper.theorem2.__dataclass_fields__},
        "bounds": {name: b.value / pair.norm_teacher for name, b in paper.bounds.items() if b is not None},
    }


@pytest.mark.parametrize("options", [{}, {"layers": "layer2,layer3.0,embedding"}, {"n": 33, "batch_size": 256}])
def test_a_look_gives_what_measure_gives_on_the_same_examples(files, options):
    probe = ks.Probe(teacher=files / "t.pt", data="digits", split="test", **options)
    record = probe(ks.load(files / "s.pt").module, 0)
    report = ks.measure(
        teacher=files / "t.pt",
        student=files / "s.pt",
        data=probe.examples,
        layers=options.get("layers"),
        cache=False,
        accuracy_check=False,
    )
    assert [pair.teacher_layer for pair in report] == list(record["layers"])
    for pair in report:
        found, expected = record["layers"][pair.teacher_layer], numbers(pair)
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=1e-9, abs=0), (pair.teacher_layer, name)


def test_a_teacher_has_its_own_preprocessing(files, tmp_path):
    halved = dataclasses.replace(ks.load(files / "t.pt").checkpoint, preprocess=[{"op": "scale", "by": 0.03}])
    save_checkpoint(tmp_path / "t.pt", halved)
    probe = ks.Probe(teacher=halved, data="digits")
    report = ks.measure(
        teacher=tmp_path / "t.pt", student=files / "s.pt", data=probe.examples, cache=False, accuracy_check=False
    )
    record = probe(ks.load(files / "s.pt").module, 0)
    for pair in report:
        assert record["layers"][pair.teacher_layer]["transfer_loss"] == pytest.approx(pair.transfer_loss, rel=1e-12)


def test_a_network_is_its_own_perfect_student(files):
    teacher = ks.load(files / "t.pt")
    record = ks.Probe(teacher=teacher, data="digits")(teacher.module, 0)
    for point in record["layers"].values():
        assert (point["transfer_loss"], point["cka"]) == (0.0, pytest.approx(1))


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_a_student_of_another_precision_is_fed_in_its_own(kind):
    probe, student = small_probe(), Net(seed=1)
    expected = probe(student, 0)["layers"]["logits"]["transfer_loss"]
    found = probe(student.to(kind), 0)["layers"]["logits"]["transfer_loss"]
    assert found == pytest.approx(expected, rel=1e-6 if kind == torch.float64 else 0.05)


def test_a_step_that_is_not_due_does_not_even_look_at_its_student():
    probe = small_probe(every=500)
    assert [probe(None, step) for step in (1, 499, 501, 1250)] == [None] * 4
    assert probe.trajectory == []


def test_a_look_may_be_asked_for_at_any_step():
    probe = small_probe()
    assert probe.look(Net(seed=1), 1234) is probe.trajectory[0]
    assert probe.trajectory[0]["step"] == 1234
    assert probe.trajectory[0]["seconds"] > 0


def test_the_teacher_may_be_let_go():
    teacher = Net()
    gone = weakref.ref(teacher)
    probe = small_probe(teacher=teacher)
    del teacher
    gc.collect()
    assert gone() is None
    assert probe(Net(seed=1), 0)["layers"]["logits"]["transfer_loss"] > 0


def test_a_look_follows_the_student_and_not_the_teacher():
    teacher = Net(8, seed=7)
    probe, student = small_probe(teacher=teacher), Net(seed=1)
    first = probe(student, 0)["layers"]
    with torch.no_grad():
        teacher.fc.weight.zero_()
        student.fc.weight.mul_(3)
    second = probe(student, 1000)["layers"]
    assert second["embedding"] == first["embedding"]
    assert second["logits"]["norm_teacher"] == first["logits"]["norm_teacher"]
    assert second["logits"]["norm_student"] > first["logits"]["norm_student"]


# --- layers


def test_layers_are_named_as_everywhere():
    assert list(small_probe(layers="re:conv|norm, fc:in").layers) == ["conv", "norm", "fc:in"]
    record = small_probe(layers=["fc:in", "embedding"])(Net(seed=1), 0)
    assert record["layers"]["fc:in"] == record["layers"]["embedding"]


def test_layers_of_other_names_are_paired():
    probe = small_probe(layers={"conv": "norm", "logits": "logits"})
    record = probe(Net(seed=1), 0)
    assert list(record["layers"]) == ["conv=norm", "logits"]
    alone = small_probe(layers={"norm": "norm"})(Net(seed=1), 0)
    assert record["layers"]["conv=norm"]["norm_student"] == alone["layers"]["norm"]["norm_student"]


def test_a_default_layer_that_the_student_lacks_is_left_out():
    student = nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten())
    assert list(small_probe(student=student)(student, 0)["layers"]) == ["logits"]


def test_an_unknown_layer_is_told_before_training_where_it_can_be():
    with pytest.raises(UsageError, match=r"unknown layer 'con'; nearest: conv"):
        small_probe(layers="con")
    with pytest.raises(UsageError, match=r"the teacher: unknown layer 'con'"):
        small_probe(layers={"con": "conv"})
    student = nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten())
    with pytest.raises(UsageError, match=r"the student: unknown layer 'conv'"):
        small_probe(layers="conv", student=student)
    probe = small_probe(layers="conv")
    with pytest.raises(UsageError, match=r"the student: unknown layer 'conv'"):
        probe(student, 0)
    with pytest.raises(UsageError, match="stands for 2 layers"):
        small_probe(layers={"conv": "re:conv|norm"}, student=Net())


# --- data


def test_a_split_of_its_own_is_followed_and_a_drawn_one_is_not(tmp_path):
    np.save(tmp_path / "x.npy", images()[0].numpy())
    assert small_probe(data="digits", n=20).examples.split == "validation"
    assert small_probe(data=str(tmp_path / "x.npy")).examples.split == "all"
    assert small_probe(data="digits", n=20, split="test").examples.split == "test"


def test_data_may_be_given_as_people_have_them():
    x, y = images()
    student = Net(seed=1)
    expected = small_probe()(student, 0)["layers"]
    dataset = torch.utils.data.TensorDataset(x, y)
    loader = torch.utils.data.DataLoader(dataset, batch_size=7)
    for data in ((x, y), (x.numpy(), y.numpy()), dataset, loader, small_probe().examples):
        assert small_probe(data=data)(student, 0)["layers"] == expected
    assert small_probe(data=x, labels=y)(student, 0)["layers"] == expected
    few = small_probe(data=dataset, n=12)
    assert few.examples.n == few(student, 0)["layers"]["logits"]["n"] == 12


def test_without_labels_landmarks_are_k_means_cells():
    record = small_probe(data=images()[0])(Net(seed=1), 0)
    assert record["layers"]["embedding"]["landmarks"] == 4  # a tenth of the examples


def test_tokens_outside_the_mask_count_for_nothing():
    class Reader(nn.Module):
        def __init__(self, seed, words=20):
            super().__init__()
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self.words, self.fc = nn.Embedding(words, 5), nn.Linear(5, 3)

        def forward(self, input_ids, attention_mask):
            said = self.words(input_ids) * attention_mask[:, :, None]
            return {"logits": self.fc(said.sum(1) / attention_mask.sum(1, keepdim=True))}

    rng = np.random.default_rng(0)
    found = []
    for padding in (0, 13):
        texts = []
        for i, length in enumerate(np.random.default_rng(1).integers(2, 7, 30)):
            words = np.full(7, padding)
            words[:length] = np.random.default_rng(i).integers(0, 20, length)
            texts.append({"input_ids": words, "attention_mask": (np.arange(7) < length).astype(int), "label": i % 3})
        probe = small_probe(teacher=Reader(0), data=texts, layers="words,logits", batch_size=int(rng.integers(5, 20)))
        found.append(probe(Reader(1), 0)["layers"]["words"]["transfer_loss"])
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    with pytest.raises(Mismatch, match=r"input_ids \(2, 7\), attention_mask \(2, 7\)"):
        small_probe(teacher=Reader(0), data=texts, student=Reader(0, words=2))


def test_preprocessing_that_is_in_doubt_is_refused(files):
    x, y = torch.rand(20, 1, 8, 8), torch.arange(20) % 10
    with pytest.raises(UsageError, match="states preprocessing and the data none"):
        ks.Probe(teacher=files / "t.pt", data=(x, y))
    assert ks.Probe(teacher=files / "t.pt", data=(x, y), preprocess=[])(ks.load(files / "s.pt").module, 0)


# --- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every is 0, expected at least 1"),
        ({"every": 2.5}, "every is 2.5, expected a whole number"),
        ({"n": 0}, "n is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"labels": [1, 2]}, r"labels have shape \(2,\), expected \(40,\)"),
        ({"data": "digitz"}, "did you mean digits"),
        ({"data": "digits", "split": "tset"}, "no split 'tset'"),
        ({"teacher": "no.pt"}, "no.pt does not exist"),
        ({"teacher": 3}, "teacher is a int"),
        ({"layers": {}}, "no layer paired"),
        ({"student": 3}, "the student is a int"),
        ({"data": torch.randn(9, 3, 8, 8)}, r"the teacher does not take inputs of shape \(9, 3, 8, 8\)"),
        ({"student": nn.Linear(5, 3)}, r"the student does not take inputs of shape \(2, 1, 8, 8\)"),
        ({"student": nn.Flatten(0)}, r"layer logits gives \(128,\), whose axis 0 holds 128 for 2 examples"),
    ],
)
def test_bad_input_is_told_in_one_line(options, message):
    with pytest.raises(KernelscopeError, match=message) as caught:
        small_probe(**options)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) <= 200


def test_an_all_zero_teacher_is_refused():
    teacher = Net()
    with torch.no_grad():
        teacher.fc.weight.zero_()
        teacher.fc.bias.zero_()
    with pytest.raises(DegenerateKernel, match="layer logits"):
        small_probe(teacher=teacher)


def test_a_student_that_takes_other_inputs_is_told_at_the_first_look():
    with pytest.raises(Mismatch, match="the student does not take inputs of shape"):
        small_probe()(nn.Linear(5, 3), 0)


def test_a_student_that_no_process_holds_whole_is_refused():
    from torch.distributed.fsdp import fully_shard

    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (1,))
        with pytest.raises(UsageError, match="sharded over processes"):
            small_probe(student=fully_shard(Net(seed=1), mesh=mesh))
    finally:
        torch.distributed.destroy_process_group()


def test_a_step_is_a_whole_number():
    with pytest.raises(UsageError, match=r"step is 500.0, expected a whole number"):
        small_probe()(Net(), 500.0)


def test_a_student_is_not_changed_by_being_checked():
    student = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    small_probe(student=student)
    assert student[1].has_uninitialized_params()
    copied = copy.deepcopy(Net(seed=1))
    small_probe(student=copied)
    assert all(torch.equal(a, b) for a, b in zip(copied.state_dict().values(), Net(seed=1).state_dict().values()))
