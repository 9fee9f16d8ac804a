"""Files that pages name and do not make: small ones of the same kinds, so that the commands on the pages run."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

MODULE = """
import torch


def validation_set():
    g = torch.Generator().manual_seed(0)
    return torch.utils.data.TensorDataset(torch.rand(40, 1, 8, 8, generator=g), torch.arange(40) % 10)


def stream():
    yield from validation_set()
"""


def make(folder: Path, teacher: Path, student: Path) -> None:
    """The demo's files in ``folder/out``; in ``folder`` what pages call a network, features or data of one's own."""
    out = folder / "out"
    out.mkdir(parents=True)
    networks(folder, out, teacher, student)
    features(folder)
    data(folder)


def networks(folder: Path, out: Path, teacher: Path, student: Path) -> None:
    """``kda.pt`` is the teacher with one layer in few bits, so near it; ``ce.pt`` and ``kd.pt`` are a student's."""
    shutil.copy(teacher, out / "teacher.pt")
    shutil.copy(student, out / "ce.pt")
    rounded(teacher, out / "kda.pt", levels=3)
    rounded(student, out / "kd.pt", levels=127)
    for name, file in {"t": "teacher", "s": "kda", "t2": "ce", "float": "teacher", "int4": "kda"}.items():
        shutil.copy(out / f"{file}.pt", folder / f"{name}.pt")


def rounded(source: Path, target: Path, levels: int) -> None:
    content = torch.load(source, weights_only=True)
    weights = content["state_dict"]
    last = next(key for key in reversed(weights) if weights[key].ndim == 4)
    step = weights[last].abs().max() / levels
    weights[last] = (weights[last] / step).round() * step
    content["metrics"] = {"split": content["metrics"]["split"]}  # its accuracy is not the stated one any more
    torch.save(content, target)


def features(folder: Path) -> None:
    rng = np.random.default_rng(0)
    T = rng.standard_normal((3000, 12)).astype(np.float32) * np.exp(-np.arange(12, dtype=np.float32) / 6)
    S = np.ascontiguousarray(T[:, :8]) + 0.01 * rng.standard_normal((3000, 8)).astype(np.float32)
    sides = {"teacher": T, "student": S}
    shards = folder / "feats"
    for name, X in sides.items():
        np.save(folder / f"{name}_docs.npy", X)
        (shards / name).mkdir(parents=True)
        for i in range(3):
            np.save(shards / name / f"p{i}.npy", X[1000 * i : 1000 * (i + 1)])
    for i in range(3):
        np.save(shards / f"t-{i}.npy", T[1000 * i : 1000 * (i + 1)])


def data(folder: Path) -> None:
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.save(folder / "images.npy", pictures[..., None])
    np.save(folder / "labels.npy", np.arange(40) % 10)
    (folder / "mine.py").write_text(MODULE)
    for k, picture in enumerate(pictures):
        place = folder / "photos" / f"class{k % 10}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{k:03d}.png")
