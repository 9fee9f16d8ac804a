"""Stand-ins for files that pages name, and the site, each made once for all workers."""

import os
import subprocess
import sys

import pytest
from filelock import FileLock

from tests.docs import stand_ins
from tests.docs.blocks import ROOT


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id):
    """A folder that all workers of this session see."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def made(shared, little):
    """A folder with a small file of every kind that pages name."""
    folder = shared / "stand_ins"
    with FileLock(shared / "stand_ins.lock"):
        if not folder.exists():
            stand_ins.make(folder, little / "teacher.pt", little / "student.pt")
    return folder


@pytest.fixture(scope="session")
def site(shared):
    """The site as ``make docs`` builds it, with no way to the network."""
    folder = shared / "site"
    with FileLock(shared / "site.lock"):
        if not (folder / "index.html").exists():
            words = [
                sys.executable,
                "-m",
                "mkdocs",
                "build",
                "--strict",
                "--site-dir",
                str(folder),
            ]  # quiet would count no warning
            nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
            done = subprocess.run(
                words, cwd=ROOT, env={**os.environ, **nowhere}, capture_output=True, text=True, timeout=120
            )
            assert done.returncode == 0, done.stdout + done.stderr
    return folder
