"""README and the pages of Start are read by people who are new: no sentence has more than 30 words."""

import re

import pytest

from tests.docs.blocks import ROOT

START = ("install", "first_arrays", "first_checkpoints")
PAGES = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in START)]
MOST_WORDS = 30


def sentences(text: str) -> list[str]:
    """Of running text: without code blocks, tables, headings, figures and comments; code and links are a word each."""
    text = re.sub(r"^ *```.*?^ *```$|<!--.*?-->|<picture>.*?</picture>", "\n\n", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^(#|\||!\[).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"`[^`]*`", "code", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    paragraphs = re.split(r"\n\s*\n|^\s*(?:[*-]|\d+\.) ", text, flags=re.MULTILINE)
    return [s for part in paragraphs for s in re.split(r"(?<=[.!?])[*)]*\s+", " ".join(part.split())) if s]


def too_long(text: str) -> list[str]:
    return [s for s in sentences(text) if len(re.findall(r"\w[\w'’-]*", s)) > MOST_WORDS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_sentence_of_the_first_pages_is_long(page):
    assert too_long(page.read_text()) == []


@pytest.mark.parametrize(("words", "long"), [(30, 0), (31, 1)])
def test_a_sentence_of_31_words_is_seen(words, long):
    assert len(too_long(f"Short. {' '.join(['word'] * words)}. Short.")) == long


def test_the_readme_is_one_screen():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 75
