"""Pointers into docs/theory.md lead to a section, and that page's own references lead somewhere."""

import importlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelscope.kernels.nystrom.bounds import NAMES

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "theory.md").read_text()
SECTIONS = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?) \S", PAGE, flags=re.MULTILINE))
POINTER = re.compile(r"docs/theory\.md\s+(\d+(?:\.\d+)*)")
MENTION = re.compile(r"docs/theory\.md(?!\s+\d)")
#: how sections of a page outside the repository were cited
ELSEWHERE = re.compile(r"\bTHEORY(?:\.md)?\s+[A-E]\b|\bTHEORY\.md\b|\b[A-E]\.\d+[a-z]?\b")


def sources() -> Iterator[Path]:
    for folder in ("kernelscope", "tests", "benchmarks", "examples"):
        yield from sorted((ROOT / folder).rglob("*.py"))
    yield from sorted((ROOT / "docs").rglob("*.md"))


def dangling(text: str) -> list[str]:
    return [number for number in POINTER.findall(text) if number not in SECTIONS]


def test_every_pointer_leads_to_a_section():
    found = {str(path.relative_to(ROOT)): text for path in sources() if POINTER.search(text := path.read_text())}
    assert len(found) > 25
    wrong = [f"{path}: docs/theory.md {number}" for path, text in found.items() for number in dangling(text)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("text", "expected"), [("docs/theory.md 3.2", []), ("see docs/theory.md\n 99.1)", ["99.1"])])
def test_a_pointer_to_no_section_is_seen(text, expected):
    assert dangling(text) == expected


def test_docstrings_name_the_section():
    own = Path(__file__)
    vague = [
        str(path) for path in sources() if path.suffix == ".py" and path != own and MENTION.search(path.read_text())
    ]
    assert not vague


def test_nothing_points_to_a_page_that_is_not_here():
    own = Path(__file__)
    wrong = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in sources()
        if path != own
        for match in ELSEWHERE.finditer(path.read_text())
    ]
    assert not wrong, "\n".join(wrong)


def test_sections_are_numbered_in_order():
    numbers = [tuple(map(int, n.split("."))) for n in re.findall(r"^#{2,3} (\d+(?:\.\d+)?) ", PAGE, flags=re.MULTILINE)]
    assert len(re.findall(r"^#{2,3} ", PAGE, flags=re.MULTILINE)) == len(numbers)
    for before, after in itertools.pairwise(numbers):
        assert after in ((before[0] + 1,), (*before, 1), (before[0], (0, *before)[-1] + 1)), (before, after)


def test_sections_that_the_page_names_are_there():
    named = re.findall(r"[Ss]ection (\d+\.\d+)|\((\d\.\d)\)|\bof (\d\.\d)\b", PAGE)
    numbers = {number for match in named for number in match if number}
    assert len(numbers) > 10
    assert numbers <= SECTIONS


@pytest.mark.parametrize(
    ("cited", "defined"), [(r"\bCE\d\w?", r"^\* \*\*(CE\d\w?)\*\*"), (r"\bF\d\b", r"^\* \*\*(F\d)\*\*")]
)
def test_facts_and_counterexamples_that_are_cited_are_stated(cited, defined):
    stated = re.findall(defined, PAGE, flags=re.MULTILINE)
    assert len(stated) == len(set(stated)) > 2
    assert set(re.findall(cited, PAGE)) == set(stated)


def test_every_counterexample_is_a_test():
    tests = (ROOT / "tests" / "kernels" / "nystrom" / "test_counterexamples.py").read_text()
    for name in re.findall(r"^\* \*\*(CE\d\w?)\*\*", PAGE, flags=re.MULTILINE):
        assert f"def test_{name.lower()}_" in tests, name


def test_code_and_files_that_the_page_names_are_there():
    for path in re.findall(r"`((?:tests|benchmarks|examples)/[\w/.]*)`", PAGE):
        assert (ROOT / path).exists(), path
    names = re.findall(r"`(kernels\.[\w.]+)`", PAGE)
    assert len(names) > 4
    for name in names:
        try:
            importlib.import_module(f"kernelscope.{name}")
        except ModuleNotFoundError:
            module, _, function = name.rpartition(".")
            assert callable(getattr(importlib.import_module(f"kernelscope.{module}"), function)), name


def test_every_bound_has_a_row_in_the_table_of_bounds():
    table = PAGE.partition("### 4.6")[2].partition("\n### ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == list(NAMES)
