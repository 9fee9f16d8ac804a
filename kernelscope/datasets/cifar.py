"""CIFAR-10 and CIFAR-100 as their authors publish them, in the binary and in the Python version.

Nothing is downloaded: ``DIR`` is the unpacked folder, or the one that holds it. Its ``test`` is the official one;
``validation`` is 10 % of the official training images, and ``train`` the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import files
from kernelscope.datasets.cifar_pickle import read_pickle
from kernelscope.datasets.examples import Examples, example_ids
from kernelscope.datasets.splitting import Splits
from kernelscope.errors import UnreadableInput, one_line

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Version:
    """Where the parts of one version lie, and how they are laid out.

    Attributes:
        parts: by split, its files and how many images each of them holds.
        label: which byte of a record, or which key of a pickle, is the label; ``labels`` are the bytes before pixels.
        names: the file of class names, and its key in a pickle.
    """

    folder: str
    parts: dict[str, tuple[tuple[str, ...], int]]
    label: Any
    labels: int
    names: tuple[str, str]


VERSIONS = {
    "cifar10": (
        Version(
            "cifar-10-batches-bin",
            {
                "train": (tuple(f"data_batch_{i}.bin" for i in range(1, 6)), 10_000),
                "test": (("test_batch.bin",), 10_000),
            },
            label=0,
            labels=1,
            names=("batches.meta.txt", ""),
        ),
        Version(
            "cifar-10-batches-py",
            {"train": (tuple(f"data_batch_{i}" for i in range(1, 6)), 10_000), "test": (("test_batch",), 10_000)},
            label="labels",
            labels=0,
            names=("batches.meta", "label_names"),
        ),
    ),
    "cifar100": (
        Version(
            "cifar-100-binary",
            {"train": (("train.bin",), 50_000), "test": (("test.bin",), 10_000)},
            label=1,  # byte 0 is the coarse one
            labels=2,
            names=("fine_label_names.txt", ""),
        ),
        Version(
            "cifar-100-python",
            {"train": (("train",), 50_000), "test": (("test",), 10_000)},
            label="fine_labels",
            labels=0,
            names=("meta", "fine_label_names"),
        ),
    ),
}
CLASSES = {"cifar10": 10, "cifar100": 100}
STATISTICS = {  # of the official training images, by channel
    "cifar10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    "cifar100": ([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]),
}


def cifar(folder: Path, kind: str, *, seed: int = 0) -> Splits:
    """The splits of ``cifar10`` or ``cifar100``.

    Raises:
        UnreadableInput: a folder without either version; when a split is read, a file of another length, an unsafe or
            broken pickle, or labels that CIFAR does not have.
    """
    place, version = _found(folder, kind)
    mean, std = STATISTICS[kind]

    def read(split: str) -> Examples:
        images, labels = _part(place, version, split, CLASSES[kind])
        return Examples(
            name=f"{kind}:{folder}",
            split=split,
            inputs=images,
            labels=labels,
            ids=example_ids(images),
            classes=_class_names(place, version, CLASSES[kind]),
            preprocess=[{"op": "scale", "by": 1 / 255}, {"op": "normalize", "mean": mean, "std": std}],
        )

    return Splits(f"{kind}:{folder}", ("train", "test"), read, seed=seed)


def _found(folder: Path, kind: str) -> tuple[Path, Version]:
    """The folder that holds one version's files, and which version it is; the binary one where both are there."""
    for version in VERSIONS[kind]:
        for place in (folder, folder / version.folder):
            if any((place / name).is_file() for names, _ in version.parts.values() for name in names):
                return place, version
    neither = " nor ".join(version.folder for version in VERSIONS[kind])
    what = f"holds neither {neither}" if folder.exists() else "does not exist"
    raise UnreadableInput(f"{one_line(str(folder), 80)} {what}; name the folder that {kind} was unpacked to")


def _part(place: Path, version: Version, split: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    names, records = version.parts[split]
    read = _binary if version.labels else _pickled
    found = [read(files.require_readable(place / name), version, records) for name in names]
    for name, (_, labels) in zip(names, found):
        outside = np.flatnonzero((labels < 0) | (labels >= classes))
        if len(outside):
            raise UnreadableInput(
                f"{place / name} has label {labels[outside[0]]} at image {outside[0]}, expected 0 to {classes - 1}; "
                "download it again"
            )
    images, labels = (np.concatenate(part) for part in zip(*found))
    return images, labels


def _binary(path: Path, version: Version, records: int) -> tuple[np.ndarray, np.ndarray]:
    """Records of label bytes and 3,072 pixels: red, green, blue planes of 32 × 32."""
    length, expected = path.stat().st_size, records * (version.labels + PIXELS)
    if length != expected:
        raise UnreadableInput(f"{path} has {length:,} bytes, expected {expected:,}; download it again")
    rows = np.fromfile(path, np.uint8).reshape(records, -1)
    images = np.ascontiguousarray(rows[:, version.labels :]).reshape(-1, 3, 32, 32)
    return images, rows[:, version.label].astype(np.int64)


def _pickled(path: Path, version: Version, records: int) -> tuple[np.ndarray, np.ndarray]:
    document = read_pickle(path)
    images, labels = document.get("data"), document.get(version.label)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != (records, PIXELS):
        shape = getattr(images, "shape", type(images).__name__)
        raise UnreadableInput(f"{path} has data {shape}, expected uint8 of ({records}, {PIXELS}); download it again")
    if not isinstance(labels, list) or len(labels) != records or not all(type(label) is int for label in labels):
        raise UnreadableInput(f"{path} lacks {records} whole numbers as {version.label}; download it again")
    if any(not 0 <= label < 256 for label in labels):
        raise UnreadableInput(f"{path} has a label outside 0 to 255; download it again")
    return images.reshape(-1, 3, 32, 32), np.array(labels, np.int64)


def _class_names(place: Path, version: Version, count: int) -> tuple[str, ...]:
    """As the file of names has them, else their numbers."""
    file, key = version.names
    path = place / file
    if not path.is_file():
        return tuple(map(str, range(count)))
    names: Any
    if key:
        names = read_pickle(path).get(key)
    else:
        if path.stat().st_size > 2**16:
            raise UnreadableInput(f"{path} is no list of {count} class names; download it again")
        names = files.require_readable(path).read_bytes().split()
    found = [name for name in names if isinstance(name, (bytes, str))] if isinstance(names, list) else []
    if len(found) != count:
        raise UnreadableInput(f"{path} has {len(found)} class names, expected {count}; download it again")
    return tuple(one_line(_text(name[:1000]), 60) for name in found)


def _text(name: bytes | str) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name
