"""Networks that run twice and keep no features: the numbers by way of a file, and rows that are seen to be the same."""

import dataclasses

import numpy as np
import pytest
import torch

import kernelscope as ks
from kernelscope.errors import Mismatch, UsageError
from kernelscope.measurement import second_run, streamed

N = 4500  #: more than a block
#: what two runs leave out, and what a file's report has from other roundings of a Gram
LEFT_OUT = {"neighbours", "classes", "notes", "verdict", "intervals", "rounding_interval", "difference_spectrum"}


def mlp(hidden, seed):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(12, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 5))


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, N)
    return (rng.standard_normal((5, 12))[y] + rng.standard_normal((N, 12))).astype(np.float32), y


def by_file(data, **given):
    return measured(data, cache=False, neighbours=0, **given)


def in_two(data, **given):
    return measured(data, features=False, passes=2, **given)


def measured(data, **given):
    given = {"teacher": mlp(16, 0), "student": mlp(9, 1), "data": data, "batch_size": 100} | given
    return ks.measure(**given)


def same(one, two, path, rel):
    if dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            if field.name not in LEFT_OUT:
                same(getattr(one, field.name), getattr(two, field.name), f"{path}.{field.name}", rel)
    elif isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            same(one[key], two[key], f"{path}.{key}", rel)
    elif isinstance(one, (tuple, list)):
        assert len(one) == len(two), path
        for i, (a, b) in enumerate(zip(one, two)):
            same(a, b, f"{path}[{i}]", rel)
    elif isinstance(one, float):
        assert two == pytest.approx(one, rel=rel, abs=1e-12), path
    else:
        assert one == two, path


@pytest.mark.parametrize("landmarks", [None, "uniform:12"])
def test_two_runs_give_every_number_of_a_file_but_what_takes_all_pairs(data, landmarks):
    given = {"landmarks": landmarks, "layers": None if landmarks is None else "embedding"}
    for a, b in zip(by_file(data, **given), in_two(data, **given), strict=True):
        assert b.sampling_interval is not None and b.null.p_value is not None and len(b.worst) == 20
        assert b.nystrom is not None and (b.paper.theorem2 is None) == (landmarks is not None)
        same(a, b, "", 1e-7)
        assert b.neighbours is None and b.classes is None
        assert any("in two runs" in note for note in b.notes)
        assert not any("one pass" in note or "theorem2" in note for note in b.notes)


def test_every_example_runs_twice_through_each_network(data):
    seen = {"teacher": [], "student": []}
    networks = {"teacher": mlp(16, 0), "student": mlp(9, 1)}
    for role, network in networks.items():
        network.register_forward_hook(lambda module, given, out, role=role: seen[role].append(len(out)))
    told = []
    measured(data, features=False, passes=2, progress=lambda *line: told.append(line), **networks)
    assert [told.count((role, N, N)) for role in networks] == [2, 2]
    for rows in seen.values():
        assert 2 * N <= sum(rows) <= 2 * N + 700  # and the first batches, for layers and how near the networks are


def test_a_student_that_is_nearly_the_teacher_keeps_what_its_rows_still_tell(data):
    near = mlp(16, 0)
    with torch.no_grad():
        near[0].weight += 1e-5 * torch.randn(16, 12)
    given = {"student": near, "layers": "embedding"}
    for a, b in zip(by_file(data, **given), in_two(data, **given), strict=True):
        assert 0 < b.transfer_loss < 1e-4 and b.resolved
        assert b.population_loss == pytest.approx(a.population_loss, rel=1e-5)
        assert b.nystrom is None and any("too near" in note for note in b.notes)


def test_a_student_that_is_the_teacher_has_nothing_to_attribute(data):
    for report in in_two(data, student=mlp(16, 0)):
        assert report.transfer_loss == 0 and report.sampling_interval is None and report.worst is None
        assert report.nystrom is not None


def test_heavy_examples_are_found_and_the_loss_without_them(data):
    X = data[0].copy()
    X[::450] *= 100
    heavy, given = (X, data[1]), {"layers": "logits"}
    for a, b in zip(by_file(heavy, **given), in_two(heavy, **given), strict=True):
        assert b.outliers == a.outliers or b.outliers.loss_without == pytest.approx(a.outliers.loss_without, rel=1e-9)
        assert b.outliers is not None and b.null.p_value == pytest.approx(a.null.p_value, rel=1e-9)


