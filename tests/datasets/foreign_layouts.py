"""Writers of the layouts that other people's data sets come in, filled with images made here."""

import struct
from pathlib import Path

import numpy as np
from PIL import Image

from kernelscope.datasets.cifar import VERSIONS


def images(n, size=32, seed=0):
    """Images ``(n, 3, size, size)``: a colour of their own, and noise."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 200, (n, 3, 1, 1))
    return (colours + rng.integers(0, 56, (n, 3, size, size))).astype(np.uint8)


def write_cifar_binary(folder: Path, kind: str, split: str, records: int, seed: int = 0):
    """Files of one split, with ``records`` images each; gives images and labels."""
    version = VERSIONS[kind][0]
    classes = {"cifar10": 10, "cifar100": 100}[kind]
    place = folder / version.folder
    place.mkdir(parents=True, exist_ok=True)
    names, _ = version.parts[split]
    x = images(records * len(names), seed=seed)
    y = np.random.default_rng(seed).integers(0, classes, len(x))
    coarse = [] if kind == "cifar10" else [y // 5]
    rows = np.column_stack([*coarse, y, x.reshape(len(x), -1)]).astype(np.uint8)
    for name, part in zip(names, np.split(rows, len(names))):
        (place / name).write_bytes(part.tobytes())
    (place / version.names[0]).write_text("".join(f"class{i}\n" for i in range(classes)) + "\n")
    return x, y


def write_cifar_python(folder: Path, kind: str, split: str, records: int, seed: int = 0):
    """The same as the pickles that Python 2 wrote."""
    version = VERSIONS[kind][1]
    classes = {"cifar10": 10, "cifar100": 100}[kind]
    place = folder / version.folder
    place.mkdir(parents=True, exist_ok=True)
    names, _ = version.parts[split]
    x = images(records * len(names), seed=seed)
    y = np.random.default_rng(seed).integers(0, classes, len(x))
    for i, name in enumerate(names):
        rows = slice(i * records, (i + 1) * records)
        document = {"data": x[rows].reshape(records, -1), version.label: y[rows].tolist(), "batch_label": "a batch"}
        document["filenames"] = [f"image_{row}.png" for row in range(records)]
        (place / name).write_bytes(python2_pickle(document))
    (place / version.names[0]).write_bytes(
        python2_pickle({version.names[1]: [f"class{i}" for i in range(classes)], "num_vis": 3072})
    )
    return x, y


def python2_pickle(value) -> bytes:
    """What ``cPickle.dump(value, file, 2)`` wrote in Python 2: texts are bytes, arrays come from numpy.core."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value) -> bytes:
    match value:
        case dict():
            return b"}(" + b"".join(_python2(key) + _python2(item) for key, item in value.items()) + b"u"
        case list():
            return b"](" + b"".join(_python2(item) for item in value) + b"e"
        case str() | bytes():
            content = value.encode() if isinstance(value, str) else value
            return b"T" + struct.pack("<i", len(content)) + content
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return b"J" + struct.pack("<i", value)
        case np.ndarray():
            kind = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
            shape = b"(" + b"".join(_python2(int(side)) for side in value.shape) + b"t"
            return made + b"(K\x01" + shape + kind + b"\x89" + _python2(value.tobytes()) + b"tb"
    raise TypeError(type(value))


def write_tiny_imagenet(folder: Path, classes: int = 3, per_class: int = 8, validation: int = 6, size: int = 16):
    """Its own layout, with boxes, words and a test folder without labels; gives the labels of validation by name."""
    root = folder / "tiny-imagenet-200"
    wnids = [f"n{10_000_000 - i}" for i in range(classes)]  # listed in another order than that of their names
    pictures = iter(images(classes * per_class + validation + 2, size, seed=3))
    for wnid in wnids:
        place = root / "train" / wnid / "images"
        place.mkdir(parents=True)
        for number in range(per_class):
            save(next(pictures), place / f"{wnid}_{number}.JPEG")
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t9\t9\n")
    for name in ("val", "test"):
        (root / name / "images").mkdir(parents=True)
    chosen = {f"val_{i}.JPEG": wnids[i * 2 % classes] for i in range(validation)}
    for name in chosen:
        save(next(pictures), root / "val" / "images" / name)
    lines = [f"{name}\t{wnid}\t0\t0\t9\t9\n" for name, wnid in sorted(chosen.items(), reverse=True)]
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    save(next(pictures), root / "test" / "images" / "test_0.JPEG")
    (root / "wnids.txt").write_text("\n".join(wnids))
    return chosen


def write_folder(root: Path, classes=("cat", "dog", "eel"), per_class: int = 6, size: int = 16, seed: int = 0):
    """``root/CLASS/IMAGE.png``; gives the images in the order that ImageFolder has them, and their labels."""
    x = images(len(classes) * per_class, size, seed)
    for row, image in enumerate(x):
        save(image, root / classes[row // per_class] / f"{row % per_class}.png")
    return x, np.repeat(np.arange(len(classes)), per_class)


def save(image: np.ndarray, path: Path, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.transpose(1, 2, 0)).save(path, **options)
