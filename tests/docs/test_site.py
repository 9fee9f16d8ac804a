"""The site builds without a network and with warnings as errors, has every public name, and asks for nothing."""

import html.parser
import re

import pytest
import yaml

import kernelscope as ks
from tests.docs.blocks import ROOT


class Asked(html.parser.HTMLParser):
    """What a browser would fetch as it opens the page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attributes):
        given = {name: value or "" for name, value in attributes}
        if tag in ("img", "script", "iframe", "source", "video"):
            self.addresses += [given[name] for name in ("src", "srcset") if name in given]
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload", "preconnect", "modulepreload"):
            self.addresses.append(given.get("href", ""))


def asked(path) -> list[str]:
    parser = Asked()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser.addresses


def test_no_page_of_the_site_asks_for_anything_outside(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 35
    outside = {address for page in pages for address in asked(page) if re.match(r"(https?:)?//", address)}
    assert outside == set()
    missing = [
        f"{page.name}: {address}"
        for page in pages
        if page.name != "404.html"
        for address in asked(page)
        if not address.startswith("data:") and not (page.parent / address.partition("?")[0].partition("#")[0]).exists()
    ]
    assert missing == []


def is_own(name: str, value: object) -> bool:
    return not name.startswith("_") and getattr(value, "__module__", None) == ks.metrics.__name__


def test_every_public_name_has_an_entry_in_the_reference(site):
    page = (site / "api.html").read_text(encoding="utf-8")
    names = {f"kernelscope.{name}" for name in ks.__all__ if name != "__version__"}
    names |= {f"kernelscope.losses.{name}" for name in ks.losses.__all__ if name != "LOSSES"}
    names |= {f"kernelscope.metrics.{name}" for name, each in vars(ks.metrics).items() if is_own(name, each)}
    assert {name for name in names if f'id="{name}"' not in page} == set()


def test_every_page_stands_in_the_navigation_once():
    text = (ROOT / "mkdocs.yml").read_text()
    listed = re.findall(r"\b(\w+\.md)$", text.partition("\nnav:")[2], flags=re.MULTILINE)
    assert len(listed) == len(set(listed))
    top = {"index.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"}
    assert set(listed) == {page.name for page in (ROOT / "docs").glob("*.md")} | top


@pytest.mark.parametrize("key", ["omitted_files", "absolute_links", "unrecognized_links", "anchors"])
def test_broken_links_and_anchors_stop_the_build(key):
    assert yaml.safe_load((ROOT / "mkdocs.yml").read_text())["validation"][key] == "warn"
