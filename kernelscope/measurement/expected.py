"""What sums are to be of, as it was asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kernelscope.errors import Mismatch, UnreadableInput, UsageError, shown
from kernelscope.files import reading, require_readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelscope.features.shard_sums import ShardSums

LONGEST_LIST = 64 << 20  #: bytes of a file of fingerprints


class Expected:
    """What sums are to be of: so many rows, or the shards with these fingerprints.

    Args:
        asked: a number, a file with one fingerprint a line, or the fingerprints; None for whatever is there.
    """

    def __init__(self, asked: int | str | os.PathLike[str] | Sequence[str] | None) -> None:
        self.rows: int | None = None
        self.fingerprints: frozenset[str] = frozenset()
        if asked is None:
            return
        if isinstance(asked, int) or (isinstance(asked, (str, os.PathLike)) and str(asked).isdecimal()):
            self.rows = int(asked)  # type: ignore[arg-type]
        else:
            listed = _lines(Path(asked)) if isinstance(asked, (str, os.PathLike)) else list(asked)
            self.fingerprints = frozenset(map(str, listed))
        if self.rows is not None and self.rows < 1:
            raise UsageError(f"--expect {self.rows} is no number of rows; expect one at least")

    def require(self, sums: ShardSums) -> None:
        """Refuse sums that lack rows or shards, or have others.

        Raises:
            Mismatch: with what is there and what was expected.
        """
        if self.rows is not None and self.rows != sums.n:
            raise Mismatch(
                f"{len(sums.shards)} shards have {sums.n:,} rows, expected {self.rows:,}; add the missing ones, or "
                "correct --expect"
            )
        if not self.fingerprints:
            return
        if missing := sorted(self.fingerprints - {shard.fingerprint for shard in sums.shards}):
            raise Mismatch(f"{len(missing)} shards are missing, the first is {missing[0][:80]}; add their sums")
        if other := [shard.name for shard in sums.shards if shard.fingerprint not in self.fingerprints]:
            raise Mismatch(f"shard {shown(other[0], 60)} is not among those expected; leave it out, or list it")


def _lines(path: Path) -> list[str]:
    path = require_readable(path)
    with reading(path):
        if path.stat().st_size > LONGEST_LIST:
            raise UnreadableInput(f"{shown(path)} is too long for a list of fingerprints; give one a line")
        found = path.read_text(encoding="utf-8", errors="replace").split()
    if not found:
        raise UnreadableInput(f"{shown(path)} lists no fingerprint; give one a line")
    return found
