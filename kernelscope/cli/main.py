"""``kernelscope VERB``: verbs load when they are called, and every error leaves through one printer."""

from __future__ import annotations

import errno
import importlib
import signal
import sys

import click

from kernelscope.errors import KernelscopeError, Stopped, one_line

VERBS = {
    "demo": "kernelscope.cli.demo",
    "train": "kernelscope.cli.train",
    "extract": "kernelscope.cli.extract",
    "measure": "kernelscope.cli.measure",
    "audit": "kernelscope.cli.audit",
    "gate": "kernelscope.cli.gate",
    "inspect": "kernelscope.cli.inspect",
    "report": "kernelscope.cli.report",
}

INTERRUPTED, TERMINATED = 130, 143


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
    signal.signal(signal.SIGTERM, _terminate)
    try:
        result = kernelscope.main(args=arguments, prog_name="kernelscope", standalone_mode=False, obj=arguments)
    except BaseException as error:
        sys.exit(_report(error, debug="--debug" in arguments))
    sys.exit(result if isinstance(result, int) else 0)


def _report(error: BaseException, debug: bool) -> int:
    """Print ``error`` as a person needs it and return the exit code; a bug keeps its traceback."""
    if _Terminated.received:
        return TERMINATED
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    stopped = error.__cause__ if isinstance(error, click.Abort) else error  # click makes an Abort of any Ctrl-C
    if isinstance(stopped, Stopped):
        return _fail(str(stopped), stopped.exit_code)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return _fail("interrupted; what was finished stays", INTERRUPTED)
    if isinstance(error, BrokenPipeError):
        return 0
    if debug:
        _print_traceback(error)
    if isinstance(error, click.ClickException):
        return _fail(error.format_message().rstrip("."), 2)
    if isinstance(error, KernelscopeError):
        return _fail(str(error), error.exit_code)
    if isinstance(error, MemoryError):
        return _fail("out of memory; lower --batch-size or --max-memory, or use --limit", 7)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _fail(f"disk full at {error.filename or 'the output'}; free some space and run again", 7)
    if isinstance(error, PermissionError):
        return _fail(f"{error.filename} may not be written or read; check its permissions", 3)
    if not debug:
        _print_traceback(error)
    return 1


def _fail(message: str, code: int) -> int:
    print(one_line(f"kernelscope: error: {message}"), file=sys.stderr)
    return code


def _print_traceback(error: BaseException) -> None:
    import traceback

    traceback.print_exception(error)


class _Terminated(SystemExit):
    """SIGTERM came; whatever the code it came upon made of it, the program ends for that reason."""

    received = False


def _terminate(signal_number: int, frame: object) -> None:
    _Terminated.received = True
    raise _Terminated(TERMINATED)
