"""Which folders are classes and which files are images: what systems and programs leave beside them is neither."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path, PurePath

from kernelscope.datasets.image_files import EXTENSIONS
from kernelscope.errors import one_line

#: left by macOS, Windows, Synology and Python
NO_CLASSES = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__"}
NO_DATA = {"thumbs.db", "desktop.ini"}


def is_image(name: str) -> bool:
    """Whether a file is an image by its name; hidden ones, as macOS puts beside each, are none."""
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def class_folders(root: Path) -> tuple[str, ...]:
    """Sub-folders in the order of their names; hidden ones and those that systems make are none."""
    with os.scandir(root) as entries:
        return tuple(sorted(entry.name for entry in entries if entry.is_dir() and _is_class(entry.name)))


def images_in(root: Path) -> list[str]:
    """Names of the images that lie in a folder itself, in their order."""
    with os.scandir(root) as entries:
        return sorted(entry.name for entry in entries if is_image(entry.name) and not entry.is_dir())


def images_below(root: Path) -> list[str]:
    """Paths of all images below ``root``, relative to it, folder by folder in the order of names."""
    found = []
    for place, folders, names in os.walk(root):
        folders[:] = sorted(filter(_is_class, folders))
        below = os.path.relpath(place, root)
        found += [
            os.path.normpath(os.path.join(below, name))  # noqa: PTH118 (a million of them)
            for name in sorted(names)
            if is_image(name)
        ]
    return found


def passed_over(root: Path) -> list[str]:
    """A note on the files below ``root`` that are no images, by their endings; none where there are none."""
    kinds: Counter[str] = Counter()
    for _, folders, names in os.walk(root):
        folders[:] = filter(_is_class, folders)
        others = (name for name in names if not is_image(name) and _is_data(name))
        kinds.update(PurePath(name).suffix.lower() or "without ending" for name in others)
    if not kinds:
        return []
    endings = one_line(", ".join(kind for kind, _ in kinds.most_common(6)), 60)
    count = sum(kinds.values())
    return [f"{count} file{'s' * (count > 1)} of unknown kind ({endings}) {'were' if count > 1 else 'was'} passed over"]


def _is_class(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in NO_CLASSES


def _is_data(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in NO_DATA
