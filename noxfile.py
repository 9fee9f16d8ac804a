"""The tests on every supported Python, and on the oldest dependencies that are allowed: ``nox``, or ``nox -s oldest``.

What CI runs is ``make check test`` on one Python with pinned versions; this is for a maintainer before a release.
"""

import re
from pathlib import Path

import nox

nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "venv"
PYTHONS = ["3.11", "3.12", "3.13"]
PYTEST = ("python", "-m", "pytest", "-n", "2", "-m", "not long")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests with the pinned versions of constraints.txt."""
    session.install("-c", "constraints.txt", ".[test,docs]")
    session.run(*PYTEST, *session.posargs, env=ONE_THREAD)


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """All tests with the oldest versions that pyproject.toml allows."""
    text = Path("pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    pinned = [f"{name}=={version}" for name, version in re.findall(r'"([\w-]+)>=([\d.]+)"', block[1])]
    session.install(*pinned, ".[test,docs]")
    session.run(*PYTEST, *session.posargs, env=ONE_THREAD)
