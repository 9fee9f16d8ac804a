"""Every column has one heading, one cell per pair and one meaning, and terminal and page show the same of it."""

import dataclasses
import re

import pytest

from kernelscope.rendering import page, table
from kernelscope.report.columns import LOSS_COLUMNS, THEORY_COLUMNS, caption, columns_on, has_theory
from tests.report.sample_reports import bare_report, full_page, full_report, with_pair

COLUMNS = (*LOSS_COLUMNS, *THEORY_COLUMNS)
COLUMN = pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
PLACES = pytest.mark.parametrize("where", ["terminal", "page"])


def flat(text):
    return " ".join(re.sub(r"<[^>]+>", "", text.replace("<sub>", "_")).replace("&#39;", "'").split())


@COLUMN
def test_a_meaning_is_one_sentence(column):
    assert column.meaning.strip() == column.meaning
    assert not column.meaning.endswith(".")
    assert not re.search(r"[.!?] [A-Z]", column.meaning)


@COLUMN
def test_a_heading_fits_a_terminal_and_has_no_twin(column):
    assert max(map(len, column.heading.split("\n"))) <= 9 or column.where == "page"
    assert [other.name for other in COLUMNS].count(column.name) == 1


@COLUMN
def test_a_cell_is_short_text_whatever_is_missing(column):
    for report in (full_report(), bare_report()):
        for pair in report:
            assert 0 < len(column.cell(report, pair)) <= 16


@PLACES
def test_every_meaning_stands_beside_its_table(where):
    report = full_report()
    said = flat(table.text(report, 100, paper=True, explain=True) if where == "terminal" else full_page())
    for columns in (LOSS_COLUMNS, THEORY_COLUMNS):
        for column in columns_on(where, columns, report):
            assert column.meaning in said, column.name


def test_the_notebook_explains_the_columns_it_shows():
    report = full_report()
    assert caption(columns_on("page", LOSS_COLUMNS, report)) in flat(page.notebook(report))


def test_the_loss_among_many_is_a_column_only_where_it_differs():
    report = full_report()
    differs = with_pair(report, 0, population_loss=1.2 * report.pairs[0].transfer_loss)
    names = [[c.name for c in columns_on("terminal", LOSS_COLUMNS, each)] for each in (report, differs)]
    assert "among many" not in names[0]
    assert names[1] == [names[0][0], "among many", *names[0][1:]]


def test_a_range_follows_the_loss_among_many_where_that_differs():
    report = full_report()
    sampling = next(column for column in LOSS_COLUMNS if column.name == "95% over examples")
    pair = dataclasses.replace(report.pairs[0], sampling_interval=(0.8, 1.0), population_loss=0.9)
    assert sampling.cell(report, pair) == "0.900: 0.800 to 1.000"
    assert sampling.cell(report, dataclasses.replace(pair, resolved=False)) == "–"


def test_a_pair_without_landmarks_has_no_theory():
    assert [has_theory(pair) for pair in (*bare_report(), full_report().pairs[0])] == [False, True]
