"""``ks.losses`` in a loop of one's own: values, epochs, states, and what is told in one line."""

import io

import numpy as np
import pytest
import torch
from torch import nn

import kernelscope as ks
from kernelscope.distill.losses import LOSSES
from kernelscope.errors import KernelscopeError, Mismatch, UsageError
from tests.distill.test_kda_landmarks import epoch_of, tensors


def running_kda():
    return ks.losses.KDA(landmarks="running:4")


WITH_MEMORY = [ks.losses.KDA, running_kda, ks.losses.FullKernel]
RELATIONAL = ["Gram", "RKD", "SP", "CKA", "Procrustes"]


def test_every_method_has_its_public_loss():
    public = [name for name in ks.losses.__all__ if name != "LOSSES"]
    assert {getattr(ks.losses, name) for name in public} == set(LOSSES.values())
    assert set(public) == {"KDA", "FullKernel", "Gram", "RKD", "AT", "SP", "CKA", "Procrustes", "KD"}
    assert repr(ks.losses.KD(T=2)) == "KD(T=2.0, weight=9.0)"


@pytest.mark.parametrize("name", RELATIONAL)
def test_a_batch_alone_is_enough_for_a_loss_without_memory(name):
    student = torch.randn(8, 3, requires_grad=True)
    teacher = torch.randn(8, 5, requires_grad=True)
    getattr(ks.losses, name)()(student, teacher, torch.zeros(8, dtype=torch.long)).backward()
    assert student.grad.abs().sum() > 0 and teacher.grad is None


def test_maps_and_tokens_are_averaged_to_rows():
    rng = np.random.default_rng(0)
    student, teacher = torch.tensor(rng.standard_normal((6, 3, 2, 2))), torch.tensor(rng.standard_normal((6, 7, 5)))
    pooled = ks.losses.Gram()(student.mean((2, 3)), teacher.mean(1))
    assert ks.losses.Gram()(student, teacher).item() == pytest.approx(pooled.item(), rel=1e-12)


def test_landmarks_of_the_epoch_before_refuse_a_batch_of_none():
    batch = tensors(*epoch_of(np.random.default_rng(0), sizes=(6,))[0])
    loss = ks.losses.KDA()
    with pytest.raises(UsageError, match=r"none was begun; call begin_epoch\(\) first"):
        loss(*batch)
    loss.begin_epoch()
    assert loss(*batch).item() == 0
    loss.end_epoch()
    with pytest.raises(UsageError, match="begin_epoch"):  # the epoch is over, and no other was begun
        loss(*batch)


def test_the_next_epoch_closes_the_one_before_and_the_term_begins_with_it():
    rng = np.random.default_rng(1)
    epochs = [epoch_of(rng) for _ in range(3)]
    values = []
    for closing in (True, False):
        loss = ks.losses.KDA()
        for batches in epochs:
            loss.begin_epoch()
            values.append([loss(*tensors(*batch)).item() for batch in batches])
            if closing:
                loss.end_epoch()
    assert values[:3] == values[3:]
    assert not any(values[0]) and all(values[1]) and all(values[2])


def test_classes_are_learnt_from_the_labels_as_they_appear():
    rng = np.random.default_rng(2)
    epochs = [sorted(epoch_of(rng, sizes=(12, 9)), key=lambda batch: batch[2].max()) for _ in range(3)]
    epochs[0][0][2][:] = 0  # a first batch of one class
    for options in ({}, {"centres_per_class": 2}, {"whiten": "teacher"}, {"landmarks": "running:3"}):
        found = []
        for classes in (4, None):
            loss = ks.losses.KDA(**options)
            loss.classes = classes
            for batches in epochs:
                loss.begin_epoch()
                found.append([loss(*tensors(*batch)).item() for batch in batches])
        assert found[:3] == found[3:] and all(found[2])


@pytest.mark.parametrize("kind", WITH_MEMORY)
def test_evaluation_collects_nothing(kind):
    rng = np.random.default_rng(3)
    epochs, other = [epoch_of(rng) for _ in range(2)], tensors(*epoch_of(rng, sizes=(40,))[0])
    values = []
    for evaluates in (True, False):
        network = nn.ModuleDict({"loss": kind()})
        for batches in epochs:
            network["loss"].begin_epoch()
            values.append([network["loss"](*tensors(*batch)).item() for batch in batches])
            if evaluates:
                network.eval()
                network["loss"](*other)
                network.train()
    assert values[:2] == values[2:] and all(values[1])


@pytest.mark.parametrize("kind", WITH_MEMORY)
def test_a_checkpoint_of_the_whole_module_carries_the_landmarks(kind):
    rng = np.random.default_rng(4)
    first, second = epoch_of(rng), epoch_of(rng)

    def module():
        return nn.ModuleDict({"network": nn.Linear(2, 2), "loss": kind()})

    whole, resumed, file = module(), module(), io.BytesIO()
    whole["loss"].begin_epoch()
    for batch in first:
        whole["loss"](*tensors(*batch))
    torch.save(whole.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    values = []
    for each in (whole, resumed):
        each["loss"].begin_epoch()
        values.append([each["loss"](*tensors(*batch)).item() for batch in second])
    assert values[0] == values[1] and all(values[0])


BATCH = tensors(*epoch_of(np.random.default_rng(5), sizes=(6,))[0])


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "message"),
    [
        ("KDA", BATCH[:2], UsageError, "class means need the labels"),
        ("KDA", (*BATCH[:2], BATCH[2][:4]), Mismatch, r"labels are int64 \(4,\), expected whole numbers \(6,\)"),
        ("KDA", (*BATCH[:2], BATCH[2].double()), Mismatch, "labels are float64"),
        ("KDA", (*BATCH[:2], BATCH[2] - 5), Mismatch, "a label is -"),
        ("Gram", (BATCH[0], BATCH[1][:4]), Mismatch, "6 examples of the student and 4 of the teacher"),
        ("Gram", (BATCH[0].detach().numpy(), BATCH[1]), UsageError, "student features are a ndarray"),
        ("SP", (BATCH[0], None), UsageError, "teacher features are a NoneType"),
        ("KD", BATCH[:2], Mismatch, "3 logits of the student and 5 of the teacher"),
        ("AT", BATCH[:2], Mismatch, "needs maps"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(name, arguments, kind, message):
    loss = getattr(ks.losses, name)()
    loss.begin_epoch()
    with pytest.raises(kind, match=message) as error:
        loss(*arguments)
    assert isinstance(error.value, KernelscopeError) and "\n" not in str(error.value)


def test_random_landmarks_need_their_number_but_no_labels():
    loss = ks.losses.KDA(landmarks="uniform")
    loss.begin_epoch()
    with pytest.raises(UsageError, match="uniform landmarks need their number"):
        loss(*BATCH)
    loss = ks.losses.KDA(landmarks="uniform:3")
    values = []
    for _ in range(2):
        loss.begin_epoch()
        values.append(loss(*BATCH[:2]).item())
    assert values[0] == 0 < values[1]
