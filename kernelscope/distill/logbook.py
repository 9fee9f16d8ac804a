"""A log of records, one line of JSON each, that a run may be killed in the middle of and go on with."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelscope import files
from kernelscope.errors import ResourceError, UsageError, one_line

if TYPE_CHECKING:
    import os


class Logbook:
    """Appends to a file, which is made at once; a last line that a crash broke off is cut.

    Raises:
        UsageError: it cannot be written, or holds something else.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._waiting: list[str] = []
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and not self.path.is_file():
                raise UsageError(f"log {one_line(str(path), 100)} is not a regular file; choose another path")
            with self.path.open("a+b") as stream:
                stream.seek(0)
                self._mend(stream)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise UsageError(
                f"log {one_line(str(path), 100)} cannot be written ({reason}); choose another path"
            ) from error

    def _mend(self, stream: Any) -> None:
        content = stream.read()
        whole, newline, rest = content.rpartition(b"\n")
        first = content.partition(b"\n")[0]
        if (newline and not _is_record(first)) or (rest and not newline and not rest.startswith(b'{"step":')):
            raise UsageError(
                f"log {one_line(str(self.path), 100)} holds something else than a probe's records; choose another path"
            )
        if rest and _is_record(rest):
            stream.write(b"\n")
        elif rest:
            stream.truncate(len(whole) + len(newline))

    def add(self, record: dict[str, Any]) -> None:
        """Write a record. Training is worth more than its log: what cannot be written is warned of, and tried again."""
        self._waiting.append(json.dumps(record, allow_nan=False))
        try:
            while self._waiting:
                files.append_line(self.path, self._waiting[0])
                del self._waiting[0]
        except ResourceError as error:
            warnings.warn(f"{error}; {len(self._waiting)} records wait", RuntimeWarning, stacklevel=4)


def plain(value: object) -> Any:
    """``value`` as JSON has it: what is no finite number is None."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def _is_record(line: bytes) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and {"step", "layers"} <= set(record)
