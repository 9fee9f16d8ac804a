"""The state of an unfinished run on disk: written whole or not at all, read without running its code.

A run taken up from it ends in the same bits as one that was never interrupted (on a CPU, with the same number of
threads): it holds the students' weights, optimisers, landmarks and running sums, and where in the epoch they stood.
"""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from kernelscope import files
from kernelscope.distill.searching import Choice
from kernelscope.errors import Mismatch, UnreadableInput, UsageError, one_line

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

FORMAT = "kernelscope.training"
FORMAT_VERSION = 3
SECONDS = 30  #: at the end of an epoch the state is written unless it was so few seconds ago


def state_path(out: str | os.PathLike[str]) -> Path:
    """Where the state of a run that will write ``out`` lies: beside it."""
    return Path(out).with_name(f"{Path(out).name}.state")


def state_of_search(state: Path, seed: int) -> Path:
    """Where a search before that run keeps the state of its students of one seed."""
    return state.with_name(f"{state.stem}.search-{seed}.state")


def is_searching(state: Path) -> bool:
    """Whether a run was interrupted while it searched, before it had a state of its own."""
    return not state.exists() and any(_searches(state))


def forget_searches(state: Path) -> None:
    """Remove what the searches before that run kept."""
    for path in _searches(state):
        path.unlink(missing_ok=True)


def _searches(state: Path) -> Iterator[Path]:
    return state.parent.glob(f"{glob.escape(state.stem)}.search-*.state")


def require_fresh(path: Path) -> None:
    """Stop if an interrupted run lies there, so that it is neither lost nor taken up unasked.

    Raises:
        UsageError: it does.
    """
    if path.exists():
        raise UsageError(f"{path} holds an interrupted run; pass --resume to go on, or --overwrite to begin anew")


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the state at ``path``.

    Raises:
        ResourceError: the disk is full, or fails; the state from before is still there.
    """
    document = {"format": FORMAT, "format_version": FORMAT_VERSION, **state}
    files.write_by(path, lambda stream: torch.save(document, stream))


def load(path: Path, expected: dict[str, Any]) -> dict[str, Any]:
    """The state at ``path`` of the run that ``expected`` describes.

    Args:
        expected: ``recipes``, a list of ``Recipe.decisive()``, ``teacher_sha256`` and ``order_sha256``.

    Raises:
        UnreadableInput: there is none, or it is damaged.
        Mismatch: it is of another run, naming the first difference.
    """
    state = _read(path)
    _require_same(path, state["run"], expected)
    return state


def _read(path: Path) -> dict[str, Any]:
    files.require_readable(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        known = state["format"], state["format_version"]
        parts = {key: state["run"][key] for key in ("recipes", "teacher_sha256", "order_sha256")}
        choices = {method: Choice(**choice) for method, choice in state["choices"].items()}
    except Exception as error:  # whatever a damaged file does to the reader is the file's fault
        raise files.not_read(path, error, "delete it and train again") from error
    if known != (FORMAT, FORMAT_VERSION):
        raise UnreadableInput(f"{path} is no training state of this version; delete it and train again")
    return {**state, "run": parts, "choices": choices}


def choices(path: Path) -> dict[str, Choice]:
    """What a search had chosen before the run whose state lies at ``path``.

    Raises:
        UnreadableInput: there is no state, or it is damaged.
    """
    found: dict[str, Choice] = _read(path)["choices"]
    return found


def _require_same(path: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    fix = "resume with the same recipe, or pass --overwrite without --resume"
    if len(found["recipes"]) != len(expected["recipes"]):
        raise Mismatch(f"{path} is of {len(found['recipes'])} students, not {len(expected['recipes'])}; {fix}")
    for then, now in zip(found["recipes"], expected["recipes"]):
        for key in now:
            if then.get(key) != now[key]:
                values = f"{one_line(str(then.get(key)), 40)}, not {one_line(str(now[key]), 40)}"
                raise Mismatch(f"{path.name} was begun with {key} {values}; {fix}")
    for key, what in (("teacher_sha256", "another teacher"), ("order_sha256", "other examples")):
        if found[key] != expected[key]:
            raise Mismatch(f"{path} was begun with {what}; {fix}")
