"""Answers at every token or pixel are compared position by position, however features are pooled."""

import numpy as np
import pytest
import torch
from torch import nn

import kernelscope as ks
from kernelscope.checkpoints.loaded import loaded_module
from kernelscope.measurement import position_outputs
from tests.activations.test_layer_kinds import Tokens, examples


class Words(nn.Module):
    """A language model over 20 words."""

    def __init__(self, width, words=20):
        super().__init__()
        self.embed, self.fc = nn.Embedding(20, width), nn.Linear(width, words)

    def forward(self, input_ids, attention_mask):
        return self.fc(self.embed(input_ids))


def pixels(kernel, classes=5):
    return nn.Conv2d(3, classes, kernel, padding=kernel // 2)


def log_softmax(Z):
    return Z - np.log(np.exp(Z - Z.max(1, keepdims=True)).sum(1, keepdims=True)) - Z.max(1, keepdims=True)


def by_hand(Z_T, Z_S):
    T, S = log_softmax(Z_T), log_softmax(Z_S)
    return float((Z_T.argmax(1) == Z_S.argmax(1)).mean()), float((np.exp(T) * (T - S)).sum(1).mean())


def positions(network, batch, mask=None):
    with torch.no_grad():
        Z = network(**batch) if isinstance(batch, dict) else network(batch).flatten(2).transpose(1, 2)
    rows = Z.flatten(0, 1) if mask is None else Z[torch.from_numpy(mask).bool()]
    return rows.double().numpy()


@pytest.mark.parametrize(("pool", "batch_size"), [("auto", 7), ("max", 256), ("flatten", 256), ("patch", 7)])
def test_pixels_answer_one_by_one_whatever_the_pooling(pool, batch_size):
    torch.manual_seed(0)
    networks, data = [pixels(1), pixels(3)], examples(3, 4, 4, n=30)
    (pair,) = ks.measure(teacher=networks[0], student=networks[1], data=data, pool=pool, batch_size=batch_size)
    agreement, kl = by_hand(*(positions(net, torch.from_numpy(data.inputs)) for net in networks))
    assert pair.outputs.agreement == pytest.approx(agreement, abs=1e-12)
    assert pair.outputs.kl == pytest.approx(kl, rel=1e-5) and pair.outputs.flips is None
    assert any("per position" in note for note in pair.notes) == (pool != "patch")


@pytest.mark.parametrize("pool", ["auto", "last", "token"])
def test_tokens_answer_one_by_one_without_those_that_a_mask_leaves_out(pool, monkeypatch):
    monkeypatch.setattr(position_outputs, "MOST_NUMBERS", 600)  # batches of 3
    torch.manual_seed(0)
    networks, data = [Words(8), Words(6)], Tokens()
    said = {"teacher": networks[0], "student": networks[1], "layers": "logits", "pool": pool}
    given = [{"input_ids": i, "attention_mask": m} for i, m in zip(data.numbers, data.mask)]
    (pair,) = ks.measure(**said, data=given)
    agreement, kl = by_hand(*(positions(net, data.batch(0, data.n), data.mask) for net in networks))
    assert pair.outputs.agreement == pytest.approx(agreement, abs=1e-12)
    assert pair.outputs.kl == pytest.approx(kl, rel=1e-5) and pair.outputs.top_k is not None


def test_one_batch_of_logits_is_held_at_a_time(monkeypatch):
    monkeypatch.setattr(position_outputs, "MOST_NUMBERS", 2 * 5 * 36)
    seen = []

    class Counting(nn.Conv2d):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x)

    torch.manual_seed(0)
    ks.measure(teacher=Counting(3, 5, 1), student=pixels(1), data=examples(3, 6, 6), layers="logits")
    assert seen[:2] == [4, 50] and max(seen[2:]) <= 4 and 50 <= sum(seen[2:]) < 60


@pytest.mark.parametrize(
    ("student", "piece"),
    [
        (pixels(1, 4), "5 classes at 6 x 6 positions in the teacher and 4 at 6 x 6"),
        (nn.Conv2d(3, 5, 3), "5 at 4 x 4 in the student, so answers are not compared"),
        (nn.Sequential(pixels(1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "the other's have none"),
    ],
)
def test_positions_without_a_counterpart_leave_answers_out_with_a_note(student, piece):
    (pair,) = ks.measure(teacher=pixels(1), student=student, data=examples(3, 6, 6), layers="logits")
    assert pair.outputs is None and any(piece in note for note in pair.notes)


def test_feature_files_hold_means_over_positions_and_no_answers(tmp_path):
    data, files = examples(3, 3, 3, n=20), [tmp_path / "t.h5", tmp_path / "s.h5"]
    for file, kernel in zip(files, (1, 3)):
        ks.extract(loaded_module(pixels(kernel), name="n"), data, layers="logits", out=file)
    (pair,) = ks.measure(teacher=files[0], student=files[1])
    assert pair.outputs is None and position_outputs.NOT_THERE in pair.notes
    for file, kernel in zip(files, (1, 3)):
        ks.extract(
            loaded_module(pixels(kernel), name="n"), data, layers="logits", out=file, pooling="patch", overwrite=True
        )
    (pair,) = ks.measure(teacher=files[0], student=files[1])
    assert pair.outputs is not None and pair.n == 20 * 9


def test_networks_of_other_classes_say_why_answers_are_not_compared():
    (pair,) = ks.measure(
        teacher=nn.Linear(4, 5), student=nn.Linear(4, 3), data=np.random.default_rng(0).standard_normal((30, 4)),
        layers="logits",
    )  # fmt: skip
    assert pair.outputs is None and "logits are of 5 and 3 classes, so answers are not compared" in pair.notes
