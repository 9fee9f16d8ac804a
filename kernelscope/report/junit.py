"""JUnit XML: one suite, one case for each gate, as CI systems show them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from kernelscope import files
from kernelscope.errors import encodable, plain

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from kernelscope.report.gates import Judged


def junit(judged: Sequence[Judged]) -> str:
    """The gates as XML: the pair or check as the class's name, what failed as the failure's message."""
    failed = sum(each.failure is not None for each in judged)
    counts = {"tests": str(len(judged)), "failures": str(failed), "errors": "0"}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": "kernelscope gate", **counts})
    for each in judged:
        case = ElementTree.SubElement(suite, "testcase", {"classname": _text(each.where), "name": _text(each.gate)})
        if each.failure is not None:
            ElementTree.SubElement(case, "failure", {"message": _text(each.failure)})
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def write_junit(path: str | os.PathLike[str], judged: Sequence[Judged]) -> None:
    """Write them, whole or not at all.

    Raises:
        ResourceError, UsageError: the disk fails, or ``path`` is a folder.
    """
    files.write_text(path, junit(judged))


def _text(given: str) -> str:
    """Without what XML has no place for: control characters and lone surrogates."""
    return plain(encodable(given))
