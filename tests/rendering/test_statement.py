"""The statement says only what the numbers carry, and the same whenever the saved report is read."""

import re
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from kernelscope.cli.main import kernelscope
from kernelscope.errors import UsageError
from kernelscope.kernels.similarity.outputs import Flips
from kernelscope.rendering.statement import Statement, statements
from kernelscope.report.fields import FeatureSpectra, FeatureSpectrum, Ladder, Null, PairReport
from kernelscope.report.report import TransferReport
from kernelscope.report.verdict import collapsed, verdict
from tests.report.sample_reports import bare_report, full_report, renamed, with_pair

NUMBER = r"-?[\d.,]*\d(?:e-?\d+)?"
OPTIONAL = ("classes", "anova", "worst", "neighbours", "difference_eigenvectors")
HEADINGS = ["Kept", "Lost", "Where", "How sure", "What would repair it", "What nobody can say from this", "Measured on"]


def test_every_student_has_a_statement_with_something_under_each_heading():
    found = statements(full_report())
    assert [each.student for each in found] == ["ce.pt", "kd.pt", "kda.pt"]
    for each in (*found, *statements(bare_report())):
        assert [heading for heading, _ in each.parts] == HEADINGS
        assert all(sentences for _, sentences in each.parts)


def test_the_card_is_the_same_bits_from_the_saved_report(tmp_path):
    report = full_report()
    path = report.save(tmp_path / "r.json")
    assert TransferReport.load(path).card() == report.card()
    result = CliRunner().invoke(kernelscope, ["report", str(path), "--card", str(tmp_path / "c.md")])
    assert result.exit_code == 0
    assert (tmp_path / "c.md").read_bytes() == report.card().encode()
    again = CliRunner().invoke(kernelscope, ["report", str(path), "--card", str(tmp_path / "c.md")])
    assert isinstance(again.exception, UsageError)


def test_a_card_of_no_pairs_says_so():
    assert "No pair was measured" in TransferReport({}, (), ()).card()


def test_names_of_strangers_are_no_markdown_and_no_html():
    evil = (
        "<img src=x onerror=alert(1)> [a](javascript:1) **b** `c` https://evil.example www.evil.example | # &lt; @x $y$"
    )
    card = with_pair(renamed(full_report(), {"out/ce.pt": evil}), 0, split=evil, notes=(evil,)).card()
    assert "evil" in card
    assert not re.findall(r"(?<!\\)[<>\[\]`|&@$]", card)
    assert not re.findall(r"(?<!\\)\*", re.sub(r"^\*\*[A-Z][a-z ]+\*\*$", "", card, flags=re.MULTILINE))
    assert "https://" not in card and "www.evil" not in card
    assert all(line.startswith("#") == line.startswith(("## Dist", "### ")) for line in card.splitlines())


def random_pair(rng: np.random.Generator) -> PairReport:
    """A pair whose numbers belong together, with every kind of degeneration among them."""
    pair = full_report().pairs[int(rng.integers(6))]
    loss = float(rng.choice([0.0, 1.0, 10.0 ** rng.uniform(-12, 1.5), rng.uniform(0, 1.5)]))
    half = loss * 10.0 ** rng.uniform(-14, 0.5) + float(rng.choice([0.0, 1e-10]))
    low, high = max(0.0, loss - half), loss + half
    scaled = float(rng.uniform(0, min(1.0, loss))) if loss else 0.0
    head = float(rng.uniform(0, 1)) * scaled
    ranks = [float(rng.choice([0.0, 3.0, 9.0])) if rng.random() < 0.3 else 8.0 for _ in range(2)]
    spectra = [FeatureSpectrum(int(rng.integers(1, 65)), 6.0, 0.4, 0.3, rank, None) for rank in ranks]
    cka_mean, cka = 0.02, float(rng.uniform(0, 1))
    tested = rng.random() < 0.8
    return replace(
        pair,
        transfer_loss=loss,
        rounding_interval=(low, high),
        rounding_certified=bool(rng.random() < 0.7),
        resolved=bool(half <= max(1e-6 * loss, 1e-9)) and rng.random() < 0.9,
        storage_floor=float(rng.choice([0.0, 1e-7, 1e-3])),
        sampling_interval=None if rng.random() < 0.3 else (0.9 * loss, 1.1 * loss),
        population_loss=None if rng.random() < 0.3 else loss,
        kernel=str(rng.choice(["linear", "cosine", "rbf(gamma=1)"])),
        unit=str(rng.choice(["example", "token", "patch"])),
        norm_student=0.0 if loss == 1.0 else pair.norm_student,
        cka=None if rng.random() < 0.2 else cka,
        ladder=Ladder(
            loss, scaled, min(1.0, 3 * loss), head, None if rng.random() < 0.4 else head * 1.1,
            None if rng.random() < 0.3 else head * float(rng.integers(2)),
        ),
        null=Null(
            None if rng.random() < 0.3 else loss + 1, cka_mean, 0.01, 0.1,
            float(rng.choice([0.0, 10.0 ** rng.uniform(-20, 0), 0.05, 0.0501])) if tested else None,
            (cka - cka_mean) / (1 - cka_mean) if tested else None,
        ),
        feature_spectrum=None if rng.random() < 0.3 else FeatureSpectra(*spectra),
        outputs=None if pair.outputs is None else replace(pair.outputs, flips=_flips(rng)),
        **{name: None for name in OPTIONAL if rng.random() < 0.3},
    )  # fmt: skip


