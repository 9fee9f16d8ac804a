"""What an embedding stands for, whether the output is made of it, and whether a network has a head at all."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import kernelscope as ks


class Lora(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.base, self.a, self.b = nn.Linear(inputs, outputs), nn.Linear(inputs, 2), nn.Linear(2, outputs)

    def forward(self, x):
        return self.base(x) + self.b(self.a(x))


class Cosine(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.weight = nn.Linear(16, 6), nn.Parameter(torch.randn(5, 6))

    def forward(self, x):
        return F.linear(F.normalize(self.fc(x)), F.normalize(self.weight))


class Squeezed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.se, self.classify = nn.Conv2d(1, 8, 3), nn.Linear(8, 8), nn.Conv2d(8, 5, 1)

    def forward(self, x):
        x = self.conv(x.reshape(-1, 1, 4, 4))
        return self.classify(x * self.se(x.mean((2, 3))).sigmoid()[:, :, None, None]).mean((2, 3))


class Pooler(nn.Module):
    """As BERT has it: what comes out are hidden states, and beside them what a layer makes of the first."""

    def __init__(self):
        super().__init__()
        self.layer, self.pooler = nn.Linear(4, 6), nn.Linear(6, 6)

    def forward(self, x):
        hidden = self.layer(x.reshape(-1, 4, 4))
        return {"last_hidden_state": hidden, "pooler_output": self.pooler(hidden[:, 0]).tanh()}


def head(*after):
    return nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 5), *after)


def images(*layers):
    return nn.Sequential(nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 8, 3, padding=1), *layers)


def measured(make):
    torch.manual_seed(0)
    return ks.measure(teacher=make(), student=make(), data=(torch.randn(40, 16), torch.arange(40) % 5))


def said(report, layer):
    (pair,) = [pair for pair in report.pairs if pair.teacher_layer == layer]
    return [note for note in pair.notes if note.startswith(layer)], [
        w.text for w in pair.warnings if "elsewhere" in w.code
    ]


ELSEWHERE = {
    "lora": (lambda: nn.Sequential(nn.Linear(16, 16), Lora(16, 5)), "1.b"),
    "functional head": (lambda: nn.Sequential(nn.ReLU(), Cosine()), "1.fc"),
    "squeeze and excite": (Squeezed, "se"),
    "pooler": (Pooler, "pooler"),
}
THERE = {
    "plain": (head, "2"),
    "softmax": (lambda: head(nn.LogSoftmax(1)), "2"),
    "one number": (lambda: nn.Sequential(nn.Linear(16, 1), nn.Sigmoid()), "0"),
    "squeezed": (lambda: nn.Sequential(nn.Linear(16, 1), nn.Flatten(0)), "0"),
}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_an_embedding_that_the_output_is_not_made_of_is_warned_of_by_name(kind):
    make, module = ELSEWHERE[kind]
    report = measured(make)
    notes, warnings = said(report, "embedding")
    assert notes == [f"embedding: input of {module}"]
    (text,) = warnings
    assert text.startswith(f"embedding is the input of {module}, whose output is not what the network returns")
    for shown in (
        " ".join(str(report).split()),
        report.to_html() if kind == "lora" else text + notes[0],
        report.to_json(),
    ):
        assert text in shown and notes[0] in shown


@pytest.mark.parametrize("kind", THERE)
def test_an_embedding_before_the_last_layer_is_named_and_not_warned_of(kind):
    make, module = THERE[kind]
    assert said(measured(make), "embedding") == ([f"embedding: input of {module}"], [])


def test_two_networks_name_their_modules_each():
    torch.manual_seed(0)
    report = ks.measure(teacher=head(), student=nn.Sequential(nn.Linear(16, 5)), data=torch.randn(40, 16))
    assert said(report, "embedding")[0] == ["embedding of teacher: input of 2", "embedding of student: input of 0"]


HEADLESS = {
    "hidden states": Pooler,
    "a normalised map": lambda: images(nn.BatchNorm2d(8), nn.ReLU()),
    "pooled": lambda: images(nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "tokens": lambda: nn.Sequential(
        nn.Unflatten(1, (4, 4)), nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), nn.Identity()
    ),
    "states of an LSTM": lambda: nn.Sequential(nn.Unflatten(1, (4, 4)), nn.LSTM(4, 3, batch_first=True)),
}
WITH_HEAD = {
    "linear": head,
    "convolution": lambda: images(nn.BatchNorm2d(8), nn.Conv2d(8, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "functional": lambda: nn.Sequential(nn.LayerNorm(16), Cosine()),
    "dense": lambda: images(nn.BatchNorm2d(8), nn.Conv2d(8, 5, 1)),
}


@pytest.mark.parametrize("kind", HEADLESS)
def test_the_output_of_an_encoder_without_a_head_is_called_output(kind):
    report = measured(HEADLESS[kind])
    layers = [pair.teacher_layer for pair in report.pairs]
    assert layers[-1] == "output" and "logits" not in layers
    assert report.pairs[-1].outputs is None and report.networks[0].top1 is None
    assert any("without a head" in note for note in said(report, "output")[0])


@pytest.mark.parametrize("kind", WITH_HEAD)
def test_the_output_of_a_head_is_called_logits(kind):
    report = measured(WITH_HEAD[kind])
    assert report.pairs[-1].teacher_layer == "logits" and report.pairs[-1].outputs is not None


@pytest.mark.parametrize("make", [HEADLESS["pooled"], head])
def test_output_and_logits_are_the_same_by_name_of_any_network(make):
    torch.manual_seed(0)
    networks = {"teacher": make(), "student": make(), "data": torch.randn(40, 16)}
    by_name = [ks.measure(**networks, layers=layer).transfer_loss for layer in ("output", "logits")]
    assert by_name[0] == by_name[1]


def test_a_module_called_output_goes_before_the_word():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.output = nn.Linear(16, 5)

        def forward(self, x):
            return self.output(x).exp()

    torch.manual_seed(0)
    net, data = Named(), torch.randn(40, 16)
    report = ks.measure(teacher=net, student=net.output, data=data, pairs="output=logits")
    assert report.transfer_loss == 0


def test_a_default_embedding_that_never_runs_is_left_out_with_a_note():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.idle, self.conv = nn.Linear(3, 3), nn.Conv1d(1, 3, 16)

        def forward(self, x):
            return self.conv(x[:, None]).flatten(1)

    report = measured(Idle)
    assert [pair.teacher_layer for pair in report.pairs] == ["logits"]
    assert any("passed over: embedding (did not run)" in note for note in report.pairs[0].notes)
