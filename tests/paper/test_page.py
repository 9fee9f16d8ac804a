"""The page, its text and the tables: whole, inert, and of the same numbers."""

import csv
import dataclasses
import io
import json
import re

import pytest

from kernelscope.errors import KernelscopeError
from kernelscope.paper import findings, page, sections, tables, words
from kernelscope.paper.claims import OURS
from kernelscope.paper.plan import Study
from tests.paper.synthetic import student, study
from tests.rendering.test_page import Page

EVIL = '<script>alert(1)</script>"><img src=x>'


@pytest.fixture(scope="module")
def found():
    made = study(("fig2", "fig3b", "fig4", "fig5", "table1"), searched=6)
    failed = dataclasses.replace(student(seed=7, method=EVIL), failed=f"loss is nan {EVIL}", top1=None, layers={})
    weights = {"first": {"kda": {"tried": {"weight=0.1": 0.71, "weight=0.4": None}, "chosen": "weight=0.1"}}}
    return findings.of(Study(made.plan, (*made.rows, failed), weights), draws=40)


@pytest.fixture(scope="module")
def parts(found):
    return sections.of(found)


@pytest.fixture(scope="module")
def whole(found, parts):
    return page.html(found, parts)


@pytest.fixture(scope="module")
def text(found, parts):
    return page.text(found, parts)


def test_the_page_is_well_formed_and_reaches_nothing(whole):
    parsed = Page(whole)
    assert parsed.open == [] and parsed.unclosed == []
    assert not {"script", "img", "iframe", "object"} & set(parsed.tags)
    assert "Content-Security-Policy" in whole and not re.search(r'(?:src|href)="(?!#|data:)', whole)


def test_what_a_method_is_called_is_text(whole):
    assert "<script>" not in whole and "&lt;script&gt;" in whole


def test_ids_of_all_figures_are_unique(whole):
    ids = [value for key, value in Page(whole).attributes if key == "id"]
    assert len(ids) == len(set(ids)) and whole.count("<svg") >= 9


def test_every_verdict_stands_on_the_page_and_in_the_text(found, whole, text):
    said = Page(whole).text
    for judged in found.judged:
        assert words.mark(judged.verdict) in text
        assert words.capital(judged.verdict.claim.text) in said
        assert words.measured(judged.verdict, unit=False) in said


def test_counts_of_verdicts_are_those_of_the_papers_claims(found, whole):
    counts = found.counts()
    assert sum(counts.values()) == len([j for j in found.judged if j.verdict.claim.figure != OURS])
    assert sum(found.counts(ours=True).values()) == len(found.of(OURS)) == 2
    for outcome, count in counts.items():
        assert f"<b>{count}</b> {words.OUTCOMES[outcome]}" in whole


def test_failed_students_and_weights_are_named(text):
    assert "loss is nan" in text and "weight=0.1: 71.0%" in text and "1 failed" in text


def test_ours_is_marked(whole):
    assert "KDA, running centres (ours)" in Page(whole).text


def test_text_has_tables_whose_rows_are_as_wide_as_their_heads(text):
    width = None
    for line in text.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else None
        assert width is None or cells is None or cells == width, line
        width = cells


def test_the_csv_has_a_line_for_every_network(found, tmp_path):
    tables.write(found, tmp_path)
    lines = list(csv.DictReader(io.StringIO((tmp_path / "results.csv").read_text())))
    assert len(lines) == len(found.study.rows)
    row = found.study.rows[0]
    assert float(lines[0]["embedding.raw"]) == row.layers["embedding"]["raw"] and lines[-1]["top1"] == ""


def test_the_json_holds_what_the_page_says(found):
    document = json.loads(tables.document(found))
    assert [c["verdict"]["outcome"] for c in document["claims"]] == [j.verdict.outcome for j in found.judged]
    (kda,) = (m for m in document["means"] if (m["role"], m["system"], m["purpose"]) == ("S1", "kda", "figure"))
    assert kda["top1"]["n"] == 3 and kda["layers"]["embedding"]["raw"]["sd"] > 0


def test_both_are_written_whole(tmp_path):
    made = findings.of(study(("fig5",)))
    page.write(made, tmp_path)
    tables.write(made, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"index.html", "reproduction.md", "results.csv", "results.json"}


def test_a_study_without_a_finished_student_has_a_page(tmp_path):
    made = study(("fig3a",))
    page.write(findings.of(Study(made.plan, ())), tmp_path)
    assert "not run" in (tmp_path / "reproduction.md").read_text()


def test_a_proved_bound_that_fails_ends_with_an_error(found):
    findings.require_proved(found)
    with pytest.raises(KernelscopeError, match="1 proved bounds do not hold, first Corollary 1"):
        findings.require_proved(dataclasses.replace(found, broken=("Corollary 1, corrected of 0a embedding",)))
