"""A sentence encoder's pooling, dense layers and normalising are those its folder states."""

import json

import pytest
import torch

from kernelscope.activations.resolving import resolve_layers
from kernelscope.activations.tap import Tap
from kernelscope.checkpoints.loading import load
from kernelscope.errors import UnreadableInput
from kernelscope.networks.sentence_encoder import (
    Dense,
    Normalize,
    Pooling,
    SentenceEncoder,
    dense_in,
    parts_of,
    pooling_in,
)

X = torch.arange(30.0).reshape(2, 5, 3)
MASK = torch.tensor([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1]])
KEPT = [X[0, :3], X[1, 1:]]
BY_HAND = {
    "cls_token": [X[0, 0], X[1, 0]],
    "max_tokens": [rows.amax(0) for rows in KEPT],
    "mean_tokens": [rows.mean(0) for rows in KEPT],
    "mean_sqrt_len_tokens": [rows.sum(0) / len(rows) ** 0.5 for rows in KEPT],
    "weightedmean_tokens": [
        (KEPT[0] * torch.tensor([[1.0], [2], [3]])).sum(0) / 6,
        (KEPT[1] * torch.tensor([[2.0], [3], [4], [5]])).sum(0) / 14,
    ],
    "lasttoken": [X[0, 2], X[1, 4]],
}


def written(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path.parent


@pytest.mark.parametrize("way", BY_HAND)
def test_every_plain_pooling_is_the_one_computed_by_hand(way, tmp_path):
    folder = written(tmp_path / "config.json", {"word_embedding_dimension": 3, f"pooling_mode_{way}": True})
    torch.testing.assert_close(pooling_in(folder)(X, MASK), torch.stack(BY_HAND[way]))


def test_several_poolings_stand_side_by_side_whichever_way_they_are_written(tmp_path):
    expected = torch.cat([torch.stack(BY_HAND[way]) for way in ("cls_token", "mean_tokens")], dim=1)
    for number, config in enumerate(
        [{"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, {"pooling_mode": "cls+mean"}]
    ):
        torch.testing.assert_close(pooling_in(written(tmp_path / f"{number}/config.json", config))(X, MASK), expected)


class Tokens(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.dense = torch.nn.Embedding(20, 3), torch.nn.Linear(3, 3)

    def forward(self, input_ids, attention_mask):
        return (self.dense(self.embed(input_ids)), input_ids)


def test_the_embedding_is_what_a_sentence_encoder_returns():
    encoder = SentenceEncoder(Tokens(), Pooling(["mean_tokens"]), Dense(3, 4, True, torch.nn.Tanh()), Normalize())
    assert resolve_layers(encoder, None) == (("embedding",), ())
    with Tap(encoder, ["embedding", "logits"]) as tap:
        y = encoder(input_ids=torch.randint(20, (2, 5)), attention_mask=MASK)
        assert torch.equal(tap.features["embedding"], y) and torch.equal(tap.features["logits"], y)
    assert torch.allclose(y.norm(dim=1), torch.ones(2)) and y.shape == (2, 4)
    assert encoder(torch.ones(2, 5, dtype=torch.long)).shape == (2, 4)


LISTED = [{"path": "", "type": "a.Transformer"}, {"path": "1_Pooling", "type": "a.b.Pooling"}]


@pytest.mark.parametrize(
    ("modules", "piece"),
    [
        ([*LISTED, {"path": "2", "type": "a.WeightedLayerPooling"}], "is made of Transformer, Pooling, Weighted"),
        ([LISTED[0], {"path": "../elsewhere", "type": "a.Pooling"}], "leads out of its folder"),
        ([{"path": "", "type": "a.StaticEmbedding"}, LISTED[1]], "expected Transformer, Pooling"),
        ({"0": LISTED[0]}, "lists no modules"),
        ([1, 2], "lists no modules"),
    ],
)
def test_folders_of_other_modules_are_refused_in_one_line(modules, piece, tmp_path):
    folder = written(tmp_path / "modules.json", modules)
    for reading in (parts_of, load):
        with pytest.raises(UnreadableInput, match=piece) as caught:
            reading(folder)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("reading", "config"),
    [
        (pooling_in, {"pooling_mode_mean_tokens": False}),
        (pooling_in, {"pooling_mode": "attention"}),
        (pooling_in, []),
        (dense_in, {"in_features": 3, "out_features": -1}),
        (dense_in, {"in_features": 3, "out_features": 4, "activation_function": "os.system"}),
    ],
)
def test_settings_that_are_not_known_are_refused(reading, config, tmp_path):
    with pytest.raises(UnreadableInput):
        reading(written(tmp_path / "config.json", config))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UnreadableInput, match="cannot be read"):
        reading(tmp_path)
