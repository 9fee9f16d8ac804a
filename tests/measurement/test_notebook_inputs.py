"""What is at hand in a notebook is measured as it is, or refused in one line: tokens, dicts, modules of any kind."""

import collections
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from torch import nn

import kernelscope as ks
from kernelscope.errors import KernelscopeError, Mismatch, UsageError

torch.manual_seed(0)
IDS = torch.randint(50, (40, 9))
MASK = torch.ones_like(IDS)
X = torch.rand(40, 3, 8, 8)
Y = np.arange(40) % 4


class Text(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.e, self.fc = nn.Embedding(50, width), nn.Linear(width, 4)

    def forward(self, input_ids, attention_mask=None):
        return self.fc(self.e(input_ids).mean(1))


class Sound(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv1d(1, 4, 3), nn.Linear(4, 4)

    def forward(self, input_values):
        return self.fc(self.conv(input_values[:, None]).mean(2))


class Spectrum(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(192, 8)

    def forward(self, x):
        return torch.fft.fft(self.fc(x.flatten(1)))


def pixels(width=8):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, width), nn.ReLU(), nn.Linear(width, 4))


def loss(report):
    return report.sel(teacher_layer="logits").transfer_loss


TEACHER, STUDENT = Text(8), Text(4)
ROWS = [{"input_ids": ids, "label": int(y)} for ids, y in zip(IDS, Y)]
TOKENS = {
    "dict": {"input_ids": IDS, "attention_mask": MASK},
    "UserDict": collections.UserDict(input_ids=IDS, attention_mask=MASK),
    "lists": {"input_ids": IDS.tolist(), "attention_mask": MASK.tolist(), "text": ["a"] * 40},
    "with labels": ({"input_ids": IDS}, Y),
    "labels of tokens": {"input_ids": IDS, "labels": IDS},
    "what tokenizers add": {"input_ids": IDS, "special_tokens_mask": MASK, "offset_mapping": [[(0, 1)]] * 40},
    "ids": IDS,
    "ids of 32 bits": IDS.int().numpy(),
    "pairs": (IDS, torch.from_numpy(Y)),
    "rows": ROWS,
    "batches": torch.utils.data.DataLoader(ROWS, batch_size=7),
}


@pytest.mark.parametrize("form", TOKENS)
def test_tokens_in_any_form_give_the_same_loss(form):
    found = ks.measure(teacher=TEACHER, student=STUDENT, data=TOKENS[form])
    rows = [each(IDS).detach().numpy() for each in (TEACHER, STUDENT)]
    expected = ks.transfer_loss(teacher=rows[0], student=rows[1])
    assert loss(found) == pytest.approx(expected.value, rel=1e-5)


def test_token_lists_of_different_lengths_are_padded_under_their_mask():
    short = {"input_ids": [[1, 2, 3], [4, 5], [6]] * 10, "attention_mask": [[1, 1, 1], [1, 1], [1]] * 10}
    assert ks.measure(teacher=TEACHER, student=STUDENT, data=short).pairs[0].n == 30


@pytest.mark.parametrize("name", ["pixel_values", "images", "x"])
@pytest.mark.parametrize("label", ["labels", "y"])
def test_a_dict_of_images_and_labels_is_a_pair_of_them(name, label):
    t, s = pixels(), pixels(4)
    found = ks.measure(teacher=t, student=s, data={name: X, label: Y})
    assert loss(found) == loss(ks.measure(teacher=t, student=s, data=(X, Y)))
    assert found.networks[0].top1 is not None


@pytest.mark.parametrize(
    "labels", [Y[:, None], ["abcd"[y] for y in Y], torch.from_numpy(Y)[:, None]], ids=lambda y: type(y).__name__
)
def test_labels_are_columns_or_words_or_numbers(labels):
    found = ks.measure(teacher=pixels(), student=pixels(), data=(X, labels))
    assert [len(pair.classes.names) for pair in found] == [4, 4]


def test_a_sound_goes_in_by_the_name_that_forward_gives_it():
    sounds = {"input_values": torch.rand(40, 30), "labels": Y}
    assert ks.measure(teacher=Sound(), student=Sound(), data=sounds).pairs[0].n == 40


def test_of_three_arrays_the_first_two_count_with_a_note():
    net = pixels()
    found = ks.measure(teacher=net, student=net, data=(X, torch.from_numpy(Y), torch.arange(40)))
    assert found.networks[0].top1 is not None
    assert "of the 3 arrays given, the first holds the inputs and the second the labels" in found.pairs[0].notes


def test_inputs_in_bfloat16_and_features_in_a_frame_are_read():
    net = pixels()
    assert ks.measure(teacher=net, student=net, data=X.bfloat16()).pairs[0].n == 40
    found = ks.measure(teacher=pd.DataFrame(T, index=np.arange(40) + 7), student=T[:, :3])
    assert found.transfer_loss == ks.measure(teacher=T, student=T[:, :3]).transfer_loss


def test_columns_of_different_lengths_are_refused_with_them():
    with pytest.raises(Mismatch, match=r"different lengths \(input_ids 40, labels 39\)"):
        ks.measure(teacher=TEACHER, student=STUDENT, data={"input_ids": IDS, "labels": Y[1:]})


def test_a_dict_of_splits_is_no_table():
    net = pixels()
    assert ks.measure(teacher=net, student=net, data={"train": X, "test": X[:30]}, split="test").pairs[0].n == 30
    with pytest.raises(UsageError, match="dict of train, test"):
        ks.measure(teacher=net, student=net, data={"train": X, "test": X})


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_a_module_of_any_type_of_floats_is_measured_in_it(kind):
    t, s = pixels(16), pixels()
    expected = loss(ks.measure(teacher=t, student=s, data=X))
    found = ks.measure(teacher=t, student=s.to(kind), data=X)
    assert loss(found) == pytest.approx(expected, rel=0.05)
    assert {p.dtype for p in s.parameters()} == {kind}


def test_a_quantised_module_is_measured():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        s = pixels()
        quantised = torch.ao.quantization.quantize_dynamic(s, {nn.Linear}, dtype=torch.qint8)
        found = ks.measure(teacher=s, student=quantised, data=X)
    assert 0 < loss(found) < 0.1


def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(nn.Linear(4, 3))


T = np.random.default_rng(0).standard_normal((40, 6))
REFUSED = {
    "TorchScript": (lambda: {"teacher": scripted(), "student": pixels(), "data": X}, "TorchScript"),
    "lazy": (lambda: {"teacher": nn.LazyLinear(3), "student": pixels(), "data": X}, "lazy layers"),
    "complex": (lambda: {"teacher": Spectrum(), "student": pixels(), "data": X, "layers": "logits"}, "complex numbers"),
    "scipy sparse": (lambda: {"teacher": scipy.sparse.csr_matrix(T), "student": T}, "sparse csr_matrix; make it dense"),
    "scipy sparse array": (lambda: {"teacher": scipy.sparse.coo_array(T), "student": T}, "sparse coo_array"),
    "sparse inputs": (
        lambda: {"teacher": pixels(), "student": pixels(), "data": X.flatten(1).to_sparse()},
        "give a dense tensor",
    ),
    "torch sparse": (lambda: {"teacher": torch.tensor(T).to_sparse(), "student": T}, "sparse Tensor"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_measured_is_one_line_of_ours(case):
    given, piece = REFUSED[case]
    with pytest.raises(KernelscopeError, match=piece) as caught:
        ks.measure(**given())
    assert len(str(caught.value)) <= 200
