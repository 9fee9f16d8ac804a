"""The report on the page of file formats is what a measurement writes."""

import json

from tests.docs.blocks import blocks
from tests.docs.report_example import PAGE, example

(SHOWN,) = [json.loads(block.text) for block in blocks(PAGE) if block.language == "json"]


def keys(value, path="") -> set[str]:
    if isinstance(value, dict):
        named = {f"{path}.{key}": inner for key, inner in value.items()}
        return set(named).union(*(keys(inner, name) for name, inner in named.items()))
    return keys(value[0], f"{path}[]") if isinstance(value, list) and value else set()


def test_the_report_on_the_page_is_the_one_that_is_written():
    found = example()
    assert keys(SHOWN) == keys(found), "make docs writes docs/formats.md"
    (told,), (pair,) = SHOWN["pairs"], found["pairs"]
    for key in ("transfer_loss", "norm_teacher", "norm_student", "cka", "alignment"):
        assert abs(told[key] - pair[key]) < 1e-3 * abs(pair[key]), key
