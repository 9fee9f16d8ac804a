"""What a look leaves behind: nothing."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from kernelscope.errors import Mismatch
from tests.distill.probing import Net, images, small_probe


def generators():
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), (name, keys.tolist(), *rest), random.getstate()


def snapshot(net):
    return {key: value.clone() for key, value in net.state_dict().items()}, [m.training for m in net.modules()]


def hooks(net):
    return [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()]


def trained(probe, *, autocast=False, steps=7):
    """Weights, buffers and momentum after some steps of a bare loop; ``probe`` looks where it likes to."""
    for seeded in (torch.manual_seed, np.random.seed, random.seed):
        seeded(5)
    student = Net(seed=1)
    student.norm.eval()  # a frozen layer stays frozen
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)
    x, y = images(60, seed=2)
    for step in range(steps):
        rows = torch.randperm(60)[:16]
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = nn.functional.cross_entropy(student(x[rows]), y[rows])
            probe(student, step)
        optimizer.zero_grad()
        loss.backward()
        probe(student, step)
        optimizer.step()
        probe(student, step)
    return student, [state["momentum_buffer"] for state in optimizer.state.values()], generators()


@pytest.mark.parametrize("autocast", [False, True])
def test_training_ends_in_the_same_bits_with_and_without_a_probe(autocast):
    probe = small_probe(every=2)
    plain, looked_at = trained(lambda *_: None, autocast=autocast), trained(probe, autocast=autocast)
    assert [record["step"] for record in probe.trajectory] == [0, 0, 0, 2, 2, 2, 4, 4, 4, 6, 6, 6]
    (expected, modes), (found, modes_after) = snapshot(plain[0]), snapshot(looked_at[0])
    assert modes == modes_after == [True, True, False, True, True]
    assert found["calls"] == 7
    for key, value in expected.items():
        assert torch.equal(found[key], value), key
    assert all(torch.equal(a, b) for a, b in zip(plain[1], looked_at[1]))
    assert plain[2] == looked_at[2]


def test_making_a_probe_draws_no_random_numbers_and_keeps_the_teacher():
    class Drawing(torch.utils.data.Dataset):
        def __len__(self):
            return 20

        def __getitem__(self, i):
            torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002
            return images()[0][i], i % 3

    teacher, before = Net(), generators()
    state, modes = snapshot(teacher)
    small_probe(teacher=teacher, data=Drawing(), student=Net(seed=1))
    assert generators() == before
    found, modes_after = snapshot(teacher)
    assert modes == modes_after
    assert all(torch.equal(found[key], value) for key, value in state.items())


def test_gradients_modes_hooks_and_buffers_survive_a_look_that_fails():
    class Failing(Net):
        def forward(self, x):
            super().forward(x)
            raise RuntimeError("no")

    student = Failing()
    student.norm.eval()
    for weight in student.parameters():
        weight.grad = torch.ones_like(weight)
    state, modes = snapshot(student)
    before = generators()
    with pytest.raises(Mismatch, match="the student does not take inputs"):
        small_probe()(student, 0)
    found, modes_after = snapshot(student)
    assert modes == modes_after
    assert all(torch.equal(found[key], value) for key, value in state.items())
    assert all(torch.equal(weight.grad, torch.ones_like(weight)) for weight in student.parameters())
    assert generators() == before
    assert sum(hooks(student)) == 0


@pytest.mark.parametrize(
    "surroundings",
    [
        torch.no_grad,
        torch.enable_grad,
        torch.inference_mode,
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: torch.random.fork_rng(devices=[]),
    ],
)
def test_numbers_do_not_depend_on_where_the_probe_is_called(surroundings):
    probe, student = small_probe(), Net(seed=1)
    expected = probe(student.eval(), 0)["layers"]
    for training in (True, False):
        student.train(training)
        with surroundings():
            grad, autocast = torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")
            assert probe(student, 0)["layers"] == expected
            assert (torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")) == (grad, autocast)


def test_what_a_layer_keeps_of_a_look_can_take_part_in_training():
    """As positions of a transformer do that are made in the first forward pass."""

    class Keeping(nn.Linear):
        kept = None

        def forward(self, x):
            self.graphs = torch.is_grad_enabled()
            if self.kept is None:
                self.kept = torch.linspace(0, 1, 64)
            return super().forward(x.flatten(1)) * (self.kept @ self.weight.T)

    student = Keeping(64, 3)
    small_probe()(student, 0)
    assert not student.graphs
    student(images()[0]).sum().backward()
    assert student.weight.grad.abs().sum() > 0


def test_a_wrapped_student_is_looked_at_inside():
    probe, student = small_probe(layers="conv,logits"), Net(seed=1)
    expected = probe(student, 0)["layers"]
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(student)
        assert probe(parallel, 0)["layers"] == expected
        assert probe(torch.compile(parallel, backend="eager"), 0)["layers"] == expected
    finally:
        torch.distributed.destroy_process_group()
    assert probe(nn.DataParallel(student), 0)["layers"] == expected


def test_a_look_compiles_nothing():
    class Flat(nn.Linear):
        def forward(self, x):
            return super().forward(x.flatten(1))

    compiled = []

    def counting(graph, inputs):
        compiled.append(len(inputs))
        return graph.forward

    probe, student = small_probe(n=13), Flat(64, 3)
    student.compile(backend=counting)
    student(images()[0])
    probe(student, 0)
    student(images()[0])
    assert len(compiled) == 1


def test_a_forward_that_enters_autocast_is_passed_by():
    """Hugging Face's accelerate puts such a one in the place of a network's own."""
    probe, student = small_probe(), Net(seed=1).eval()
    expected = probe(student, 0)["layers"]
    student._original_forward = student.forward
    student.forward = torch.autocast("cpu", torch.bfloat16)(student.forward)
    wrapped = student.forward
    assert student(images()[0]).dtype == torch.bfloat16
    assert probe(student, 0)["layers"] == expected
    assert student.forward is wrapped
