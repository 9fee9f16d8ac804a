"""What a forward pass tells of one layer that a reader of its numbers must know: a note, or with a code a warning."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True)
class Remark:
    """``layer: text``, and the code of a warning in brackets behind; so it stands among the notes of features."""

    layer: str
    text: str
    code: str = ""

    def __str__(self) -> str:
        return f"{self.layer}: {self.text}{f' [{self.code}]' if self.code else ''}"

    @classmethod
    def read(cls, note: str, layers: Collection[str]) -> Remark | None:
        """The remark that a note is, if it is one on any of these layers."""
        layer = max((layer for layer in layers if note.startswith(f"{layer}: ")), key=len, default=None)
        if layer is None:
            return None
        text = note[len(layer) + 2 :]
        coded = re.fullmatch(r"(.*) \[([a-z-]+)\]", text, re.DOTALL)
        return cls(layer, coded[1], coded[2]) if coded else cls(layer, text)
