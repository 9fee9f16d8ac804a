"""``kernelscope`` and ``python -m kernelscope``; imports nothing before there is somewhere for a Ctrl-C to end."""

import os
import sys


def main() -> None:
    """Run the command line; it imports for a while before it can print its own line."""
    try:
        # where -W or PYTHONWARNINGS say nothing; help runs no library
        if not sys.warnoptions and not {"--help", "-h", "--version"} & set(sys.argv):
            _keep_libraries_quiet()
        from kernelscope.cli.main import main as command_line

        command_line()
    except KeyboardInterrupt:
        print("kernelscope: error: interrupted; nothing was begun", file=sys.stderr, flush=True)
        os._exit(130)  # after a bare KeyboardInterrupt in an exec, as of a namedtuple, Python would kill itself


def _keep_libraries_quiet() -> None:
    """What libraries warn and log is for those who program with them; what a user must know stands in our output."""
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())


if __name__ == "__main__":
    main()
