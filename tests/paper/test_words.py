"""How verdicts are worded."""

import pytest

from kernelscope.paper import words
from kernelscope.paper.claims import Claim
from kernelscope.paper.prediction import Correlation
from kernelscope.paper.verdicts import Verdict

GAIN = Claim("table2", "KDA is better than RKD", "first", "S1", "kda", "rkd", size=0.013, source="Table 2")
RATIO = Claim(
    "fig3a", "23 %", "first", "S1", "kda", "rkd", "raw", relation="ratio", size=0.23, source="the paper's text"
)


@pytest.mark.parametrize(
    ("side", "mark", "sentence"),
    [
        (True, "not testable (+) 3/3", "on its side"),
        (False, "not testable (−) 3/3", "on the other side"),
        (None, "not testable 3/3", "size, 3"),
    ],
)
def test_where_the_interval_lies_is_told_of_what_is_not_testable(side, mark, sentence):
    verdict = Verdict(GAIN, "not testable", 0.02, 0.015, 0.013, 3, 3, side)
    assert words.mark(verdict) == mark and sentence in words.outcome(verdict)


def test_a_verdict_names_its_numbers_and_the_papers_with_their_source():
    verdict = Verdict(GAIN, "contradicted", -0.047, 0.011, 0.013, 0, 3, False)
    assert words.verdict(verdict) == "contradicted, 0 of 3 seeds (−4.7 ± 1.1 points; Table 2: +1.3 points)"


def test_a_ratio_is_told_as_a_share_with_its_interval():
    verdict = Verdict(RATIO, "contradicted", -0.2, 0.1, 1.47, 0, 3, False)
    assert words.measured(verdict) == "82% (74% to 90%)"


def test_a_correlation_whose_interval_has_zero_begins_with_it():
    assert words.correlation(Correlation(-0.35, -0.67, 0.1)) == "0 (−0.35 [−0.67, +0.10])"
    assert words.correlation(Correlation(0.96, 0.93, 0.98)) == "+0.96 [+0.93, +0.98]"
    assert words.correlation(None) == "–"
