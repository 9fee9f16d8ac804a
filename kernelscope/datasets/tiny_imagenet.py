"""Tiny-ImageNet in its own layout: ``train/WNID/images/*.JPEG``, and ``val/images`` with ``val/val_annotations.txt``.

``test`` is the labelled ``val`` folder (the one called ``test`` has no labels and is not read); ``validation`` is 10 %
of the training images, and ``train`` the rest. Classes are the WordNet ids in the order of their names, as in training
scripts that read ``train`` with ``ImageFolder``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope.datasets.image_files import image_examples, image_files, named
from kernelscope.datasets.listing import class_folders, images_below
from kernelscope.datasets.splitting import Splits
from kernelscope.errors import UnreadableInput, one_line

if TYPE_CHECKING:
    from pathlib import Path

    from kernelscope.datasets.examples import Examples
    from kernelscope.datasets.splitting import Choose

ANNOTATIONS = "val_annotations.txt"
LARGEST_LIST = 2**26  #: bytes; the published one has 355,000


def tiny_imagenet(folder: Path, *, seed: int = 0, skip_unreadable: bool = False) -> Splits:
    """The splits of ``tiny-imagenet-200``, or of another set in its layout.

    Raises:
        UnreadableInput: a folder without that layout; when a split is read, annotations that do not fit the images,
            or an unreadable image.
    """
    name = f"tiny-imagenet:{folder}"
    root = folder if (folder / "train").is_dir() else folder / "tiny-imagenet-200"
    if not (root / "train").is_dir():
        what = "has no folder train" if folder.is_dir() else "is no folder"
        raise UnreadableInput(f"{named(folder)} {what}; name the folder that tiny-imagenet was unpacked to")
    classes = class_folders(root / "train")

    def read(split: str, choose: Choose | None = None) -> Examples:
        place = root / ("train" if split == "train" else "val")
        paths, labels = _training(place, classes) if split == "train" else _annotated(place, classes)
        if not paths:
            raise UnreadableInput(f"{named(place)} holds no images; unpack the archive again")
        source = image_files(name, place, paths)
        return image_examples(
            source, labels, split=split, classes=classes, skip_unreadable=skip_unreadable, choose=choose
        )

    return Splits(name, ("train", "test"), read, seed=seed, read_chosen=None if skip_unreadable else read)


def _training(place: Path, classes: tuple[str, ...]) -> tuple[list[str], list[int]]:
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = images_below(place / name / "images")
        paths += [f"{name}/images/{path}" for path in found]
        labels += [label] * len(found)
    return paths, labels


def _annotated(place: Path, classes: tuple[str, ...]) -> tuple[list[str], list[int]]:
    """Images in the order of the annotations: a name, a tab, the class, and a box that is not used."""
    file = place / ANNOTATIONS
    if not file.is_file() or file.stat().st_size > LARGEST_LIST:
        raise UnreadableInput(f"{named(file)} is missing or no list of images; unpack the archive again")
    label_of = {name: label for label, name in enumerate(classes)}
    there = set(images_below(place / "images"))
    paths: list[str] = []
    labels: list[int] = []
    for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        image, _, rest = line.partition("\t")
        wnid = rest.split("\t")[0].strip()
        if wnid not in label_of:
            raise UnreadableInput(
                f"{named(file)} line {number} has class {one_line(wnid, 30)!r}, none of the {len(classes)} in train; "
                "unpack the archive again"
            )
        if image not in there:
            raise UnreadableInput(
                f"{named(file)} line {number} names {one_line(image, 40)!r}, which is not in images; unpack it again"
            )
        there.discard(image)  # named twice is an error as well
        paths.append(f"images/{image}")
        labels.append(label_of[wnid])
    if there:
        raise UnreadableInput(
            f"{named(file)} leaves out {len(there)} images, such as {one_line(min(there), 40)}; unpack it again"
        )
    return paths, labels
