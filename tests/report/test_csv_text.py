"""A CSV is data: what a spreadsheet would run, or a reader not see, is escaped; numbers are left alone."""

import csv
import dataclasses
import io

import pytest

from kernelscope.report.csv_text import csv_text, safe_text
from kernelscope.report.report import TransferReport
from tests.report.sample_reports import full_report

COMMAND = 'cmd|" /C calc"!A0'
BEGINNINGS = [
    "=",
    "+",
    "-",
    "@",
    "＝",
    "＋",
    "－",
    "＠",
    "﹦",
    "﹢",
    "﹣",
    "﹫",
    "\t=",
    "\r=",
    "\n=",
    "  =",
    ' "=',
    "'@",
    "\u3000＝",
]
BEGINNINGS += ["\u200b=", "\ufeff+", "\u202e-", "\u201c=", "\x00@", "\u00a0 =", "\t", "\r", "\n"]


def written_and_read(records):
    return list(csv.reader(io.StringIO(csv_text(records), newline="")))


@pytest.mark.parametrize("beginning", BEGINNINGS, ids=ascii)
def test_text_that_a_spreadsheet_would_run_has_an_apostrophe_before_it(beginning):
    name = beginning + COMMAND
    header, row = written_and_read([{name: name, "number": -1.5}])
    for cell in (header[0], row[0]):
        assert cell.startswith("'") and cell.isprintable() and COMMAND in cell
    assert row[1] == "-1.5"


@pytest.mark.parametrize("name", ["out/s.pt", "layer-1", "a=b", "x@y", "e+1", 'say "hi", then', "größe", "層", "", "?"])
def test_ordinary_text_is_left_as_it_is(name):
    assert written_and_read([{"name": name, "other": "x"}])[1] == [name, "x"]


@pytest.mark.parametrize("character", ["\n", "\r", "\x1b", "\u202e", "\u2066", "\u200b", "\ud800", "\x7f", "\u00ad"])
def test_what_a_reader_cannot_see_is_replaced(character):
    header, row = written_and_read([{f"a{character}b": f'a{character}"b,c', "n": 2}])
    assert (header, row) == (["a?b", "n"], ['a?"b,c', "2"])


def test_numbers_and_nothing_stay_what_they_are():
    record = {"a": -0.25, "b": None, "c": True, "d": -3, "e": 1e-300}
    assert written_and_read([record])[1] == ["-0.25", "", "True", "-3", "1e-300"]
    assert safe_text("-0.25") == "'-0.25"


def test_a_report_of_a_stranger_is_escaped_in_cells_and_headings(tmp_path):
    report = full_report()
    evil = dataclasses.replace(
        report.pairs[0], student="=1+1", student_layer="@SUM(A1)\u202e", intervals={"=2": (-1.0, 1.0)}
    )
    stranger = TransferReport.from_json(dataclasses.replace(report, pairs=(evil, *report.pairs[1:])).to_json())
    with stranger.to_csv(tmp_path / "r.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert (rows[0]["student"], rows[0]["student_layer"]) == ("'=1+1", "'@SUM(A1)?")
    assert float(rows[0]["intervals.=2_low"]) == -1
    assert not [cell for row in rows for cell in (*row, *row.values()) if cell[:1] in ("=", "+", "@")]
    assert float(rows[1]["transfer_loss"]) == report.pairs[1].transfer_loss
