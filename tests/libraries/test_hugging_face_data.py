"""Data sets, tokenizer output and features of Hugging Face's own classes are measured as they are."""

import numpy as np
import pytest
import torch

import kernelscope as ks
from kernelscope.errors import UsageError

datasets = pytest.importorskip("datasets")
transformers = pytest.importorskip("transformers")
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    bert = transformers.BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, num_labels=3
    )
    distil = transformers.DistilBertConfig(vocab_size=60, dim=16, n_layers=1, n_heads=2, hidden_dim=32, num_labels=3)
    return (
        transformers.BertForSequenceClassification(bert).eval(),
        transformers.DistilBertForSequenceClassification(distil).eval(),
    )


@pytest.fixture(scope="module")
def rows():
    lengths = [5 + i % 4 for i in range(30)]
    columns = {
        "sentence": ["a b"] * 30,
        "idx": list(range(30)),
        "label": [i % 3 for i in range(30)],
        "input_ids": [RNG.integers(1, 60, length).tolist() for length in lengths],
        "attention_mask": [[1] * length for length in lengths],
        "token_type_ids": [[0] * length for length in lengths],
    }
    kinds = datasets.Dataset.from_dict(columns).features
    kinds["label"] = datasets.ClassLabel(names=["x", "y", "z"])
    return datasets.Dataset.from_dict(columns, features=kinds)


def loss(networks, data, **given):
    return ks.measure(teacher=networks[0], student=networks[1], data=data, layers="logits", **given)


def test_a_dataset_in_any_format_gives_the_same_report(networks, rows):
    expected = loss(networks, rows)
    assert expected.pairs[0].classes.names == ("x", "y", "z")
    columns = {name: rows[name] for name in ("input_ids", "attention_mask", "token_type_ids", "label")}
    for data in (rows.with_format("torch"), rows.with_format("numpy"), {name: list(x) for name, x in columns.items()}):
        assert loss(networks, data).transfer_loss == expected.transfer_loss
    assert loss(networks, rows.to_iterable_dataset(), n=30).transfer_loss == expected.transfer_loss


def test_a_dict_of_datasets_is_one_of_splits(networks, rows):
    both = datasets.DatasetDict(train=rows, test=rows.select(range(12)))
    assert loss(networks, both, split="test").pairs[0].n == 12
    assert loss(networks, both, split="train", sample=9).pairs[0].n == 9
    with pytest.raises(UsageError, match="dict of train, test; pass split="):
        loss(networks, both)


def test_what_a_tokenizer_returns_is_a_table(networks):
    ids = torch.randint(1, 60, (20, 7))
    tokens = transformers.BatchEncoding({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    found = loss(networks, (tokens, np.arange(20) % 3))
    with torch.no_grad():
        teacher, student = (network(**tokens).logits.numpy() for network in networks)
    expected = ks.transfer_loss(teacher=teacher, student=student)
    assert found.transfer_loss == pytest.approx(expected.value, rel=1e-4)
    assert found.networks[0].top1 == pytest.approx((teacher.argmax(1) == np.arange(20) % 3).mean())


def test_pixel_values_and_several_inputs_go_in_by_name():
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 16, "patch_size": 8, "projection_dim": 8}
    text = {"vocab_size": 60, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "projection_dim": 8, "bos_token_id": 1, "eos_token_id": 2}
    clip = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    ids, images = torch.randint(3, 60, (10, 7)), torch.rand(10, 3, 16, 16)
    data = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": images}
    found = ks.measure(teacher=clip, student=clip.vision_model, data=data, pairs="visual_projection:in=post_layernorm")
    assert found.transfer_loss < 1e-6
    assert any("does not take: input_ids, attention_mask" in note for note in found.pairs[0].notes)
