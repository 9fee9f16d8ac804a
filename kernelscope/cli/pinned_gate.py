"""``gate --pinned``: a release against the rows that an earlier one was pinned by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernelscope.cli.outputs import extraction_progress
from kernelscope.cli.streams import say, say_json
from kernelscope.errors import GateFailed, UsageError

if TYPE_CHECKING:
    from pathlib import Path

TAKEN = ("at_most", "at_least", "data", "split", "skip_unreadable", "preprocess", "device", "seed", "batch_size")
#: options of ``gate`` that are heeded beside ``--pinned``
BESIDE_PINNED = (
    *TAKEN,
    *("pinned", "student", "student_arch", "student_arch_kwargs"),
    *("json", "as_json", "save", "junit", "overwrite", "quiet", "debug", "help"),
)


def gate_pinned(given: dict[str, Any]) -> None:
    """Print what changed most.

    Raises:
        GateFailed: it drifted.
    """
    from kernelscope.files import refuse_existing
    from kernelscope.measurement.drift import drift
    from kernelscope.measurement.students import matched
    from kernelscope.report.junit import write_junit

    save, report_file = given["save"], given["junit"]
    refuse_existing(*(path for path in (save, report_file) if path is not None), overwrite=given["overwrite"])
    found = drift(
        pinned=given["pinned"],
        student=_only([each for text in given["student"] for each in matched(text)]),
        student_arch=given["student_arch"],
        student_arch_kwargs=given["student_arch_kwargs"],
        progress=extraction_progress(given["quiet"]),
        **{name: given[name] for name in TAKEN},
    )
    if save is not None:
        found.save(save)
    if report_file is not None:
        write_junit(report_file, found.judged)
    if given["as_json"]:
        say_json(found.to_json())
    for line in str(found).splitlines() if found.drifted or not (given["as_json"] and given["quiet"]) else ():
        say(line, err=given["as_json"])
    if found.drifted:
        failed = sum(each.failure is not None for each in found.judged)
        where = "above" if given["as_json"] else "on stdout"
        raise GateFailed(f"{failed} of {len(found.judged)} gates failed; they stand {where}")


def _only(students: list[Path]) -> Path:
    if len(students) != 1:
        raise UsageError(f"{len(students)} students, and one is held against pinned rows; pass --student once")
    return students[0]
