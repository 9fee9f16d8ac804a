"""The documents' tables of columns and figures are the program's."""

from pathlib import Path

import pytest

from kernelscope.rendering.documents import BLOCKS, renewed

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", BLOCKS)
def test_the_documents_hold_what_make_docs_writes(name):
    page = (DOCS / BLOCKS[name][0]).read_text()
    assert page == renewed(page, name)


def test_only_the_block_is_written_anew():
    page = (DOCS / "meaning.md").read_text()
    stale = page.replace("| CKA | ", "| CKA | formerly ")
    assert stale != page
    assert renewed(stale, "columns") == page


def test_a_document_without_the_markers_is_refused():
    with pytest.raises(ValueError, match="has no block figures"):
        renewed("# A page\n", "figures")
