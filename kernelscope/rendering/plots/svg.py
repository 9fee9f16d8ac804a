"""A figure as an ``<svg>`` element fit to stand among others in a page.

Everything that depends on how matplotlib writes SVG stands here, and tests/rendering/plots/test_svg.py holds it to what
the installed version writes.
"""

from __future__ import annotations

import io
import re
from html import escape
from typing import TYPE_CHECKING

from kernelscope.errors import plain
from kernelscope.rendering.plots.canvas import VARIABLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TAG = re.compile(r"<[^>]+>")
REFERENCE = re.compile(r'(?:href="#|url\(#)([^")]+)')


def to_svg(figure: Figure, prefix: str, alt: str) -> str:
    """The figure as an ``<svg>`` element to stand among others in one page.

    No XML header, no date, no id that is not used, every id begins with ``prefix``, text is text in the page's font,
    and colours are the CSS variables ``--ks-*`` with the figure's own as a fallback. Two renderings are equal.
    """
    stream = io.StringIO()
    engine = figure.get_layout_engine()
    if engine is not None:  # once, here; savefig would draw the whole figure a second time for it
        engine.execute(figure)
        figure.set_layout_engine("none")
    empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(stream, format="svg", metadata=empty, facecolor="none")
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]  # without the XML header
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>\s*", "", svg, count=1, flags=re.DOTALL)
    used = dict.fromkeys(name for tag in TAG.findall(svg) for name in REFERENCE.findall(tag))
    names = {old: f"{prefix}-{number}" for number, old in enumerate(used)}
    svg = TAG.sub(lambda tag: _fit_for_a_page(tag[0], names), svg)
    head = f'<svg role="img" aria-label="{_attribute(alt)}" style="stroke-linejoin: round" '
    return head + svg.removeprefix("<svg ").strip() + "\n"


def _fit_for_a_page(tag: str, names: dict[str, str]) -> str:
    """One tag (never text, which may be a stranger's) with own ids, the page's font, and colours as variables."""
    tag = tag.replace("xlink:href=", "href=").replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    tag = re.sub(r"font-family: [^;\"]*;?\s*", "", tag)
    tag = re.sub(r' id="([^"]*)"', lambda m: f' id="{names[m[1]]}"' if m[1] in names else "", tag)
    tag = re.sub(r'(href="#|url\(#)([^")]+)', lambda m: m[1] + names[m[2]], tag)
    return re.sub(r"(?<=: )#[0-9a-f]{6}", _as_variable, tag)


def _as_variable(colour: re.Match[str]) -> str:
    name = VARIABLES.get(colour[0])
    return colour[0] if name is None else f"var(--ks-{name}, {colour[0]})"


def _attribute(text: str) -> str:
    return escape(plain(text), quote=True)
