"""What verbs leave: files, the table or one JSON document on stdout, progress on stderr."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernelscope.cli.streams import EveryMinute, say_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kernelscope.report.report import TransferReport


@dataclass(frozen=True)
class Outputs:
    """The output options of a verb that makes a report."""

    as_json: bool
    save: Path | None
    csv: Path | None
    html: Path | None
    card: Path | None
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
        return [path for path in (self.save, self.csv, self.html, self.card) if path is not None]

    def require_none(self, option: str) -> None:
        """Refuse files beside an option that makes no report.

        Raises:
            UsageError: naming both.
        """
        from kernelscope.errors import UsageError

        if self.files:
            raise UsageError(f"{option} makes no report to write to {self.files[0]}; drop one of the two")

    def require_table(self, option: str) -> None:
        """Refuse an option that adds to the tables where none is printed.

        Raises:
            UsageError: beside ``--json``.
        """
        from kernelscope.errors import UsageError

        if self.as_json:
            raise UsageError(f"{option} adds to the tables and --json prints none; drop one of the two")

    def write(self, report: TransferReport, *, table: bool = True, paper: bool = False, explain: bool = False) -> None:
        """Write the files asked for, then the JSON, or the tables on stdout (``paper``, ``explain`` as of ``show``)."""
        from kernelscope.files import write_text

        if self.save is not None:
            report.save(self.save)
        if self.csv is not None:
            report.to_csv(self.csv)
        if self.html is not None:
            write_text(self.html, report.to_html())
        if self.card is not None:
            write_text(self.card, report.card())
        if self.as_json:
            say_json(report.to_json())
        elif table:
            from kernelscope.rendering.table import show

            show(report, paper=paper, explain=explain)


def extraction_progress(quiet: bool) -> Callable[[str, int, int], None] | None:
    """Progress of extraction on stderr: a bar, or where that is no terminal a line a minute; None if unwanted."""
    if quiet:
        return None
    if not sys.stderr.isatty():
        line = EveryMinute()
        return lambda name, done, total: line(f"features of {name}: {done:,} of {total:,} examples")
    from kernelscope.cli.progress import ExtractionProgress

    return ExtractionProgress()
