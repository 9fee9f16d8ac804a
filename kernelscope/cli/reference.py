"""Writes docs/cli.md from the commands' own help, so that the page cannot drift from the program."""

from __future__ import annotations

import sys

import click

from kernelscope.cli.main import VERBS, kernelscope
from kernelscope.files import write_text

INTRODUCTION = """# Command line

Written by `make docs` from the commands' own `--help`; do not edit.

stdout holds the result only; progress and logs go to stderr. An error is one line,
`kernelscope: error: WHAT WHERE; FIX`.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a bug in kernelscope |
| 2 | the call is wrong: unknown option, an output that exists |
| 3 | an input is missing, unreadable, corrupt or unsafe |
| 4 | the inputs do not match each other |
| 5 | numbers: NaN features, an all-zero teacher, a precision that was not reached |
| 6 | a gate failed |
| 7 | resources: disk, memory, a lock, a device, another process |
| 129, 130, 143 | hung up, interrupted, terminated |
"""


def reference() -> str:
    """The whole page as Markdown."""
    top = click.Context(kernelscope, info_name="kernelscope", **kernelscope.context_settings)
    parts = [INTRODUCTION]
    for verb in VERBS:
        command = kernelscope.get_command(top, verb)
        assert command is not None
        context = click.Context(
            command, info_name=verb, parent=top, max_content_width=100, terminal_width=100, color=False
        )
        parts.append(f"## kernelscope {verb}\n\n```\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    write_text(sys.argv[1], reference())
