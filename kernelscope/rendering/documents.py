"""Writes the tables of columns and figures into the documents, so that these cannot drift from the program."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kernelscope.files import write_text
from kernelscope.rendering.plots.kinds import KINDS
from kernelscope.report.columns import LOSS_COLUMNS, THEORY_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def columns() -> str:
    """Every column of both tables, what it is, and what follows from it."""
    rows = [(c.name, f"{c.meaning}.{f' {c.advice}' if c.advice else ''}") for c in (*LOSS_COLUMNS, *THEORY_COLUMNS)]
    return _table(("column", "what it is"), rows)


def figures() -> str:
    """Every kind of figure, its title, and the first line of its drawing function's docstring."""
    return _table(
        ("kind", "title", "what it shows"),
        [(k.name, k.title, (k.draw.__doc__ or "").partition("\n")[0]) for k in KINDS.values()],
    )


#: what is written into which document, between the markers of that name
BLOCKS: dict[str, tuple[str, Callable[[], str]]] = {
    "columns": ("meaning.md", columns),
    "figures": ("report.md", figures),
}


def renewed(page: str, name: str) -> str:
    """The text of a document with the block of that name as the program has it."""
    begin, end = f"<!-- {name}: written by `make docs`, do not edit -->\n", f"<!-- end of {name} -->\n"
    before, found, rest = page.partition(begin)
    if not found or end not in rest:
        raise ValueError(
            f"the document has no block {name}; put {begin.strip()} and {end.strip()} where it should stand"
        )
    return f"{before}{begin}\n{BLOCKS[name][1]()}\n{end}{rest.partition(end)[2]}"


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    for block, (document, _) in BLOCKS.items():
        path = Path(sys.argv[1]) / document
        write_text(path, renewed(path.read_text(encoding="utf-8"), block))
