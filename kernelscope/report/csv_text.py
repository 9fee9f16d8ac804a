"""Records as CSV that a spreadsheet shows and does not run: names in a report may be a stranger's."""

from __future__ import annotations

import csv
import io
import unicodedata
from typing import TYPE_CHECKING

from kernelscope.errors import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernelscope.report.document import Scalar

FORMULA = frozenset("=+-@")  #: what a spreadsheet takes for the beginning of a formula, in full width as well
SKIPPED = frozenset("\"'`\u2018\u2019\u201c\u201d")  #: and what it may overlook before that, as it does spaces


def csv_text(records: Sequence[Mapping[str, Scalar]]) -> str:
    """A header line of all keys, and a line of each record; text is made safe, numbers stay as they are."""
    stream = io.StringIO()
    keys = list(dict.fromkeys(key for record in records for key in record))
    writer = csv.writer(stream)
    writer.writerow([safe_text(key) for key in keys])
    for record in records:
        cells = (record.get(key) for key in keys)
        writer.writerow([safe_text(cell) if isinstance(cell, str) else cell for cell in cells])
    return stream.getvalue()


def safe_text(text: str) -> str:
    """The text without control and other invisible characters, behind an apostrophe if it could be a formula."""
    kept = next((c for c in text if c.isprintable() and c != " " and c not in SKIPPED), "")
    # a full-width or small sign is an ordinary one to a spreadsheet
    is_formula = text[:1] in ("\t", "\r", "\n") or unicodedata.normalize("NFKC", kept)[:1] in FORMULA
    return f"'{plain(text)}" if is_formula else plain(text)
