"""``kernelscope VERB``: verbs load when they are called, and every error leaves through one printer."""

from __future__ import annotations

import importlib
import os
import sys

import click

from kernelscope.cli import signals, streams
from kernelscope.cli.topics import TOPICS
from kernelscope.errors import KernelscopeError, ResourceError, Stopped, one_line, write_options
from kernelscope.version import __version__

#: under each heading, the verbs with the line that the list of verbs has for them, so that it imports none of them
HEADINGS = {
    "Measure": {
        "measure": "How much of the teacher's kernel a student inherited, and what it means.",
        "gate": "Pass or fail on any number of the report, for CI jobs.",
        "audit": "Every claim of the paper on one pair: as printed, corrected, how tight.",
        "report": "Show a saved report again: table, page, CSV.",
        "inspect": "List what a checkpoint or feature file holds.",
        "extract": "Save the features of a network's layers.",
    },
    "Decide": {
        "match": "Which teacher layer for which student layer?",
        "blame": "Which layer of a compressed network broke it?",
        "adapt": "May the student query the teacher's index?",
        "pin": "Pin the rows of a release, so that a gate finds when it drifts.",
    },
    "Train": {
        "demo": "A teacher and three students on digits, trained and measured.",
        "train": "A teacher, a student, or several students side by side.",
        "study": "A grid of methods, architectures and seeds.",
        "reproduce": "The paper's students, its figures and tables, a verdict for each claim.",
    },
    "Help": {"help": f"Explain a topic: {', '.join(TOPICS)}."},
}
VERBS = {verb: f"kernelscope.cli.{verb}" for verbs in HEADINGS.values() for verb in verbs}
COMPLETION = "_KERNELSCOPE_COMPLETE"  #: set by the shell, see ``kernelscope help completion``


#: what the dynamic linker says where there is no more memory, or no more descriptors
SCARCE_TO_LINKER = ("failed to map segment", "allocate memory", "Too many open files", "Error 24")


class Verbs(click.Group):
    """A group that imports a verb's module only when the verb is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(VERBS[cmd_name]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, verbs in HEADINGS.items():
            with formatter.section(heading):
                formatter.write_dl(list(verbs.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="kernelscope", message="%(prog)s %(version)s")
def kernelscope() -> None:
    """How much of the teacher's kernel did the student inherit, where, and can the number be trusted?

    Start with `kernelscope demo`, or with two files of your own:
    `kernelscope measure --teacher t.pt --student s.pt`.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run a verb and exit with its code; errors a user can fix are one line on stderr."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signals.install()
    streams.install()
    write_options(True)
    try:
        code = _run(arguments)
        streams.flush()
    except BaseException as error:
        code = _report(error, debug="--debug" in arguments)
    write_options(False)
    signals.uninstall()
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """The verb's own exit code; not by click's ``main``, which has its own idea of signals and broken pipes."""
    if instruction := os.environ.get(COMPLETION):
        from click.shell_completion import shell_complete

        return shell_complete(kernelscope, {}, "kernelscope", COMPLETION, instruction)
    try:
        with kernelscope.make_context("kernelscope", list(arguments), obj=arguments) as context:
            result = kernelscope.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    return result if isinstance(result, int) else 0


def _report(error: BaseException, debug: bool) -> int:
    """Print ``error`` as a person needs it and return the exit code; a bug keeps its traceback."""
    if isinstance(error, Stopped):
        return _fail(str(error), error.exit_code)
    if (code := signals.exit_code(error)) is not None:
        return _fail(f"{signals.NAMES[code]}; what was finished stays", code)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if debug:
        _print_traceback(error)
    if isinstance(error, click.ClickException):
        return _fail(error.format_message().rstrip("."), 2)
    if isinstance(error, KernelscopeError):
        return _fail(str(error), error.exit_code)
    if isinstance(error, MemoryError):
        return _fail("out of memory; lower --batch-size or --max-memory, or use --limit", 7)
    if (failed := _failed_disk(error)) is not None:
        return _fail(str(failed), failed.exit_code)
    if not debug:
        _print_traceback(error)
    return 1


def _failed_disk(error: BaseException) -> KernelscopeError | None:
    """What an error of the system is told as, also where an import made another of it; None for a bug.

    Files of strangers have doors of their own, so that it is one of ours, or an output.
    """
    from kernelscope.files import SCARCE, not_written

    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.errno in SCARCE:
            return not_written(found.filename or "a file", found)
        if isinstance(found, ImportError) and any(words in str(found) for words in SCARCE_TO_LINKER):
            return ResourceError(
                f"a library cannot be loaded ({one_line(str(found)[-70:])}); free memory and open files"
            )
        found = found.__cause__ or found.__context__
    if isinstance(error, OSError) and error.errno is not None:
        return not_written(error.filename or "the output", error)
    return None


def _fail(message: str, code: int) -> int:
    print(one_line(f"kernelscope: error: {message}"), file=sys.stderr)
    return code


def _print_traceback(error: BaseException) -> None:
    import traceback

    traceback.print_exception(error)
