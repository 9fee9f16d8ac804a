"""Labels of figures stand apart, whatever their numbers."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from kernelscope.rendering.plots.canvas import figure_of, stacked
from kernelscope.report.report import TransferReport
from tests.report.sample_reports import full_report


def test_stacked_labels_are_apart_and_only_the_top_pushes_one_down():
    rng = np.random.default_rng(0)
    for _ in range(200):
        wanted = list(rng.uniform(0, 1, 6))
        found = stacked(wanted, 0.1)
        assert np.diff(sorted(found)).min() > 0.1 - 1e-9
        assert np.array_equal(np.argsort(found), np.argsort(wanted))
        assert max(found) <= 1
        if max(stacked(wanted, 0.1, high=9.0)) <= 1:
            assert all(f >= w - 1e-9 for f, w in zip(found, wanted))


@pytest.mark.parametrize("students", [2, 3, 6])
def test_no_two_values_of_the_ladder_overlap_nor_names_beside_it(students):
    pair = full_report().pairs[0]
    pairs = []
    for i in range(students):
        step = 0.004 * i
        rungs = replace(pair.ladder, raw=0.4 + step, scaled=0.3 + step, head=0.101 - 2 * step, centred=0.2 + step / 2)
        null = replace(pair.null, transfer_loss=0.9 + step)
        pairs.append(replace(pair, student=f"s{i}.pt", transfer_loss=rungs.raw, ladder=rungs, null=null))
    ax = TransferReport({}, (), tuple(pairs)).plot("ladder")
    figure_of(ax).draw_without_rendering()
    boxes = {text.get_text(): text.get_window_extent() for text in ax.texts if text.get_text()}
    assert len(boxes) >= 5 * students
    for (one, a), (other, b) in combinations(boxes.items(), 2):
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        high = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert wide <= 0 or high <= 0.2 * min(a.height, b.height), (one, other)
