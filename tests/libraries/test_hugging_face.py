"""A Hugging Face folder is loaded as transformers loads it, and every name in it is accounted for."""

import hashlib
import json
import shutil

import pytest
import timm
import torch
import transformers as tf
from safetensors.torch import load_file, save_file

import kernelscope as ks
from kernelscope.errors import KernelscopeError, Mismatch, NumericalError, UnreadableInput, UsageError
from kernelscope.measurement.inspection import describe
from tests.libraries.hugging_face import CLASSES, TEXT, inputs, network

tf.logging.set_verbosity_error()
tf.logging.disable_progress_bar()


@pytest.fixture
def saved(tmp_path):
    def save(name, folder="net", **options):
        model = network(name, **options)
        model.save_pretrained(tmp_path / folder)
        return model, tmp_path / folder

    return save


@pytest.mark.parametrize("name", CLASSES)
def test_a_saved_folder_computes_what_the_network_computed(saved, name):
    (model, folder), given = saved(name), inputs(name)
    before = torch.random.get_rng_state()
    loaded = ks.load(folder)
    assert torch.equal(before, torch.random.get_rng_state())
    assert type(loaded.module) is type(model) and not loaded.module.training
    with torch.no_grad():
        expected, found = model(**given), loaded.module(**given)
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=0)
    assert f"{name} of transformers, as its config.json says" in "\n".join(loaded.notes)
    again = ks.load(folder, arch=f"hf:{folder}")
    assert again.sha256 == loaded.sha256


@pytest.mark.parametrize("name", ["GPT2LMHeadModel", "ViTForImageClassification", "BertForMaskedLM"])
def test_shards_and_pickled_weights_are_read_as_one_file_is(tmp_path, name):
    model, given = network(name), inputs(name)
    model.save_pretrained(tmp_path / "one")
    model.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    assert (tmp_path / "shards/model.safetensors.index.json").exists()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/config.json").write_bytes((tmp_path / "one/config.json").read_bytes())
    torch.save(load_file(tmp_path / "one/model.safetensors"), tmp_path / "bin/pytorch_model.bin")
    for folder in ("shards", "bin"):
        torch.testing.assert_close(ks.load(tmp_path / folder).module(**given)[0], model(**given)[0], rtol=0, atol=0)
    bare = ks.load(tmp_path / "one/model.safetensors", arch=f"hf:{tmp_path / 'one'}")
    torch.testing.assert_close(bare.module(**given)[0], model(**given)[0], rtol=0, atol=0)


def test_a_training_runs_file_is_read_by_the_folders_configuration(saved, tmp_path):
    model, folder = saved("BertForMaskedLM")
    torch.save({"model": {f"module.{k}": v for k, v in model.state_dict().items()}}, tmp_path / "t.ckpt")
    given = inputs("BertForMaskedLM")
    loaded = ks.load(tmp_path / "t.ckpt", arch=f"hf:{folder}")
    torch.testing.assert_close(loaded.module(**given)[0], model(**given)[0], rtol=0, atol=0)


def test_tied_names_and_names_left_aside_are_notes(saved):
    _, folder = saved("GPT2LMHeadModel")
    assert "1 missing name filled by the tensor that transformers ties to it (lm_head.weight)" in noted(folder)
    weights = load_file(folder / "model.safetensors")
    masks = {f"transformer.h.{i}.attn.masked_bias": torch.tensor(-1e4) for i in range(2)}
    save_file(weights | masks, folder / "model.safetensors")
    assert "2 tensors left aside, which are not of this class (transformer.h.0" in noted(folder)


def noted(folder):
    return "\n".join(ks.load(folder).notes)


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertModel", "BertForNextSentencePrediction"])
def test_heads_that_published_files_keep_are_left_aside(tmp_path, kind):
    torch.manual_seed(0)
    tf.BertForPreTraining(tf.BertConfig(**TEXT)).save_pretrained(tmp_path)
    configured(tmp_path, architectures=[kind])
    expected = getattr(tf, kind).from_pretrained(tmp_path)
    given = inputs(kind)
    torch.testing.assert_close(ks.load(tmp_path).module(**given)[0], expected(**given)[0], rtol=0, atol=0)
    assert "left aside, which are not of this class (" in noted(tmp_path)


