"""The folder of a study: what it may already hold, the lock while it is written, and the plan that it says."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from kernelscope import files
from kernelscope.errors import UsageError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from kernelscope.paper.jobs import Job

PLAN = "plan.json"
STUDENT_BYTES = 2**19  #: of a small network's checkpoint and row


@contextlib.contextmanager
def opened(folder: Path, plan: dict[str, Any], *, resume: bool, overwrite: bool) -> Iterator[None]:
    """Hold ``folder`` for a study and write its ``plan.json``.

    With ``resume`` what is trained there is used, of this plan or another; with ``overwrite`` all is trained anew.

    Raises:
        UsageError: a study is there and neither was said, or a file is in the folder's place.
        ResourceError: another process holds it, or the disk cannot take it.
    """
    require_free(folder, resume=resume, overwrite=overwrite)
    with files.writing(folder):
        (folder / "students").mkdir(parents=True, exist_ok=True)
    with files.lock(folder / ".lock"):
        if overwrite:
            for row in (folder / "students").glob("*.json"):
                with files.writing(row):
                    row.unlink()
        files.write_text(folder / PLAN, json.dumps(plan, indent=1, allow_nan=False) + "\n")
        yield


def require_free(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse, before any work, a folder that holds a study, unless that is to be used or replaced.

    Raises:
        UsageError: it does, or a file is in its place; both were said.
    """
    if resume and overwrite:
        raise UsageError("--resume uses what is trained and --overwrite trains it anew; pass one of them")
    if files.is_folder(folder):
        if (folder / PLAN).exists() and not resume and not overwrite:
            raise UsageError(f"{shown(folder)} holds a study; pass --resume to go on, or --overwrite to begin anew")
    elif folder.exists():
        raise UsageError(f"{shown(folder)} is a file; name a folder")


def require_space(folder: Path, jobs: Sequence[Job]) -> None:
    """Stop before any work if the disk cannot take what ``jobs`` leave.

    Raises:
        ResourceError: with what is needed and what is free.
    """
    files.require_space(folder, STUDENT_BYTES * len(jobs))
