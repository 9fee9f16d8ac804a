"""Classes by what they carry of the difference, in every order that a page can put them in."""

import re
from dataclasses import replace

from kernelscope.rendering.class_table import class_tables
from kernelscope.rendering.page import template
from kernelscope.report.digits import percent
from kernelscope.report.fields import Classes
from tests.report.sample_reports import bare_report, full_report, with_pair

LOSS = ((0.1, 0.05, 0.0), (0.05, 0.5, 0.1), (0.0, 0.1, 0.1))


def table():
    report = full_report()
    return class_tables(with_pair(report, 0, classes=Classes(("a", "b", "c"), LOSS, (20, 10, 70))))[0]


def test_each_class_stands_with_its_shares_and_its_place_in_every_order():
    found = table()
    assert found.columns[:4] == ("of the difference", "of the rows", "times its share", "within the class")
    assert [name for name, *_ in found.rows] == ["b", "c", "a"]
    assert found.rows[0][1][:4] == ("65.0%", "10.0%", "6.50×", "50.0%")
    assert {name: places for name, _, places in found.rows}["c"][:4] == (1, 0, 2, 2)
    assert [places[-1] for *_, places in found.rows] == [1, 2, 0]


def test_without_sizes_there_is_no_share_of_the_rows():
    report = full_report()
    (first, *_) = class_tables(with_pair(report, 0, classes=Classes(("a", "b", "c"), LOSS)))
    assert "of the rows" not in first.columns and first.rows[0][1][0] == percent(0.65)


def test_flips_go_to_their_class_by_name_and_are_missing_where_there_are_none():
    report = full_report()
    at = next(i for i, pair in enumerate(report) if pair.outputs is not None)
    outputs = report.pairs[at].outputs
    flips = replace(outputs.flips, classes=tuple(reversed(outputs.flips.classes[:9])))
    found = class_tables(with_pair(report, at, outputs=replace(outputs, flips=flips)))
    student = [each for each in found if each.student == report.pairs[at].student.removeprefix("out/")]
    cells = {name: cells for name, cells, _ in student[0].rows}
    assert student[0].columns[-2:] == ("right to wrong", "wrong to right")
    assert cells["0"][-2:] == ("0.0%", "2.2%") and cells["9"][-2:] == ("–", "–")


def test_a_report_without_classes_has_no_table():
    assert class_tables(bare_report()) == []


def test_every_order_has_a_choice_and_a_rule_of_the_styles():
    html = template("class_table.html.j2").render(class_tables=class_tables(full_report()))
    styles = template("class_table.css.j2").render()
    values = set(re.findall(r'type="radio" name="sort-1" value="(\w+)"', html))
    assert values == {*map(str, range(len(class_tables(full_report())[0].columns))), "class"}
    assert values - {"0"} <= set(re.findall(r'\[value="(\w+)"\]:checked', styles))
    assert html.count(" checked>") == len(class_tables(full_report()))
