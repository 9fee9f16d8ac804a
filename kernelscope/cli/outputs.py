"""What verbs leave: files, the table or one JSON document on stdout, progress on stderr."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernelscope.cli.streams import say_json

if TYPE_CHECKING:
    from pathlib import Path

    from kernelscope.cli.progress import ExtractionProgress
    from kernelscope.report.report import TransferReport


@dataclass(frozen=True)
class Outputs:
    """The output options of a verb that makes a report."""

    as_json: bool
    save: Path | None
    csv: Path | None
    html: Path | None
    overwrite: bool
    quiet: bool

    @classmethod
    def take(cls, given: dict[str, Any]) -> Outputs:
        """Remove the output options from ``given``; refuse files that exist, before any work."""
        from kernelscope.files import refuse_existing

        found = cls(**{name: given.pop(name) for name in cls.__dataclass_fields__})
        refuse_existing(*found.files, overwrite=found.overwrite)
        return found

    @property
    def files(self) -> list[Path]:
        return [path for path in (self.save, self.csv, self.html) if path is not None]

    def require_none(self, option: str) -> None:
        """Refuse files beside an option that makes no report.

        Raises:
            UsageError: naming both.
        """
        from kernelscope.errors import UsageError

        if self.files:
            raise UsageError(f"{option} makes no report to write to {self.files[0]}; drop one of the two")

    def write(self, report: TransferReport, *, table: bool = True, paper: bool = False) -> None:
        """Write the files asked for, then the JSON, or the table (with ``paper`` that of its theory) on stdout."""
        from kernelscope.files import write_text

        if self.save is not None:
            report.save(self.save)
        if self.csv is not None:
            report.to_csv(self.csv)
        if self.html is not None:
            write_text(self.html, report.to_html())
        if self.as_json:
            say_json(report.to_json())
        elif table:
            from kernelscope.rendering.table import show

            show(report, paper=paper)


def extraction_progress(quiet: bool) -> ExtractionProgress | None:
    """Progress of extraction on stderr; None where it is unwanted or stderr is no terminal."""
    if quiet or not sys.stderr.isatty():
        return None
    from kernelscope.cli.progress import ExtractionProgress

    return ExtractionProgress()
