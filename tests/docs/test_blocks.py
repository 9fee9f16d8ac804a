"""Every block of code on a page runs, in order and in one folder, or a comment above it says why it does not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kernelscope.cli.main import VERBS, kernelscope
from tests.docs.blocks import CODE, PAGES, blocks


def named(page):
    return page.stem


RUNNING = [page for page in PAGES if any(b.language in ("python", "console") and not b.reason for b in blocks(page))]


@pytest.fixture
def folder(run, made, tmp_path, monkeypatch):
    """A folder with a file of every kind that pages name; modules that lie in it are forgotten afterwards."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("KERNELSCOPE_CACHE", str(made.parent / "cache"))  # pages share networks and data
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("page", RUNNING, ids=named)
def test_the_code_of_a_page_runs_in_its_order(page, folder, run):
    namespace: dict = {"__name__": "page"}
    for block in blocks(page):
        if block.language == "python" and block.title:
            Path(block.title).write_text(block.text)
        elif block.language == "python":
            exec(compile("\n" * block.line + block.text, str(page), "exec"), namespace)
        elif block.language == "console" and not block.reason:
            *before, last = [called(words, run) for words in block.commands]
            assert set(before) <= {0} and last == block.exit_code, f"{page.name}:{block.line}"


def called(words, run):
    """The exit code of one command; what ``kernelscope demo`` leaves is there already, and pages are not drawn."""
    assert words[0] == "kernelscope", f"{words[0]} needs a reason not to run"
    if words[1] in ("demo", "report"):
        return 0
    drawn = words.index("--html") if "--html" in words else len(words)  # seconds for each; tests/rendering has one
    if "--max-memory" in words:  # of a process of its own: a test's worker may have more already
        return subprocess.run([sys.executable, "-m", *words], capture_output=True).returncode
    code, _, err = run(*words[1:drawn], *words[drawn + 2 :])
    print(err)
    return code


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_code_that_does_not_run_has_a_reason(page):
    bare = [
        f"{page.name}:{block.line}"
        for block in blocks(page)
        if block.language in CODE - {"python", "console"} and not block.reason
    ]
    assert not bare
    assert all(len(block.reason) > 5 for block in blocks(page) if block.reason is not None)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_that_are_not_run_name_real_verbs_and_options(page):
    lines = [words for block in blocks(page) if block.language == "console" for words in block.commands]
    for words in (words[words.index("kernelscope") + 1 :] for words in lines if "kernelscope" in words):
        assert words[0] in VERBS, words
        offered = CliRunner().invoke(kernelscope, [words[0], "--help"]).output
        for option in (word.split("=")[0] for word in words if word.startswith("--") and word != "--colour"):
            assert option in offered, f"kernelscope {words[0]} has no {option}"
