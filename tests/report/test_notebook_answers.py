"""Answers in a notebook: a short text instead of every field, rows as a table, and figures that show themselves."""

import numpy as np
import pytest
import torch

import kernelscope as ks
from kernelscope.datasets.sources import load
from kernelscope.errors import UsageError


class Printer:
    """What IPython hands to ``_repr_pretty_``."""

    def __init__(self) -> None:
        self.said = ""

    def text(self, words: str) -> None:
        self.said += words


def pretty(value: object) -> str:
    printer = Printer()
    value._repr_pretty_(printer, False)
    return printer.said


@pytest.fixture(scope="module")
def sides():
    rng = np.random.default_rng(0)
    T = rng.standard_normal((200, 12))
    return {"teacher": {"a": T, "b": T[:, :6] ** 2}, "student": {"a": T[:, :8] + 0.1, "b": T[:, :4] ** 2}}


@pytest.fixture(scope="module")
def answers(sides, tmp_path_factory):
    nets = [torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval() for _ in range(2)]
    x = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    file = tmp_path_factory.mktemp("pinned") / "rows.ksref"
    ks.pin(sides["teacher"], at_most=["change=0.01"], out=file)
    return {
        "match": (ks.match(**sides), 4),
        "blame": (ks.blame(teacher=nets[0], student=nets[1], data=(x, torch.zeros(60, dtype=torch.long))), 3),
        "adapt": (ks.adapt(teacher=sides["teacher"]["a"], student=sides["student"]["a"], queries=40), 3),
        "drift": (ks.drift(pinned=file, student=sides["teacher"]), 2),
        "audit": (ks.audit(**sides, landmarks="uniform:4"), None),
    }


@pytest.mark.parametrize("name", ["match", "blame", "adapt", "drift", "audit"])
def test_an_answer_shows_what_print_shows_and_has_its_rows_as_a_table(answers, name):
    answer, rows = answers[name]
    assert pretty(answer) == str(answer)
    frame = answer.to_frame()
    assert len(frame) == (rows or sum(len(pair.claims) for pair in answer.pairs))
    assert not any(isinstance(cell, dict | list | tuple) for cell in frame.to_numpy().ravel())


def test_figures_are_pictures_in_a_notebook_without_pyplot(answers):
    figure = answers["match"][0].plot().figure
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_one_pair_is_a_line_and_not_eighty_fields(sides):
    report = ks.measure(**sides)
    assert pretty(report) == str(report)
    pair = report.sel(teacher_layer="a")
    assert len(pretty(pair)) < 400
    assert pair.verdict in pretty(pair)


def test_networks_and_files_are_a_line_each(little, tmp_path):
    loaded = ks.load(little / "teacher.pt")
    store = ks.extract(loaded, load("digits", "test").head(20), out=tmp_path / "f.h5")
    pinned = ks.pin(np.eye(20), at_most=["change=0.1"])
    for value in (loaded, loaded.checkpoint, store, pinned, ks.Landmarks("by hand", 20, 2, indices=np.arange(2))):
        assert len(repr(value)) < 1500, type(value)
    assert "tensor(" not in repr(loaded.checkpoint)
    store.close()


def test_a_probe_has_a_row_for_each_layer_of_each_look_and_draws_them():
    from matplotlib import pyplot

    nets = [torch.nn.Sequential(torch.nn.Linear(6, d), torch.nn.ReLU(), torch.nn.Linear(d, 3)) for d in (8, 5)]
    probe = ks.Probe(teacher=nets[0], data=torch.randn(40, 6), every=1)
    for step in range(2):
        probe(nets[1], step)
    frame = probe.to_frame()
    assert list(frame["step"]) == [0, 0, 1, 1]
    assert list(frame["layer"]) == ["embedding", "logits"] * 2
    assert repr(probe) == "<Probe: 2 looks, the last at step 1>"
    lines = probe.plot("cka").lines
    assert [list(line.get_xdata()) for line in lines] == [[0, 1], [0, 1]]
    pyplot.close("all")
    with pytest.raises(UsageError, match="no look has a number 'colour'"):
        probe.plot("colour")
