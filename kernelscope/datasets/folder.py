"""A folder of images: ``DIR/CLASS/.../IMAGE``, ``DIR/train/CLASS/...`` beside ``DIR/val``, or images without classes.

Classes are the sub-folders in the order of their names, images in the order of theirs, as torchvision's ``ImageFolder``
has them. Nothing of an image stays in memory but its path, id and label.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kernelscope.datasets.image_files import EXTENSIONS, image_examples, image_files, named
from kernelscope.datasets.splitting import ALL, Splits
from kernelscope.errors import UnreadableInput

if TYPE_CHECKING:
    from kernelscope.datasets.examples import Examples

#: what folders of splits are called
SPLIT_FOLDERS = {"train": ("train", "training"), "validation": ("val", "valid", "validation"), "test": ("test",)}


def folder(root: Path, *, seed: int = 0, skip_unreadable: bool = False) -> Splits:
    """The splits of an image folder: its own if it has sub-folders for training and another, else drawn ones.

    With training and validation alone, validation is what is measured on (``test``), and a validation split is drawn
    from the training images, which see to it that the best epoch is not chosen on what is reported.

    Raises:
        UnreadableInput: no such folder; when a split is read, a folder without images or an unreadable image.
    """
    name = f"folder:{root}"
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UnreadableInput(f"{named(root)} {what}; name a folder of images")
    own = {
        split: root / word
        for split, words in SPLIT_FOLDERS.items()
        for word in words
        if (root / word).is_dir() and class_folders(root / word)
    }
    if "train" in own and len(own) > 1:
        if "test" not in own:
            own["test"] = own.pop("validation")
        classes = class_folders(own["train"])
    else:
        own, classes = {ALL: root}, class_folders(root)

    def read(split: str) -> Examples:
        return _read(name, split, own[split], classes, skip_unreadable)

    return Splits(name, own, read, seed=seed)


def class_folders(root: Path) -> tuple[str, ...]:
    """Sub-folders in the order of their names; hidden ones are none."""
    with os.scandir(root) as entries:
        return tuple(sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")))


def images_below(root: Path) -> list[str]:
    """Paths of all images below ``root``, relative to it, folder by folder in the order of names."""
    found = []
    for place, folders, names in os.walk(root):
        folders.sort()
        below = os.path.relpath(place, root)
        found += [
            os.path.normpath(os.path.join(below, name))  # noqa: PTH118 (a million of them)
            for name in sorted(names)
            if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
        ]
    return found


def _read(name: str, split: str, root: Path, classes: tuple[str, ...], skip_unreadable: bool) -> Examples:
    paths, labels = _listed(root, classes)
    if not paths:
        raise UnreadableInput(f"{named(root)} holds no images ({' '.join(EXTENSIONS)}); check the path")
    source = image_files(name, root, paths)
    return image_examples(source, labels, split=split, classes=classes, skip_unreadable=skip_unreadable)


def _listed(root: Path, classes: tuple[str, ...]) -> tuple[list[str], list[int] | None]:
    """Images and their classes; images that lie beside the class folders have none, so then no image has one."""
    with os.scandir(root) as entries:
        loose = [entry.name for entry in entries if entry.is_file() and entry.name.lower().endswith(EXTENSIONS)]
    here = class_folders(root)
    if not here or (loose and not any(images_below(root / name) for name in here)):
        return sorted(loose), None
    if loose:
        raise UnreadableInput(
            f"{named(root)} holds {len(loose)} images beside its class folders, such as {named(Path(loose[0]))}; "
            "move them into one"
        )
    unknown = [name for name in here if name not in classes]
    if unknown:
        raise UnreadableInput(f"{named(root)} has a class {named(Path(unknown[0]))} that training has not; rename it")
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = images_below(root / name) if name in here else []
        paths += [f"{name}/{path}" for path in found]
        labels += [label] * len(found)
    return paths, labels
