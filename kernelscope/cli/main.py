"""``kernelscope VERB``: verbs load when they are called, and every error leaves through one printer."""

from __future__ import annotations

import importlib
import sys

import click

from kernelscope.cli import signals, streams
from kernelscope.errors import KernelscopeError, ResourceError, Stopped, one_line, write_options
from kernelscope.files import SCARCE, not_written

VERBS = {
    "demo": "kernelscope.cli.demo",
    "train": "kernelscope.cli.train",
    "extract": "kernelscope.cli.extract",
    "measure": "kernelscope.cli.measure",
    "audit": "kernelscope.cli.audit",
    "gate": "kernelscope.cli.gate",
    "pin": "kernelscope.cli.pin",
    "inspect": "kernelscope.cli.inspect",
    "match": "kernelscope.cli.match",
    "adapt": "kernelscope.cli.adapt",
    "blame": "kernelscope.cli.blame",
    "report": "kernelscope.cli.report",
    "reproduce": "kernelscope.cli.reproduce",
    "study": "kernelscope.cli.study",
}


#: what the dynamic linker says where there is no more memory, or no more descriptors
SCARCE_TO_LINKER = ("failed to map segment", "allocate memory", "Too many open files", "Error 24")


class Verbs(click.Group):
    """A group that imports a verb's module only when the verb is named, or listed in the help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(VERBS[cmd_name]).command
        return command


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="kernelscope", message="%(prog)s %(version)s")
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
