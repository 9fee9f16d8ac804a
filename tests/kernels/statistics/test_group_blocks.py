"""What groups hold of both kernels, summed as rows pass, against whole groups of rows that are kept."""

import itertools

import numpy as np
import pytest

from kernelscope.kernels.distance.layer_grid import layer_sums
from kernelscope.kernels.shares import Share
from kernelscope.kernels.statistics.group_blocks import GroupGrams, OpenGroups
from kernelscope.kernels.statistics.sampling import sampling_interval
from tests.kernels.statistics.test_sampling import draw, groups_of

N = 9000  #: more than two blocks
FIELDS = ("difference", "difference_block", "teacher", "teacher_block", "sizes")
GROUPS = {
    "in order": np.repeat(np.arange(N // 60), 60),
    "scattered": np.random.default_rng(0).integers(0, 40, N) * 7 - 3,
    "of several sizes": np.repeat(np.arange(50), np.random.default_rng(1).multinomial(N, np.full(50, 1 / 50))),
}


@pytest.fixture(scope="module")
def features():
    return draw(N, np.random.default_rng(3))


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_grams_of_groups_give_what_whole_groups_of_rows_give(features, groups):
    X_S, X_T = features
    layers = {("teacher", "a"): X_T, ("student", "b"): X_S}
    grams = GroupGrams(groups, layers, [("a", "b")])
    sums = layer_sums(teacher={"a": X_T}, student={"b": X_S}, beside=[grams])

    class Scaled:
        pass

    scaled = Scaled()
    scaled.sums = sums.pair("a", "b")
    found, kept = grams.leave_out(scaled, (("student", "b"), ("teacher", "a"))), groups_of(X_S, X_T, groups)
    for field in FIELDS:
        assert getattr(found, field) == pytest.approx(getattr(kept, field), rel=1e-9), field
    assert sampling_interval(found).interval == pytest.approx(sampling_interval(kept).interval, rel=1e-9)
    each = 8 * (X_S.shape[1] ** 2 + X_T.shape[1] ** 2 + X_S.shape[1] * X_T.shape[1])
    assert GroupGrams.memory_bytes(groups, layers, [("a", "b")]) == each * len(np.unique(groups))


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("parts", [1, 3])
def test_groups_that_have_passed_give_their_blocks_in_any_number_of_shares(features, groups, parts):
    X_S, X_T = features
    ends = np.linspace(0, N, parts + 1).astype(int)
    shares = [Share(N, start, stop, parts) for start, stop in itertools.pairwise(ends)]
    opened = [OpenGroups(groups, (X_S.shape[1], X_T.shape[1]), share) for share in shares]
    held = 0
    for share, each in zip(shares, opened):
        for start, stop in share.steps(500):
            each.add(start, X_S[start:stop], X_T[start:stop])
            held = max(held, sum(len(S) for rows in each._open.values() for S, _ in rows))
    blocks = sum(each._blocks for each in opened)
    left = [(g, S, T) for each in opened for g, rows in each._open.items() for S, T in rows]
    for g in {g for g, _, _ in left}:
        assert (blocks[:, g] == 0).all()
        S, T = (np.concatenate([part[at] for part in left if part[0] == g]) for at in (1, 2))
        blocks[:, g] = np.sum((S @ S.T - T @ T.T) ** 2), np.sum((T @ T.T) ** 2)
    assert held <= OpenGroups.most_open(groups) * (1 if parts == 1 else 2) and (parts > 1 or not left)
    kept = groups_of(X_S, X_T, groups)
    assert blocks == pytest.approx(np.stack([kept.difference_block, kept.teacher_block]), rel=1e-9)


def test_only_groups_that_are_open_together_are_held():
    assert OpenGroups.most_open(np.repeat(np.arange(100), 7)) == 7
    assert OpenGroups.most_open(np.tile(np.arange(100), 7)) == 700
    assert OpenGroups.most_open(np.array([5, 5, 1, 1, 1, 9, 1])) == 5
