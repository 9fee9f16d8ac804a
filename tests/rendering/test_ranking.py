"""The ranking of students: ranks that comparisons leave open, in the terminal and on the page."""

import re
from dataclasses import replace

import numpy as np

import kernelscope as ks
from kernelscope.rendering.ranking import ranked, ranking
from kernelscope.report.report import TransferReport


def report_of(spreads, n=300, seed=0):
    rng = np.random.default_rng(seed)
    T = rng.standard_normal((n, 5)) + 1
    students = {f"s{i}": {"x": T + spread * rng.standard_normal(T.shape)} for i, spread in enumerate(spreads)}
    return ks.measure(teacher={"x": T}, student=students, neighbours=0)


def test_ranks_are_what_decided_comparisons_leave():
    report = report_of([0.9, 0.1, 0.1, 0.5])
    places = ranking(report)
    assert [place.pair.transfer_loss for place in places] == sorted(pair.transfer_loss for pair in report)
    assert {place.pair.student for place in places[:2]} == {"s1", "s2"}
    assert [place.ranks for place in places] == ["1-2", "1-2", "3", "4"]
    open_ = replace(report, comparisons=tuple(replace(each, decided=False) for each in report.comparisons))
    assert {place.ranks for place in ranking(open_)} == {"1-4"}


def test_two_students_are_compared_and_not_ranked():
    report = report_of([0.9, 0.1])
    assert ranking(report) == [] and ranked(report) is report
    assert "lower loss than" in str(report) and "ranked" not in str(report)


def test_tables_follow_the_ranking_and_count_what_they_leave_out():
    report = report_of([0.9, 0.1, 0.3, 0.5, 0.7])
    text, page = str(report), report.to_html()
    order = ["s1", "s2", "s3", "s4", "s0"]
    assert re.findall(r"^(s\d) +x ", text, re.MULTILINE)[:5] == order
    assert "ranked by the loss at x; students share ranks where 10 paired" in text
    assert re.findall(r'<th scope="row">(\d)</th><td class="ks-layer">(s\d)', page) == list(zip("12345", order))
    for said in (text, page):
        assert "10 comparisons of two students are in the saved report" in said
    assert [pair.student for pair in report] == ["s0", "s1", "s2", "s3", "s4"]  # as they were given


def test_a_saved_report_keeps_what_was_decided():
    report = report_of([0.9, 0.1, 0.3])
    again = TransferReport.from_json(report.to_json())
    assert [each.decided for each in again.comparisons] == [each.decided for each in report.comparisons] == [True] * 3
    older = report.to_dict()
    for each in older["comparisons"]:
        del each["decided"]
    assert {place.ranks for place in ranking(TransferReport.from_dict(older))} == {"1-3"}
