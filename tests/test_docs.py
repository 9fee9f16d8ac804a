"""The documents say what the program does."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import kernelscope as ks
from kernelscope.cli.main import VERBS, kernelscope
from kernelscope.cli.reference import reference

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_stands_in_the_reference(verb):
    result = CliRunner().invoke(kernelscope, [verb, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 4
    assert f"## kernelscope {verb}\n" in (ROOT / "docs" / "cli.md").read_text()


def test_the_command_reference_is_what_make_docs_writes():
    assert (ROOT / "docs" / "cli.md").read_text() == reference()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_documents_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", [*PAGES, *ROOT.glob("[CS]*.md")], ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    for name in re.findall(r"`((?:kernelscope|tests|benchmarks|docs|examples)/[\w/]+\.\w+)`", page.read_text()):
        made_up = "NAME" in name or "SUBJECT" in name or "VERB" in name or "what_it_claims" in name
        assert made_up or page.name == "CHANGELOG.md" or (ROOT / name).exists(), f"{page.name} names {name}"


def test_help_needs_no_torch():
    code = "import sys; from click.testing import CliRunner; from kernelscope.cli.main import kernelscope as k;"
    code += "assert CliRunner().invoke(k, ['--help']).exit_code == 0;"
    code += "assert not {'torch', 'numpy', 'matplotlib', 'rich'} & set(sys.modules), sorted(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_importing_the_front_door_takes_only_the_standard_library():
    code = "import sys; before = set(sys.modules); import kernelscope;"
    code += "new = {m for m in set(sys.modules) - before if m.partition('.')[0] not in sys.stdlib_module_names};"
    code += "assert new <= {'kernelscope', 'kernelscope.version'}, sorted(new)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_type_checkers_see_what_the_front_door_gives():
    tree = ast.parse(Path(ks.__file__).read_text())
    (typed,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: line.module for line in typed.body for alias in line.names}
    assert sorted([*seen, "__version__"]) == sorted(ks.__all__) == dir(ks)
    for name, module in seen.items():
        assert getattr(ks, name) is getattr(importlib.import_module(module), name), name


def test_a_name_the_front_door_lacks_is_told_with_those_it_has():
    with pytest.raises(AttributeError, match=r"no attribute 'mesure'; it has .*measure"):
        _ = ks.mesure
