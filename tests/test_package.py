"""What is released: the same bits each time, the whole repository as source, the package alone as a wheel."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import kernelscope

ROOT = Path(__file__).parent.parent
MOST_BYTES = 1_000_000  #: of the wheel


def built(folder: Path) -> dict[str, bytes]:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True, capture_output=True
    )
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    assert built(folder) == built(tmp_path_factory.mktemp("again"))
    return {path.suffix: path for path in folder.iterdir()}


def test_the_source_release_holds_every_file_of_the_repository(released):
    if not (ROOT / ".git").exists():
        pytest.skip("this is the source release itself")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    with tarfile.open(released[".gz"]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for name in tracked.split("\n") if (ROOT / name).is_file()} <= held


def test_the_wheel_holds_the_package_alone_and_every_file_of_it(released):
    with zipfile.ZipFile(released[".whl"]) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        metadata = archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()
    ours = [path for path in (ROOT / "kernelscope").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert set(names) == {str(path.relative_to(ROOT)) for path in ours}
    assert released[".whl"].stat().st_size < MOST_BYTES
    assert f"Version: {kernelscope.__version__}\n" in metadata and "Author: kernelscope developers\n" in metadata


def test_version_and_authors_are_the_same_wherever_they_stand():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {kernelscope.__version__}\n" in citation
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [author["name"] for author in project["authors"]] == ["kernelscope developers"]
    assert "name: kernelscope developers\n" in citation
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None and newest[1] in ("Unreleased", kernelscope.__version__)


def test_workflows_call_targets_that_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    called = [
        word
        for path in (ROOT / ".github" / "workflows").glob("*.yml")
        for words in re.findall(r"run: make (.*)", path.read_text(encoding="utf-8"))
        for word in words.split()
    ]
    assert called and set(called) <= targets
