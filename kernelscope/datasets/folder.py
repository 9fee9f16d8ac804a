"""A folder of images: ``DIR/CLASS/.../IMAGE``, ``DIR/train/CLASS/...`` beside ``DIR/val``, or images without classes.

Classes are the sub-folders in the order of their names, images in the order of theirs, as torchvision's ``ImageFolder``
has them. Nothing of an image stays in memory but its path, id and label.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kernelscope.datasets.image_files import EXTENSIONS, image_examples, image_files, named
from kernelscope.datasets.listing import class_folders, images_below, images_in, passed_over
from kernelscope.datasets.splitting import ALL, Splits
from kernelscope.errors import UnreadableInput, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelscope.datasets.examples import Examples
    from kernelscope.datasets.splitting import Choose

#: what folders of splits are called, whatever their case
SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing"),
}


def folder(root: Path, *, seed: int = 0, skip_unreadable: bool = False) -> Splits:
    """The splits of an image folder: its own if it has sub-folders for training and another, else drawn ones.

    With training and validation alone, validation is what is measured on (``test``), and a validation split is drawn
    from the training images, which see to it that the best epoch is not chosen on what is reported.

    Raises:
        UnreadableInput: no such folder, or two that may be one split or class; when a split is read, a folder without
            images or an unreadable image.
    """
    name = f"folder:{root}"
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UnreadableInput(f"{named(root)} {what}; name a folder of images")
    own, notes = _own_splits(root)
    classes = _classes(own["train"] if own else root)
    own = own or {ALL: root}

    def read(split: str, choose: Choose | None = None) -> Examples:
        found = _read(name, split, own[split], classes, skip_unreadable, choose)
        return replace(found, notes=(*notes, *found.notes))

    return Splits(name, own, read, seed=seed, read_chosen=None if skip_unreadable else read)


def _own_splits(root: Path) -> tuple[dict[str, Path], list[str]]:
    """The folders of the splits, none if the sub-folders are classes; and notes on what else lies beside them.

    Raises:
        UnreadableInput: two folders for one split, or none for training.
    """
    here = class_folders(root)
    own: dict[str, Path] = {}
    for split, words in SPLIT_FOLDERS.items():
        found = [root / word for word in here if word.lower() in words and _holds_examples(root / word)]
        if len(found) > 1:
            raise UnreadableInput(
                f"{named(root)} has {' and '.join(place.name for place in found)}, which may both be its {split} "
                "split; rename one"
            )
        own |= {split: found[0]} if found else {}
    others = [word for word in here if root / word not in own.values()]
    if "train" not in own or len(own) == 1:
        if own and not others and any(map(class_folders, own.values())):
            alone = " and ".join(place.name for place in own.values())
            raise UnreadableInput(
                f"{named(root)} has {alone} alone, no training and another split; name one, "
                f"folder:{named(next(iter(own.values())))}"
            )
        return {}, _on_nested(root, here)
    # images without classes say less than a labelled validation split
    if "validation" in own and "test" in own and class_folders(own["validation"]) and not class_folders(own["test"]):
        others.append(own.pop("test").name)
    if "test" not in own:
        own["test"] = own.pop("validation")
    beside = one_line(", ".join(others), 60)
    return own, [f"folders beside those of the splits were passed over: {beside}"] if others else []


def _holds_examples(place: Path) -> bool:
    return bool(class_folders(place) or images_in(place))


def _on_nested(root: Path, here: Sequence[str]) -> list[str]:
    """A note where all folders hold folders alone, so that these may be the classes that were meant."""
    if not here or not all(class_folders(root / name) and not images_in(root / name) for name in here):
        return []
    words = one_line(", ".join(here), 60)
    return [f"classes are the folders {words}, which hold only folders; if the classes are in these, name one of them"]


def _classes(root: Path) -> tuple[str, ...]:
    """The class folders.

    Raises:
        UnreadableInput: two that differ only in case.
    """
    found = class_folders(root)
    known: dict[str, str] = {}
    for name in found:
        other = known.setdefault(name.lower(), name)
        if other != name:
            raise UnreadableInput(
                f"{named(root)} has the folders {one_line(other, 30)} and {one_line(name, 30)}, which differ only in "
                "case; join them, or rename one"
            )
    return found


def _read(
    name: str, split: str, root: Path, classes: tuple[str, ...], skip_unreadable: bool, choose: Choose | None
) -> Examples:
    paths, labels = _listed(root, classes)
    if not paths:
        raise UnreadableInput(f"{named(root)} holds no images ({' '.join(EXTENSIONS)}); check the path")
    source = image_files(name, root, paths)
    found = image_examples(source, labels, split=split, classes=classes, skip_unreadable=skip_unreadable, choose=choose)
    notes = passed_over(root)
    if labels is not None:
        here, present = class_folders(root), set(labels)
        empty = [word for label, word in enumerate(classes) if word in here and label not in present]
        notes += [f"class folders without an image: {one_line(', '.join(empty), 80)}"] if empty else []
    return replace(found, notes=(*notes, *found.notes))


def _listed(root: Path, classes: tuple[str, ...]) -> tuple[list[str], list[int] | None]:
    """Images and their classes; images that lie beside the class folders have none, so then no image has one."""
    loose = images_in(root)
    here = _classes(root)
    if not here or (loose and not any(images_below(root / name) for name in here)):
        return loose, None
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
