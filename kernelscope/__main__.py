"""``python -m kernelscope``."""

from kernelscope.cli.main import main

if __name__ == "__main__":
    main()
