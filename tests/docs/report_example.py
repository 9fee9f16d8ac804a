"""The report of eight examples, cut short, that stands in docs/formats.md: ``python -m tests.docs.report_example``."""

from __future__ import annotations

import json
import re

import numpy as np

import kernelscope as ks
from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "formats.md"
ONE_LINE = 420  #: characters up to which an object stands on one line


def example() -> dict:
    rng = np.random.default_rng(0)
    T, labels = rng.standard_normal((8, 3)), np.arange(8) % 2
    found = shortened(ks.measure(teacher=T, student=T[:, :2], labels=labels).to_dict())
    found["meta"] |= {"created": "2026-11-27T12:00:00+00:00", "python": "3.11.7", "numpy": "2.4.6"}
    return found


def shortened(value):
    """Lists cut to their first entry (pairs of numbers are intervals, and whole), numbers to four digits."""
    if isinstance(value, dict):
        return {key: shortened(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        interval = len(value) == 2 and all(isinstance(each, float) for each in value)
        return [shortened(each) for each in (value if interval else value[:1])]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def text(value: dict) -> str:
    """JSON with small lists and objects on a line each."""
    found = json.dumps(value, indent=1, ensure_ascii=False)
    found = re.sub(r"\[\s*([^\[\]{}]*?)\s*\]", lambda inner: f"[{_joined(inner[1])}]", found)
    return re.sub(
        r"\{\s*([^{}]*?)\s*\}",
        lambda inner: f"{{{_joined(inner[1])}}}" if len(inner[0]) < ONE_LINE else inner[0],
        found,
    )


def _joined(lines: str) -> str:
    return re.sub(r"\s*\n\s*", " ", lines)


def main() -> None:
    block = f"```json\n{text(example())}\n```"
    PAGE.write_text(re.sub(r"```json\n.*?\n```", lambda _: block, PAGE.read_text(), flags=re.DOTALL))


if __name__ == "__main__":
    main()
