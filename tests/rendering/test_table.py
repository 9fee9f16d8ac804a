"""The report on a terminal: whole numbers at any width, words for what is absent, nobody's escape codes."""

import dataclasses
import io
import re

import pytest
from rich.console import Console

from kernelscope.rendering import table as tables
from kernelscope.rendering.wording import first_pairs, rows_in_words, warnings_by_text
from kernelscope.report.digits import loss_in_digits, measured, multiple, number, percent
from kernelscope.report.fields import Warning
from kernelscope.report.report import TransferReport
from kernelscope.report.verdict import verdict
from tests.report.sample_reports import LOSSES, TOP1, bare_report, full_report, renamed, with_pair

WIDTHS = pytest.mark.parametrize("width", [80, 100, 120, 200])


def rows(text: str, last_heading: str) -> list[list[str]]:
    """Cells of the table under the headings that end with a word, up to the next empty line."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.rstrip().endswith(last_heading))
    stop = next(i for i in range(start, len(lines)) if not lines[i].strip())
    return [line.split() for line in lines[start + 1 : stop]]


def flat(text: str) -> str:
    return " ".join(text.split())


@WIDTHS
def test_every_number_of_the_loss_table_stands_whole_at_any_width(width):
    found = rows(tables.text(full_report(), width), "top-1")
    numbers = [row[-8:] for row in found if len(row) >= 9]
    expected = [
        [
            *(f"{value:.3f}" for value in (raw, scaled, head, 0.02, chance, cka)),
            f"{0.62 - raw / 8:.2f}",
            f"{100 * TOP1[name]:.1f}%",
        ]
        for name, layers in LOSSES.items()
        for raw, scaled, _, head, chance, cka in layers.values()
    ]
    assert numbers == expected


@WIDTHS
def test_every_number_of_the_theory_table_stands_whole_at_any_width(width):
    report = full_report()
    numbers = [row[-6:] for row in rows(tables.text(report, width, paper=True), "/ truth") if len(row) >= 7]
    assert numbers == [
        [
            loss_in_digits(pair),
            number(pair.paper.estimate),
            number(pair.nystrom.expanded_estimate),
            number(pair.landmark_spectrum.teacher.min),
            number(pair.landmark_spectrum.student.min),
            multiple(pair.paper.bounds["theorem2"].over_truth),
        ]
        for pair in report
    ]


@pytest.mark.parametrize("width", [45, 60, 70])
def test_a_narrow_terminal_gets_the_columns_in_several_tables(width):
    report = full_report()
    narrow, wide = (tables.text(report, at, paper=True) for at in (width, 200))
    in_tables = narrow.partition("what the columns mean")[0]
    assert max(map(len, in_tables.splitlines())) <= width
    assert in_tables.count("student") > 1
    for row in (*rows(wide, "top-1"), *rows(wide, "/ truth")):
        for cell in row[-5:]:
            assert cell in narrow.split(), cell


def test_what_carries_the_difference_is_printed_where_it_is_to_be_explained():
    report = with_pair(full_report(), 0, difference_eigenvectors=None)
    text = flat(tables.text(report, explain=True))
    said = "similarity lost, 81.0% of the squared difference: rows 3 (3), 4 (4), 5 (5), 6 (6) against 17 (7), 18 (8)"
    assert text.count(said) == len(first_pairs(report)) - 1
    assert "in 2 directions that rounding does not tell apart: rows 40 (0), 41 (1), 42 (2), 43 (3)" in text
    assert "what carries" not in tables.text(report)


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_no_line_is_wider_than_the_terminal(width):
    report = with_pair(full_report(), 1, resolved=False, rounding_interval=(1.234e-12, 4.56e-9))
    report = renamed(report, {"out/ce.pt": "runs/" + "x" * 70 + ".pt"})
    assert max(map(len, tables.text(report, width).splitlines())) <= width


def test_a_student_is_named_once_and_its_layers_stand_under_it():
    found = rows(tables.text(full_report(), 100), "top-1")
    assert [row[0] for row in found] == ["ce.pt", "logits", "kd.pt", "logits", "kda.pt", "logits"]


def test_layers_that_differ_are_both_named():
    report = with_pair(full_report(), 0, teacher_layer="layer3.8")
    assert "layer3.8 = embedding" in tables.text(report, 120)


def test_one_verdict_per_student_the_embedding_first():
    report = full_report()
    report = dataclasses.replace(report, pairs=report.pairs[::-1])  # logits come first
    text = flat(tables.text(report, 100))
    for pair in report:
        name = pair.student.removeprefix("out/")
        assert (f"{name} {pair.student_layer} {verdict(pair)}" in text) == (pair.student_layer == "embedding")


def test_what_does_not_exist_is_a_dash():
    assert rows(tables.text(bare_report(), 80), "top-1") == [
        ["student", "features", "0.188", "0.184", "–", "–", "–", "–", "–", "–"]
    ]


def test_without_landmarks_there_is_no_theory_table():
    assert "theory" not in tables.text(bare_report(), 80, paper=True)
    assert "theory" in tables.text(full_report(), 80, paper=True)


def test_the_theory_is_printed_only_where_it_is_asked_for():
    assert "theory" not in tables.text(full_report(), 80)


@pytest.mark.parametrize("width", [60, 80])
def test_names_fold_between_words_or_are_shortened_in_their_middle(width):
    report = with_pair(full_report(), 0, teacher_layer="encoder.layer_3.attention", student_layer="blocks.11.mlp-fc2")
    found = tables.text(renamed(report, {"out/ce.pt": "resnet18_distilled-final_epoch.pt"}), width)
    for word in ("resnet18_", "distilled-", "final_", "embedding", "attention", "blocks."):
        beginnings = re.findall(rf"(?<!\w){word[:4]}[\w…]*[-_.]?", found.split("the teacher's kernel is")[0])
        assert all(word.rstrip(".-_") in each or "…" in each for each in beginnings), beginnings


def test_a_report_of_no_pairs_says_so():
    assert tables.text(TransferReport({}, (), ())) == "no pairs were measured\n"


def test_a_warning_of_several_pairs_is_said_once_with_their_names():
    text = flat(tables.text(full_report(), 100))
    assert text.count("450 examples for 64 features") == 1
    assert "warning (ce.pt logits, kd.pt logits, kda.pt logits): 450" in text


@pytest.mark.parametrize(
    ("warned", "pairs", "where"),
    [
        (1, 1, "s0 embedding"),
        (2, 3, "s0 embedding, s1 embedding"),
        (3, 3, "every pair"),
        (6, 9, ", ".join(f"s{i} embedding" for i in range(6))),
        (8, 9, ", ".join(f"s{i} embedding" for i in range(6)) + " and 2 more"),
        (9, 9, "every pair"),
    ],
)
def test_a_warning_names_six_pairs_at_most_or_says_every_pair(warned, pairs, where):
    pair, said = full_report().pairs[0], (Warning("x", "beware"),)
    named = (dataclasses.replace(pair, student=f"s{i}", warnings=said if i < warned else ()) for i in range(pairs))
    assert warnings_by_text(TransferReport({}, (), tuple(named))) == [("beware", where)]


def test_of_several_pairs_at_the_embedding_the_first_speaks_for_its_student():
    embedding, logits = full_report().pairs[:2]
    other = dataclasses.replace(embedding, teacher_layer="layer3")
    assert first_pairs(TransferReport({}, (), (logits, embedding, other))) == [embedding]


@pytest.mark.parametrize(
    ("n", "unit", "said"),
    [(450, "example", "450 examples"), (6551, "token", "6,551 tokens"), (64, "patch", "64 patches")],
)
def test_rows_are_counted_in_what_they_are(n, unit, said):
    assert rows_in_words(dataclasses.replace(full_report().pairs[0], n=n, unit=unit)) == said


def test_files_of_one_name_are_told_apart_by_their_folders():
    report = renamed(full_report(), {"out/ce.pt": "a/last.pt", "out/kd.pt": "b/last.pt"})
    found = rows(tables.text(report, 100), "top-1")
    assert [row[0] for row in found[::2]] == ["a/last.pt", "b/last.pt", "kda.pt"]


def test_an_unresolved_loss_is_only_an_interval_that_still_contains_it():
    low, high = 1.234e-12, 4.56e-9
    text = tables.text(with_pair(full_report(), 0, resolved=False, rounding_interval=(low, high)), 80)
    said = re.search(r"embe\S+ +(\S+) .*\n +to (\S+)", text)
    assert (said[1], said[2]) == ("1.2e-12", "4.6e-9")
    assert float(said[1]) <= low < high <= float(said[2])
    assert "0.753" not in text


@pytest.mark.parametrize(
    ("value", "interval", "said"),
    [
        (0.0, (0.0, 0.0), "0"),
        (0.75284, (0.75283, 0.75285), "0.753"),
        (0.75284, (0.74, 0.766), "0.75"),
        (0.75284, (0.6, 0.9), "0.8"),
        (12.3456, (12.3455, 12.3457), "12.346"),
        (12.3456, (11.0, 13.5), "12"),
        (1234.5, (1230.0, 1239.0), "1,234"),
        (2.345e-5, (2.344e-5, 2.346e-5), "2.3e-5"),
        (2.345e-9, (1.4e-9, 3.3e-9), "2e-9"),
        (3e-10, (0.0, 8.13e-10), "<8.2e-10"),
        (0.99951, (0.9995, 0.9996), "1.000"),
    ],
)
def test_a_loss_has_no_digit_its_interval_does_not_support(value, interval, said):
    report = with_pair(full_report(), 0, transfer_loss=value, rounding_interval=interval, resolved=True)
    assert loss_in_digits(report.pairs[0]) == said


@pytest.mark.parametrize("half_width", [10.0**-e for e in range(1, 12)])
@pytest.mark.parametrize("value", [0.0123456, 0.98765, 1.5, 7.77777, 123.456])
def test_a_rounded_loss_is_never_rounded_out_of_its_interval(value, half_width):
    half = half_width * value
    shown = float(measured(value, half).replace(",", ""))
    assert abs(shown - value) <= max(half, 0.0005, 0.0005 * value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"), (0.0, "0"), (0.0201, "0.020"), (-0.5, "-0.500"), (0.00099, "9.9e-4"), (9.9999, "10.000"),
        (99.9999, "100.0"), (615.26, "615.3"), (999.96, "1,000"), (227_483.1, "227,483"), (8_976_003.0, "8.98e6"),
    ],
)  # fmt: skip
def test_numbers_are_short_and_keep_their_size(value, said):
    assert number(value) == said
    if value:
        assert float(said.replace(",", "")) == pytest.approx(value, rel=0.01)


def test_factors_near_one_keep_three_decimals():
    assert [multiple(v) for v in (None, 0.998, 1.0152604, 3.3364, 1382.2)] == [
        "–",
        "0.998×",
        "1.015×",
        "3.34×",
        "1,382×",
    ]
    assert [percent(v) for v in (None, 0.9867, 1.0)] == ["–", "98.7%", "100.0%"]


def test_escape_codes_and_markup_in_a_name_reach_no_terminal():
    report = renamed(full_report(), {"out/ce.pt": "\x1b[31mred\x1b]0;t\x07 [bold]b \u202egnp.exe"})
    stream = io.StringIO()
    tables.show(report, Console(file=stream, width=200, color_system=None))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", stream.getvalue())
    assert "?[31mred?]0;t? [bold]b ?gnp.exe" in stream.getvalue()


def test_a_terminal_gets_colour_and_a_file_gets_none():
    stream = io.StringIO()
    tables.show(full_report(), Console(file=stream, width=100, force_terminal=True, color_system="standard"))
    assert "\x1b[" in stream.getvalue()
    assert "\x1b" not in tables.text(full_report())


def test_show_writes_plain_text_to_a_pipe(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    tables.show(bare_report())
    out, err = capsys.readouterr()
    assert out == tables.text(bare_report(), 80)
    assert "0.188" in out
    assert not err


def test_the_report_prints_as_its_table():
    assert str(full_report()) == tables.text(full_report())