def test_heavy_examples_that_memory_does_not_hold_are_counted_alone(data, monkeypatch):
    monkeypatch.setattr(second_run, "room_of", lambda settings, pairs: 4000)
    X = data[0].copy()
    X[::450] *= 100
    (report,) = in_two((X, data[1]), layers="logits")
    assert report.outliers.count > 0 and report.outliers.loss_without is None
    assert second_run.HEAVIEST_NOT_HELD in report.notes


def near(a, b):
    return a == b if a is None or b is None else a == pytest.approx(b, rel=1e-8)


GROUPS = {"in order": np.arange(N) // 50, "few and scattered": np.arange(N) % 11}


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("groups", GROUPS)
def test_whole_groups_are_left_out_as_by_way_of_a_file(data, groups, passes, tmp_path):
    np.save(tmp_path / "g.npy", GROUPS[groups])
    given = {"groups": tmp_path / "g.npy", "layers": "embedding"}
    kept, found = by_file(data, **given), measured(data, features=False, passes=passes, **given)
    for a, b in zip(kept, found, strict=True):
        assert b.sampling_interval == pytest.approx(a.sampling_interval, rel=1e-8)
        assert b.population_loss == pytest.approx(a.population_loss, rel=1e-8)
        assert any(f"over {len(set(GROUPS[groups].tolist()))} whole groups" in note for note in b.notes)
        if passes == 2:
            assert all(near(getattr(a.null, name), getattr(b.null, name)) for name in a.null.__dataclass_fields__)
        else:
            assert b.null.above_chance is None and any("one row of each group" in note for note in b.notes)


@pytest.mark.parametrize("passes", [1, 2])
def test_groups_that_memory_does_not_hold_leave_no_interval_and_say_so(data, passes, monkeypatch):
    monkeypatch.setattr(streamed.GroupGrams, "memory_bytes", staticmethod(lambda *_: 1 << 50))
    monkeypatch.setattr(second_run.OpenGroups, "most_open", staticmethod(lambda groups: 1 << 50))
    for report in measured(data, features=False, passes=passes, groups=np.arange(N) % 7):
        assert report.sampling_interval is None
        assert any(note.startswith("no sampling interval: ") for note in report.notes)
        assert (report.worst is None) == (passes == 1)


class Noisy(torch.nn.Module):
    """Not the same twice."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(12, 5)

    def forward(self, x):
        return self.fc(x) + 1e-6 * torch.randn(len(x), 5)


def test_rows_that_differ_in_the_second_run_are_refused(data):
    with pytest.raises(Mismatch, match="student layer logits gave other rows when it ran again; give data without"):
        in_two(data, student=Noisy(), layers="logits")


class Shuffled:
    """Another order each time that it is begun."""

    def __init__(self, X):
        self.X, self.rng = X, np.random.default_rng(0)

    def __len__(self):
        return len(self.X)

    def __iter__(self):
        for row in self.rng.permutation(len(self.X)):
            yield torch.from_numpy(self.X[row])


def test_examples_that_are_shuffled_are_refused(data):
    with pytest.raises(Mismatch):
        in_two(Shuffled(data[0]), n=N)


def test_two_students_are_compared_by_what_two_runs_tell(data):
    given = {"student": {"one": mlp(9, 1), "two": mlp(9, 2)}, "layers": "embedding"}
    kept, found = by_file(data, **given), in_two(data, **given)
    assert len(found.comparisons) == len(kept.comparisons) == 1
    for a, b in zip(kept.comparisons, found.comparisons):
        assert b.difference == pytest.approx(a.difference, rel=1e-7)


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"features": True}, "pass features=False too"),
        ({"pairs": "all"}, "pairs of layers by name, not all of them"),
        ({"reproducible": True}, "leaves no sums"),
        ({"passes": 3}, "passes=3 is not to be had"),
        ({"neighbours": 5}, "neighbours cannot come"),
    ],
)
def test_what_two_runs_cannot_do_is_refused(data, asked, line):
    with pytest.raises(UsageError, match=line):
        measured(data, **{"features": False, "passes": 2} | asked)


def test_groups_of_all_pairs_are_refused(data):
    with pytest.raises(UsageError, match="groups of all pairs of layers"):
        measured(data, features=False, groups=np.arange(N), pairs="all")


def test_the_plan_counts_the_second_run(data):
    lines = []
    assert len(in_two(data, plan=True, announce=lines.append)) == 0
    assert "runs over the data twice: about" in lines[0] and lines[0].endswith("no features are kept")
    assert any("second run: " in line and "sampling_interval" in line for line in lines)
