"""Writes docs/cli.md from the commands' own help, so that the page cannot drift from the program."""

from __future__ import annotations

import sys

import click

from kernelscope.cli.main import VERBS, kernelscope
from kernelscope.cli.topics import EXIT_CODES
from kernelscope.files import write_text

INTRODUCTION = """# Command line

Written by `make docs` from the commands' own `--help`; do not edit.

stdout holds the result only; progress and logs go to stderr. An error is one line,
`kernelscope: error: WHAT WHERE; FIX`.

| exit code | meaning |
|---|---|
"""


def reference() -> str:
    """The whole page as Markdown."""
    top = click.Context(kernelscope, info_name="kernelscope", **kernelscope.context_settings)
    parts = [INTRODUCTION + "".join(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES)]
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
