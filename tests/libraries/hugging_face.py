"""Small networks of many of transformers' classes, with random weights, and what each takes in."""

import torch
import transformers as tf

BLOCKS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TEXT, IMAGES = BLOCKS | {"vocab_size": 60}, BLOCKS | {"image_size": 32}
GROUPED = TEXT | {"num_key_value_heads": 1, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 60}
DISTILBERT = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "vocab_size": 60}
GPT2 = {"n_layer": 2, "n_head": 2, "n_embd": 16, "vocab_size": 60, "n_positions": 32, "bos_token_id": 1}
SWIN = {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "image_size": 32, "patch_size": 4, "window_size": 2}
STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1]}
CONVOLUTIONS = {"conv_dim": (8, 8), "conv_stride": (2, 2), "conv_kernel": (3, 3), "num_feat_extract_layers": 2}
CONVOLUTIONS |= {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}

#: class -> (class of the configuration, its arguments)
CLASSES = {
    "GPT2LMHeadModel": ("GPT2Config", GPT2 | {"eos_token_id": 1}),
    "GPT2Model": ("GPT2Config", GPT2 | {"eos_token_id": 1}),
    "Qwen2ForCausalLM": ("Qwen2Config", GROUPED | {"tie_word_embeddings": True}),
    "LlamaForCausalLM": ("LlamaConfig", GROUPED),
    "OPTForCausalLM": (
        "OPTConfig",
        {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 32, "vocab_size": 60}
        | {"max_position_embeddings": 64, "word_embed_proj_dim": 16},
    ),
    "GPTNeoXForCausalLM": ("GPTNeoXConfig", GROUPED),
    "T5EncoderModel": ("T5Config", T5),
    "T5ForConditionalGeneration": ("T5Config", T5 | {"decoder_start_token_id": 0}),
    "BertModel": ("BertConfig", TEXT),
    "BertForMaskedLM": ("BertConfig", TEXT),
    "BertForSequenceClassification": ("BertConfig", TEXT | {"num_labels": 3}),
    "RobertaForMaskedLM": ("RobertaConfig", TEXT | {"max_position_embeddings": 64}),
    "DistilBertForMaskedLM": ("DistilBertConfig", DISTILBERT),
    "DistilBertForSequenceClassification": ("DistilBertConfig", DISTILBERT | {"num_labels": 3}),
    "AlbertForMaskedLM": ("AlbertConfig", TEXT | {"embedding_size": 8}),
    "ElectraForPreTraining": ("ElectraConfig", TEXT | {"embedding_size": 8}),
    "MobileBertForMaskedLM": ("MobileBertConfig", TEXT | {"embedding_size": 8, "intra_bottleneck_size": 16}),
    "DebertaV2ForMaskedLM": ("DebertaV2Config", TEXT | {"relative_attention": True}),
    "MPNetForMaskedLM": ("MPNetConfig", TEXT | {"max_position_embeddings": 64}),
    "ViTForImageClassification": ("ViTConfig", IMAGES | {"patch_size": 8}),
    "ViTModel": ("ViTConfig", IMAGES | {"patch_size": 8}),
    "DeiTForImageClassification": ("DeiTConfig", IMAGES | {"patch_size": 8}),
    "Dinov2Model": ("Dinov2Config", IMAGES | {"patch_size": 8}),
    "SwinForImageClassification": ("SwinConfig", SWIN),
    "ConvNextForImageClassification": ("ConvNextConfig", STAGES | {"num_stages": 2}),
    "ResNetForImageClassification": ("ResNetConfig", STAGES | {"embedding_size": 8}),
    "BeitForImageClassification": ("BeitConfig", IMAGES | {"patch_size": 8}),
    "CLIPVisionModel": ("CLIPVisionConfig", IMAGES | {"patch_size": 8}),
    "SegformerForSemanticSegmentation": (
        "SegformerConfig",
        {"hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4, "num_attention_heads": [1] * 4, "decoder_hidden_size": 16},
    ),
    "Wav2Vec2Model": ("Wav2Vec2Config", BLOCKS | CONVOLUTIONS),
    "BartForConditionalGeneration": (
        "BartConfig",
        {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "vocab_size": 60}
        | {"decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 64},
    ),
    "WhisperForConditionalGeneration": (
        "WhisperConfig",
        {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "vocab_size": 60}
        | {"decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_mel_bins": 8}
        | {"max_source_positions": 16, "max_target_positions": 32, "pad_token_id": 0, "decoder_start_token_id": 1}
        | {"bos_token_id": 1, "eos_token_id": 2},
    ),
}  # fmt: skip


def network(name: str, seed: int = 0, **changes: object) -> tf.PreTrainedModel:
    config, options = CLASSES[name]
    torch.manual_seed(seed)
    model = getattr(tf, name)(getattr(tf, config)(**{**options, **changes}))
    with torch.no_grad():  # where weights begin at 0 or 1, as norms and biases do, nobody saw them loaded
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
    return model.eval()


def inputs(name: str) -> dict[str, torch.Tensor]:
    if name.startswith("Whisper"):
        return {"input_features": torch.rand(4, 8, 32), "decoder_input_ids": torch.arange(12).reshape(4, 3)}
    if name.startswith("Wav2Vec2"):
        return {"input_values": torch.rand(4, 64)}
    if any(word in name for word in ("Image", "ViT", "Dino", "CLIP", "Segformer")):
        return {"pixel_values": torch.rand(4, 3, 32, 32)}
    ids = {"input_ids": torch.arange(24).reshape(4, 6) % 60}
    return ids | ({"decoder_input_ids": ids["input_ids"]} if name.startswith(("T5For", "Bart")) else {})