def _flips(rng: np.random.Generator) -> Flips:
    low = float(rng.choice([0.0, rng.uniform(-0.2, 0.2), 10.0 ** rng.uniform(-6, -2)]))
    high = low + float(rng.choice([0.0, rng.uniform(0, 0.2)]))
    wrong = float(rng.uniform(0.25, 0.5))
    return Flips(wrong, wrong + (low + high) / 2, (low + high) / 2, None if rng.random() < 0.3 else (low, high), None)


def numbers(text: str) -> list[float]:
    return [float(found.replace(",", "")) for found in re.findall(NUMBER, text)]


def assert_true_to(pair: PairReport, statement: Statement) -> None:
    """Reads the sentences as a person would and holds each against the numbers."""
    parts = {heading: " ".join(sentences) for heading, sentences in statement.parts}
    kept, lost, where, sure, repaired, *_ = parts.values()
    everything = " ".join(parts.values())
    assert not re.search(r"\b(None|nan|inf)\b", everything)
    assert all(said[0].upper() == said[0] and said.endswith(".") for _, each in statement.parts for said in each)
    assert all(0 <= float(share) <= 100 for share in re.findall(r"([-\d.]+)%(?!\))", everything))
    low, high = pair.rounding_interval
    word = re.search(r"^Rounding[^.]*.*?\((proved|estimated)\)", sure)[1]
    assert (word == "proved") == pair.rounding_certified
    nothing = (low, high) == (0, 0) or (pair.resolved and (low <= 0 or high <= pair.storage_floor))
    assert kept.startswith("All") == nothing == (lost == "Nothing that can be told.") == where.startswith("Nothing")
    if not pair.resolved and high > 0:
        assert not numbers(kept + where + repaired)
        shown = numbers(lost)
        assert shown[0] <= low and high <= shown[1]
    if pair.resolved and not nothing:
        moved = float(re.search(rf"by at most ({NUMBER})", sure)[1])
        assert moved >= max(high - pair.transfer_loss, pair.transfer_loss - low) * (1 - 1e-9)
        _assert_repair_is(pair, repaired, kept)
    if pair.storage_floor:
        assert float(re.search(rf"moved it by up to ({NUMBER})", sure)[1]) >= pair.storage_floor * (1 - 1e-9)
    p = pair.null.p_value
    assert ("not ruled out" in sure) == (p is not None and p > 0.05)
    assert ("not tested" in sure) == (p is None)
    if (flips := pair.outputs and pair.outputs.flips) and "from right to wrong" in lost:
        ends = flips.accuracy_interval
        assert ("accuracy is higher" in lost) == (ends is not None and ends[0] > 0)
        assert ("accuracy is lower" in lost) == (ends is not None and ends[1] < 0)
        assert ("is open" in lost) == (ends is not None and ends[0] <= 0 <= ends[1])
    assert ("no logits were compared" in everything) == (pair.outputs is None)


def _assert_repair_is(pair: PairReport, repaired: str, kept: str) -> None:
    if collapsed(pair) is not None or (pair.null.p_value or 0) > 0.05:
        assert kept.startswith("Nothing") and not numbers(repaired)
        return
    held_out = pair.ladder.head_held_out
    assert ("on the other half" in repaired) == (held_out is not None)
    assert ("no others tried" in repaired) == (held_out is None)
    assert ("features times" in repaired) == (pair.kernel == "linear")
    expected = [pair.ladder.scaled, pair.ladder.head if held_out is None else held_out]
    for shown, value in zip(re.findall(rf"leaves ({NUMBER})", repaired), expected, strict=True):
        assert float(shown) == pytest.approx(value, abs=5.1e-4 if value >= 1e-3 else 0.06 * value)


@pytest.mark.parametrize("draws", [400, pytest.param(5_000, marks=pytest.mark.long)])
def test_no_sentence_contradicts_a_number_of_its_report(draws):
    rng = np.random.default_rng(7)
    for _ in range(draws):
        pair = replace(random_pair(rng), verdict=None)
        (statement,) = statements(replace(full_report(), pairs=(pair,)))
        assert_true_to(pair, statement)
        assert statement.summary.lower().startswith(verdict(pair).lower())
        if "no better than chance" in statement.summary:
            assert statement.parts[0][1][0].startswith("Nothing that can be told from chance")