@pytest.mark.parametrize(
    "name", ["encoder.layer.7.output.dense.bias", "encoder.layer.0.attention.self.query.lora_A.weight"]
)
def test_layers_and_adapters_that_the_network_lacks_are_no_other_heads(saved, name):
    _, folder = saved("BertModel")
    save_file(load_file(folder / "model.safetensors") | {name: torch.ones(16)}, folder / "model.safetensors")
    with pytest.raises(Mismatch, match=r"1 extra \(first encoder\.layer"):
        ks.load(folder)


def test_a_missing_pooler_is_left_out(tmp_path):
    tf.BertModel(tf.BertConfig(**TEXT), add_pooling_layer=False).save_pretrained(tmp_path)
    assert "its pooler was left out" in noted(tmp_path)
    assert ks.load(tmp_path).module.pooler is None


def test_half_precision_is_widened_with_a_note(saved):
    _, folder = saved("BertModel")
    weights = load_file(folder / "model.safetensors")
    save_file({key: value.bfloat16() for key, value in weights.items()}, folder / "model.safetensors")
    loaded = ks.load(folder)
    assert next(loaded.module.parameters()).dtype == torch.float32
    assert f"{len(weights)} bfloat16 tensors read as float32" in "\n".join(loaded.notes)


@pytest.mark.parametrize(
    ("change", "error", "piece"),
    [
        (lambda w: w.pop("bert.encoder.layer.0.output.dense.bias"), Mismatch, r"1 missing \(first bert\.encoder"),
        (lambda w: w.update(other=torch.ones(2)), Mismatch, r"1 extra \(first other\)"),
        (lambda w: w.update({"classifier.bias": torch.ones(7)}), Mismatch, r"first classifier\.bias \(7,\) for \(3,\)"),
        (
            lambda w: w["classifier.bias"].fill_(float("nan")),
            NumericalError,
            "NaN or infinite weights in classifier.bias",
        ),
        (
            lambda w: w.update({"classifier.bias": torch.ones(3).to(torch.float8_e4m3fn)}),
            UnreadableInput,
            r"classifier\.bias as torch\.float8_e4m3fn; save it",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(saved, change, error, piece):
    _, folder = saved("BertForSequenceClassification")
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(error, match=piece) as caught:
        ks.load(folder)
    assert "\n" not in str(caught.value)


def configured(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


@pytest.mark.parametrize(
    ("changes", "piece"),
    [
        ({"model_type": "mine", "auto_map": {"AutoConfig": "evil.Config"}}, "its auto_map is code of its own"),
        ({"model_type": "mine"}, "does not know; pip install --upgrade transformers"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "holds quantised weights; save them by"),
        ({"hidden_size": "wide"}, r"config\.json that cannot be used"),
        ({"num_attention_heads": 5}, "cannot be loaded by transformers as BertModel|cannot be used"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(saved, changes, piece):
    _, folder = saved("BertModel")
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    configured(folder, **changes)
    with pytest.raises(UnreadableInput, match=piece):
        ks.load(folder)


def test_code_kernels_and_other_files_that_a_configuration_names_are_not_used(saved):
    model, folder = saved("BertModel")
    configured(
        folder,
        auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"},
        attn_implementation="somebody/kernel",
        _attn_implementation="somebody/kernel",
        transformers_weights="../other.safetensors",
        fusion_config={"patch_embeddings": True},
    )
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "somebody/else", "peft_type": "LORA"}')
    given = inputs("BertModel")
    torch.testing.assert_close(ks.load(folder).module(**given)[0], model(**given)[0], rtol=0, atol=0)


def test_a_digest_is_of_weights_and_settings_and_not_of_the_place(saved, tmp_path):
    _, folder = saved("BertModel")
    before = ks.load(folder).sha256
    shutil.copytree(folder, tmp_path / "copy")
    assert ks.load(tmp_path / "copy").sha256 == before
    assert ks.load(folder, arch_kwargs={"hidden_act": "relu"}).sha256 != before
    configured(folder, hidden_act="relu")
    assert ks.load(folder).sha256 != before


def test_settings_that_the_configuration_lacks_are_refused(saved):
    _, folder = saved("BertModel")
    with pytest.raises(UsageError, match="has a configuration without nonsense; leave it out"):
        ks.load(folder, arch_kwargs={"nonsense": 3})


def test_inspect_says_what_a_folder_is_and_lists_its_layers(saved):
    _, folder = saved("DistilBertForSequenceClassification")
    text = list(describe(folder))
    assert "network: DistilBertForSequenceClassification of transformers, as config.json says" in text
    assert "it needs no --teacher-arch or --student-arch" in text
    assert any("pre_classifier" in line for line in text)
    assert f"sha256 of weights and configuration, as reports have it: {ks.load(folder).sha256}" in text
    assert text[2].endswith(f"sha256 {hashlib.sha256((folder / 'model.safetensors').read_bytes()).hexdigest()}")


def test_a_folder_of_timm_is_its_own_architecture(tmp_path):
    model = timm.create_model("resnet18", num_classes=5)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"architecture": "resnet18", "num_classes": 5, "pretrained_cfg": {}}')
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(ks.load(tmp_path).module(x), model.eval()(x), rtol=0, atol=0)


@pytest.mark.parametrize("name", CLASSES)
def test_two_folders_are_measured_without_an_architecture(saved, name):
    saved(name, "teacher")
    saved(name, "student", seed=1)
    batch = inputs(name)
    data = [{key: values[i % 4] for key, values in batch.items()} for i in range(20)]
    for row in data:
        row |= {key: torch.randint(3, 60, ids.shape) for key, ids in row.items() if key.endswith("input_ids")}
    if list(batch) == ["pixel_values"]:
        data = torch.rand(20, *batch["pixel_values"].shape[1:])
    report = ks.measure(teacher="teacher", student="student", data=data)
    assert len(report) >= 1 and all(pair.transfer_loss > 0 for pair in report)


@pytest.mark.parametrize(
    ("changes", "piece"),
    [
        ({"vocab_size": 2_000_000_000}, r"describes a network of 32,0\d\d,\d{3},\d{3} values, and its weights are"),
        ({"max_position_embeddings": 10**9}, "describes a network of"),
        ({"num_hidden_layers": 10**9}, r"of 1,000,000,000 layers, at most 10,000; check it"),
    ],
)
def test_a_configuration_takes_no_memory_that_the_weights_do_not_fill(saved, changes, piece):
    _, folder = saved("BertModel")
    configured(folder, **changes)
    with pytest.raises(KernelscopeError, match=piece):
        ks.load(folder)


def test_former_names_of_weight_norm_are_read(saved):
    model, folder = saved("Wav2Vec2Model")
    weights = load_file(folder / "model.safetensors")
    (g,) = [key for key in weights if key.endswith(("original0", "weight_g"))]
    (v,) = [key for key in weights if key.endswith(("original1", "weight_v"))]
    start = "encoder.pos_conv_embed.conv.weight_"
    weights |= {f"{start}g": weights.pop(g), f"{start}v": weights.pop(v)}
    save_file(weights, folder / "model.safetensors")
    given = inputs("Wav2Vec2Model")
    torch.testing.assert_close(ks.load(folder).module(**given)[0], model(**given)[0], rtol=0, atol=0)


def test_a_part_of_a_training_runs_file_is_chosen(saved, tmp_path):
    model, folder = saved("BertForMaskedLM")
    ema = {key: value + 0.01 for key, value in model.state_dict().items()}
    torch.save({"model": model.state_dict(), "model_ema": ema}, tmp_path / "t.ckpt")
    with pytest.raises(UnreadableInput, match=r"2 networks that fit \(model, model_ema\)"):
        ks.load(tmp_path / "t.ckpt", arch=f"hf:{folder}")
    loaded = ks.load(f"{tmp_path / 't.ckpt'}::model_ema", arch=f"hf:{folder}")
    torch.testing.assert_close(loaded.module.state_dict(), ema, rtol=0, atol=0)
    assert loaded.sha256 != ks.load(f"{tmp_path / 't.ckpt'}::model", arch=f"hf:{folder}").sha256
