"""Reports as documents: what goes out comes back, what is damaged is refused."""

import copy
import csv
import dataclasses
import json
import math
from pathlib import Path

import pytest

from kernelscope.errors import UnreadableInput, UsageError
from kernelscope.report.document import flat_fields
from kernelscope.report.fields import PairReport
from kernelscope.report.report import TransferReport
from tests.report.sample_reports import bare_report, full_report, renamed, with_pair

REPORTS = pytest.mark.parametrize("report", [full_report(), bare_report()], ids=["full", "bare"])


@REPORTS
def test_a_report_comes_back_from_its_json_unchanged(report):
    assert TransferReport.from_json(report.to_json()) == report


@REPORTS
def test_a_report_comes_back_from_its_file_unchanged(report, tmp_path):
    path = report.save(tmp_path / "r.json")
    assert TransferReport.load(path) == report
    assert path.read_text().endswith("}\n")


@REPORTS
def test_every_key_is_always_there_and_what_does_not_exist_is_null(report):
    document = json.loads(report.to_json())
    assert set(document) == {"format", "format_version", "meta", "networks", "pairs", "comparisons"}
    for pair in document["pairs"]:
        assert set(pair) == {f.name for f in dataclasses.fields(PairReport)}
    if report == bare_report():
        assert document["pairs"][0]["paper"] is None


def test_names_of_any_alphabet_survive():
    report = renamed(full_report(), {"out/kda.pt": "выход/学生 “é”.pt"})
    assert TransferReport.from_json(report.to_json()).pairs[4].student == "выход/学生 “é”.pt"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_never_written(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        with_pair(full_report(), 0, transfer_loss=value).to_json()


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_not_finite_is_never_read(word):
    text = full_report().to_json().replace('"cka": 0.824', f'"cka": {word}', 1)
    assert word in text
    with pytest.raises(UnreadableInput, match=f"{word} is not JSON"):
        TransferReport.from_json(text)


def test_one_pair_lends_its_fields_to_the_report():
    report = bare_report()
    assert report.transfer_loss == report.pairs[0].transfer_loss
    assert report.ladder.scaled == report.pairs[0].ladder.scaled


def test_several_pairs_have_no_field_in_common():
    with pytest.raises(AttributeError, match="6 pairs, so 'transfer_loss' is not one number"):
        _ = full_report().transfer_loss
    with pytest.raises(AttributeError, match="no field 'transfer_lost'"):
        _ = full_report().transfer_lost


@pytest.mark.parametrize("name", ["out/kda.pt", "kda.pt", "kda"])
def test_sel_knows_a_student_by_path_name_and_stem(name):
    report = full_report()
    assert report.sel(student=name, student_layer="logits") is report.pairs[5]


@pytest.mark.parametrize("asked", [{}, {"student": "kda"}, {"student": "nobody"}, {"student_layer": "fc"}])
def test_sel_refuses_unless_exactly_one_pair_fits(asked):
    with pytest.raises(UsageError, match=r"pairs fit, expected one; there are: out/ce.pt embedding=embedding"):
        full_report().sel(**asked)


def test_iteration_and_length_are_over_pairs():
    report = full_report()
    assert len(report) == 6
    assert [pair.student_layer for pair in report] == ["embedding", "logits"] * 3


def test_flat_fields_are_dotted_plain_values():
    flat = flat_fields(full_report().pairs[0])
    assert flat["ladder.scaled"] == 0.4372
    assert flat["paper.bounds.theorem2.holds"] is True
    assert (flat["sampling_interval_low"], flat["sampling_interval_high"]) == pytest.approx((0.7264, 0.7829), abs=1e-4)
    assert all(value is None or isinstance(value, (str, int, float)) for value in flat.values())


def test_the_absent_parts_of_a_pair_are_flat_nothings():
    flat = flat_fields(bare_report().pairs[0])
    assert flat["paper"] is None
    assert flat["sampling_interval_low"] is None


def test_csv_has_a_line_per_pair_and_a_column_per_field(tmp_path):
    report = full_report()
    with report.to_csv(tmp_path / "r.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["ladder.head"]) for row in rows] == [pair.ladder.head for pair in report]


def test_a_data_frame_has_a_row_per_pair():
    frame = full_report().to_frame()
    assert list(frame["cka"]) == [pair.cka for pair in full_report()]


def test_keys_of_a_later_version_are_left_out():
    document = full_report().to_dict()
    document["pairs"][0]["a_number_nobody_knows_yet"] = 1
    document["pairs"][0]["ladder"]["tomorrow"] = 2
    assert TransferReport.from_dict(document) == full_report()


DAMAGE = {
    "another format": (("format",), "something.else"),
    "a later version": (("format_version",), 2),
    "no pairs": (("pairs",), None),
    "pairs that are a word": (("pairs",), "words"),
    "a pair that is a number": (("pairs", 0), 3),
    "a loss that is a word": (("pairs", 0, "transfer_loss"), "small"),
    "an infinite loss": (("pairs", 0, "transfer_loss"), math.inf),
    "a ladder that is a list": (("pairs", 0, "ladder"), []),
    "an eigenvalue that is null": (("pairs", 0, "landmark_spectrum", "teacher", "eigenvalues", 3), None),
    "bounds that are a list": (("pairs", 0, "paper", "bounds"), []),
    "networks that are a number": (("networks",), 5),
    "meta that is a number": (("meta",), 5),
}


@pytest.mark.parametrize(("path", "value"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_document_is_unreadable_input(path, value):
    document = copy.deepcopy(json.loads(full_report().to_json()))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(UnreadableInput, match=r"measure again|update|give what"):
        TransferReport.from_dict(document)


@pytest.mark.parametrize("missing", ["transfer_loss", "ladder", "paper", "null", "rounding_interval"])
def test_a_pair_without_a_key_is_refused_not_filled_in(missing):
    document = full_report().to_dict()
    del document["pairs"][2][missing]
    with pytest.raises(UnreadableInput, match=f"damaged.*{missing}"):
        TransferReport.from_dict(document)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"kernelscope.report"', "{}"])
def test_text_that_is_no_report_is_unreadable_input(text):
    with pytest.raises(UnreadableInput, match=r"measure again|give what"):
        TransferReport.from_json(text)


def test_a_truncated_file_is_named(tmp_path):
    path = full_report().save(tmp_path / "r.json")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UnreadableInput, match=r"r\.json: report is not valid JSON"):
        TransferReport.load(path)


def test_a_binary_file_is_named(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"PK\x03\x04\xff\xfe\x00")
    with pytest.raises(UnreadableInput, match=r"weights\.pt is not a UTF-8 text"):
        TransferReport.load(path)


def test_a_layer_is_chosen_by_its_whole_name_and_figures_choose_students_alike():
    report = with_pair(bare_report(), 0, teacher_layer="layer3.1")
    with pytest.raises(UsageError, match="0 pairs fit"):
        report.sel(teacher_layer="layer3")
    assert report.sel(teacher_layer="layer3.1") is report.pairs[0]
    stem = Path(report.pairs[0].student).stem
    assert report.plot(student=stem) is not None
