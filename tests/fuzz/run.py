"""``python -m tests.fuzz.run TARGET SECONDS [FOLDER]``: a reader under atheris, from seeds that ``targets.py`` makes.

What it finds lies in FOLDER as ``crash-…``, ``timeout-…`` or ``oom-…``; the corpus that it learnt lies there too.
"""

import re
import sys
import tempfile
import warnings
from pathlib import Path

from kernelscope.errors import KernelscopeError

CODES = {3, 4, 5}  #: a few bytes are no lack of memory (7), and no bug (1)
SECONDS, MEGABYTES = 20, 3_000  #: for one file


def read(target, content: bytes, folder: Path) -> int:
    """The exit code that the reading of these bytes ends with; any other exception is a finding."""
    path = folder / f"file{target.suffix}"
    path.write_bytes(target.wrapped(content))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            target.read(path)
    except KernelscopeError as error:
        message = str(error)
        assert error.exit_code in CODES and message.isprintable(), message
        assert len(message.replace(str(folder), "")) <= 300, message
        return error.exit_code
    return 0


def main(name: str, seconds: str, folder: str | None = None) -> None:
    import atheris

    followed = re.compile(r"kernelscope(\.|$)")
    for module in [module for module in sys.modules if followed.match(module) and module != "kernelscope"]:
        del sys.modules[module]
    with atheris.instrument_imports(include=["kernelscope", "tests.fuzz"]):
        from tests.fuzz import run, targets

    target = targets.TARGETS[name]
    place = Path(folder or tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    corpus, found = place / "corpus", place / "found"
    for each in (corpus, found):
        each.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as scratch:
        options = [
            f"-max_total_time={seconds}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}", "-max_len=40000",
            f"-artifact_prefix={found}/", "-print_final_stats=1", "-verbosity=0", str(corpus),
        ]  # fmt: skip
        atheris.Setup([name, *options], lambda content: run.read(target, content, Path(scratch)))
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
