"""A hook of MkDocs: pages that stand at the top of the repository join the site, the README as its first page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

TOP = Path(__file__).parent.parent
PAGES = {"README.md": "index.md", "SECURITY.md": "SECURITY.md", "CONTRIBUTING.md": "CONTRIBUTING.md"}
PAGES["CHANGELOG.md"] = "CHANGELOG.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name, place in PAGES.items():
        files.append(File.generated(config, place, content=(TOP / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links and figures as they are seen from docs/."""
    if page.file.src_uri in PAGES.values():
        return re.sub(r'(\]\(|src="|srcset=")docs/', r"\1", markdown)
    return markdown.replace("](../SECURITY.md", "](SECURITY.md")
