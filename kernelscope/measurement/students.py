"""Many students in one argument: quoted patterns of files, and students by name."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelscope import file_parts
from kernelscope.errors import UnreadableInput, UsageError, one_line, shown

MOST = 10_000  #: files of one pattern


@dataclass(frozen=True)
class Student:
    """What was given for a student, and what it is called; None for the name it brings."""

    given: Any
    name: str | None = None


def students_of(student: object, names: str | Sequence[str] | None = None) -> list[Student]:
    """One student, a sequence of them, or students by name; a pattern that is no file stands for those it matches.

    A dict whose values are all arrays holds the layers of one student; one whose values are all paths, modules,
    stores or dicts holds students by name.

    Raises:
        UsageError: no student, a dict of both kinds, or names that are not one each.
        UnreadableInput: a pattern that no file matches.
    """
    if isinstance(student, Mapping) and _are_students(student):
        found = [Student(each, str(name)) for name, each in student.items()]
    else:
        listed = student if isinstance(student, (list, tuple)) else [student]
        found = [Student(each) for given in listed for each in matched(given)]
    if not found:
        raise UsageError("no student given; pass at least one")
    return found if names is None else _named(found, [names] if isinstance(names, str) else list(names))


def matched(given: Any) -> list[Any]:
    """The files that a pattern stands for, numbers in their order (``run_2`` before ``run_10``); else what was given.

    Raises:
        UnreadableInput: none.
    """
    if not isinstance(given, (str, os.PathLike)) or not glob.has_magic(os.fspath(given)):
        return [given]
    path, part = file_parts.split(given)
    if str(path).startswith(file_parts.SHARDS):  # one student in several files
        return [given]
    if path.exists() or not glob.has_magic(str(path)):
        return [given]
    files = file_parts.matching(str(path))
    if not files:
        raise UnreadableInput(f"no file matches {shown(path)}; correct the pattern")
    if len(files) > MOST:
        raise UsageError(f"{len(files):,} files match {shown(path)}, more than {MOST:,} students; narrow the pattern")
    return [Path(file if part is None else f"{file}::{part}") for file in files]


def _are_students(given: Mapping[Any, Any]) -> bool:
    """Whether a dict holds students by name, and not layers of one."""
    arrays = {name: hasattr(each, "shape") or isinstance(each, (list, tuple)) for name, each in given.items()}
    if any(arrays.values()) and not all(arrays.values()):
        array, other = (next(str(name) for name, is_it in arrays.items() if is_it is kind) for kind in (True, False))
        raise UsageError(
            f"student {one_line(array, 30)!r} is an array, as layers are, and {one_line(other, 30)!r} is not; "
            "give each student as {'layer': array}"
        )
    return bool(arrays) and not any(arrays.values())


def _named(students: list[Student], names: list[str]) -> list[Student]:
    if len(names) != len(students) or len(set(names)) != len(names):
        raise UsageError(f"{len(set(names))} different names for {len(students)} students; give each its own")
    return [Student(each.given, str(name)) for each, name in zip(students, names)]
