"""``FILE::key`` and ``FILE.h5:group/dataset``: a path, and which part of what the file holds is meant."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

#: files of which one colon names a part even where they are missing: the message is then about the file
OF_COLUMNS = (".h5", ".hdf5", ".parquet", ".arrow", ".feather", ".csv", ".tsv")

SHARDS = "shards:"  #: before a pattern of files that are one side together


def in_order(name: str) -> list[tuple[int, str]]:
    """A key by which numbers in names stand in their order, ``run_2`` before ``run_10``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def matching(pattern: str) -> list[str]:
    """What a pattern matches, in the order of names."""
    return sorted(glob.glob(pattern, recursive=True), key=in_order)  # noqa: PTH207  Path.glob takes no absolute pattern


def split(path: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """The file and the part of it that is named; None where the whole of it is meant.

    What exists as it stands is a path, whatever colons are in it. Two colons follow any file, one a file with a suffix,
    so that ``shards:PATTERN`` and ``torchvision:resnet18`` are no parts of files. Of several readings the first whose
    file exists counts.
    """
    text = os.fspath(path)
    if os.path.lexists(text):
        return Path(text), None
    readings = [
        (text[: colons.start()], text[colons.end() :])
        for colons in re.finditer(r"::|:", text)
        if colons.start() and (colons[0] == "::" or Path(text[: colons.start()]).suffix)
    ]
    for file, part in readings:
        if os.path.lexists(file):
            return Path(file), part
    for file, part in readings:
        if text[len(file) :].startswith("::") or file.lower().endswith(OF_COLUMNS):
            return Path(file), part
    return Path(text), None
