"""Fenced blocks of a page, in their order, with what the line above says of how they run."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
#: languages of code; blocks without one show output or a form
CODE = {"python", "py", "console", "bash", "yaml", "toml", "json"}
_BLOCK = re.compile(
    r"(?:^<!-- (?P<said>[^\n]*?) -->\n)?^(?P<indent> *)```(?P<language>\w*)(?P<info>[^\n]*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """``said``: the comment on the line above, ``not run: REASON`` or ``exits with CODE``. ``title``: of its file."""

    language: str
    text: str
    said: str
    title: str | None
    line: int

    @property
    def reason(self) -> str | None:
        """Why it does not run, if it does not."""
        return self.said.removeprefix("not run: ") if self.said.startswith("not run: ") else None

    @property
    def exit_code(self) -> int:
        """Of its last command."""
        return int(self.said.rpartition(" ")[2]) if self.said.startswith("exits with ") else 0

    @property
    def commands(self) -> list[list[str]]:
        """Words of each command of a console block, without comments."""
        lines = re.findall(r"^\$ ((?:.*\\\n)*.*)$", self.text, re.MULTILINE)
        return [shlex.split(line.replace("\\\n", " "), comments=True) for line in lines]


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            found["language"],
            found["text"],
            found["said"] or "",
            title[1] if (title := re.search(r'title="([^"]*)"', found["info"])) else None,
            text.count("\n", 0, found.start()) + 1,
        )
        for found in _BLOCK.finditer(text)
    ]
