"""A sentence-transformers folder is read as it is: its embedding is the sentence embedding."""

import json

import numpy as np
import pytest
import torch
import transformers

import kernelscope as ks
from kernelscope.errors import KernelscopeError


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, vocab_size=60
    )
    bert = transformers.BertModel(config, add_pooling_layer=False).eval()
    bert.save_pretrained(tmp_path)
    parts = {"": "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense", "3_Normalize": "Normalize"}
    listed = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in parts.items()]
    (tmp_path / "modules.json").write_text(json.dumps(listed))
    for name, content in (
        ("1_Pooling", {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}),
        ("2_Dense", {"in_features": 16, "out_features": 8, "activation_function": "torch.nn.modules.activation.Tanh"}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(content))
    torch.save(
        {"linear.weight": torch.randn(8, 16), "linear.bias": torch.randn(8)}, tmp_path / "2_Dense/pytorch_model.bin"
    )
    return tmp_path, bert


def test_the_embedding_of_a_folder_is_the_one_computed_by_hand(folder):
    path, bert = folder
    ids, mask = torch.randint(5, 60, (20, 7)), (torch.arange(7) < torch.arange(20)[:, None] % 5 + 2).long()
    data = [{"input_ids": i, "attention_mask": m} for i, m in zip(ids, mask)]
    with torch.no_grad():
        tokens, real = bert(input_ids=ids, attention_mask=mask)[0], mask[:, :, None].float()
        dense = torch.load(path / "2_Dense/pytorch_model.bin", weights_only=True)
        pooled = (tokens * real).sum(1) / real.sum(1)
        by_hand = torch.nn.functional.normalize(torch.tanh(pooled @ dense["linear.weight"].T + dense["linear.bias"]))
    loaded = ks.load(path)
    report = ks.measure(teacher=path, student=path, data=data)
    assert report.teacher_layer == "embedding" and report.transfer_loss == 0 and report.d_teacher == 8
    assert any("the sentence embedding" in note for note in report.notes)
    with torch.no_grad():
        found = loaded.module(ids, mask)
    np.testing.assert_allclose(found.numpy(), by_hand.numpy(), rtol=1e-5, atol=1e-6)


def test_a_folder_whose_parts_are_damaged_is_refused(folder):
    path, _ = folder
    (path / "2_Dense/pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(KernelscopeError):
        ks.load(path)
    (path / "2_Dense/pytorch_model.bin").unlink()
    with pytest.raises(KernelscopeError):
        ks.load(path)
