"""``kernelscope`` and ``python -m kernelscope``; imports nothing before there is somewhere for a Ctrl-C to end."""

import sys


def main() -> None:
    """Run the command line; it imports for a while before it can print its own line."""
    try:
        from kernelscope.cli.main import main as command_line

        command_line()
    except KeyboardInterrupt:
        print("kernelscope: error: interrupted; nothing was begun", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
