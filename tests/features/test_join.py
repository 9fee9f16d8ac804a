"""Rows of two sides are joined by id in parts and buckets, as they would be in memory, and nothing is left behind."""

import json
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

import kernelscope as ks
from kernelscope.errors import Mismatch, ResourceError, UsageError
from kernelscope.features import join as joining
from kernelscope.features import pair as pairs
from kernelscope.features.arrays import ArrayFeatures
from kernelscope.features.join import ChosenIds, GatheredRows, joined
from kernelscope.features.pair import FeaturePair
from kernelscope.kernels.row_views import Reordered
from tests.small_disk import fill

RNG = np.random.default_rng(0)
N = 2000
X = RNG.standard_normal((N, 5)).astype("f4")
#: the same examples known by other kinds of ids
KINDS = {
    "numbers": np.arange(N) * 7,
    "texts": np.array([f"image {i}" for i in range(N)]),
    "bytes": RNG.integers(0, 256, (N, 16)).astype(np.uint8),
    "bytes that begin alike": np.concatenate(
        [np.zeros((N, 12), "u1"), np.arange(N, dtype="<u4").view("u1").reshape(N, 4)], 1
    ),
}


@pytest.fixture
def small(monkeypatch):
    """Parts of 300 ids, buckets of 64 rows, and no row held in memory."""
    monkeypatch.setattr(joining, "PART_IDS", 300)
    monkeypatch.setattr(joining, "READ_IDS", 110)
    monkeypatch.setattr(joining, "BUCKET_BYTES", 64 * X[0].nbytes)
    monkeypatch.setattr(joining, "BLOCK_ROWS", 100)
    monkeypatch.setattr(pairs, "HELD_BYTES", 0)


class OnDisk:
    """Rows that are no array."""

    def __init__(self, rows):
        self.rows, self.shape, self.dtype = rows, rows.shape, rows.dtype

    def __getitem__(self, rows):
        return self.rows[rows]


def side(rows, ids, **more):
    return ArrayFeatures("x", {"features": rows}, ids=ids, **more)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_and_buckets_give_the_rows_that_a_dict_gives(kind, small):
    ids, order = KINDS[kind], RNG.permutation(N)
    teacher, student = RNG.permutation(N)[:1700], order[:1500]
    found = joined(ids[teacher], ids[student])
    where = {int(example): row for row, example in enumerate(student)}
    assert found.order.tolist() == [where.get(int(example), -1) for example in teacher]
    assert found.only_student == len(set(student) - set(teacher)) and found.repeated is None
    kept = found.order[found.order >= 0]
    rows = GatheredRows(OnDisk(X[student]), kept)
    np.testing.assert_array_equal(rows[:], X[student][kept])
    np.testing.assert_array_equal(rows[90:310], X[student][kept][90:310])
    assert rows.dtype == np.float32


def test_rows_that_one_side_lacks_come_to_no_bucket(small):
    order = np.array([5, 1, 9])
    np.testing.assert_array_equal(GatheredRows(OnDisk(X[:20]), order)[:], X[order])


@pytest.mark.parametrize("kind", KINDS)
def test_an_id_in_two_rows_is_found_wherever_they_stand(kind, small):
    ids = KINDS[kind]
    for role, (t, s) in {"teacher": (ids[[4, 1, 4, 2]], ids[:3]), "student": (ids[:3], ids[[4, 1, 4, 2]])}.items():
        assert joined(t, s).repeated == (role, 0, 2)
        with pytest.raises(Mismatch, match=f"{role} x has the id .* in rows 0 and 2"):
            FeaturePair(side(X[: len(t)], t), side(X[: len(s)], s), join="inner")


def test_an_inner_join_is_the_measurement_of_the_common_rows(small, tmp_path):
    ids = KINDS["texts"]
    teacher, student = RNG.permutation(N)[:1200], RNG.permutation(N)[:1400]
    both = [row for row in teacher if row in set(student)]
    np.savez(tmp_path / "t.npz", x=X[teacher], ids=ids[teacher])
    np.savez(tmp_path / "s.npz", x=X[student, :3] + 0.1, ids=ids[student])
    labels = teacher % 4
    found = ks.measure(teacher=tmp_path / "t.npz", student=tmp_path / "s.npz", join="inner", labels=labels)
    expected = ks.measure(teacher={"x": X[both]}, student={"x": X[both, :3] + 0.1}, labels=np.array(both) % 4)
    assert (found.pairs[0].n, found.transfer_loss) == (len(both), expected.transfer_loss)
    assert found.pairs[0].classes.loss == expected.pairs[0].classes.loss
    note = f"{len(both):,} rows are in both; {1200 - len(both)} of the teacher and {1400 - len(both)} of the student"
    assert any(note in each for each in found.pairs[0].notes)
    audited = ks.audit(teacher=tmp_path / "t.npz", student=tmp_path / "s.npz", join="inner")
    assert audited.pairs[0].n == len(both)


def test_rows_of_one_side_only_are_counted_and_refused(tmp_path, run):
    for name, rows in {"t": slice(0, 90), "s": slice(5, 100)}.items():
        np.savez(tmp_path / f"{name}.npz", x=X[rows], ids=KINDS["numbers"][rows])
    words = ("measure", "--teacher", tmp_path / "t.npz", "--student", tmp_path / "s.npz")
    code, _, err = run(*words, "--align", "ids")
    assert code == 4 and "5 of 90 examples of teacher" in err and "10 of 95 the other way; pass --join inner" in err
    code, out, err = run(*words, "--join", "inner", "--json")
    assert code == 0 and json.loads(out)["pairs"][0]["n"] == 85 and err == ""


def test_sides_without_a_common_row_are_refused_even_so():
    with pytest.raises(Mismatch, match="5 of 5 examples of teacher"):
        FeaturePair(side(X[:5], np.arange(5)), side(X[:5], np.arange(5) + 9), join="inner")


def test_rows_without_ids_are_known_by_their_numbers_beside_numbers():
    order = RNG.permutation(60)
    pair = FeaturePair(side(X[:60], None), side(X[:60][order], order), align="ids")
    np.testing.assert_array_equal(pair.pair("features", "features")[1][:], X[:60])
    assert "carry no ids and are known by their numbers" in pair.notes[0]
    with pytest.raises(Mismatch, match="has no ids to align by"):
        FeaturePair(side(X[:60], None), side(X[:60], KINDS["texts"][:60]), align="ids")


def test_ids_of_the_common_rows_are_read_as_they_are_sliced():
    rows = np.array([3, 4, 9, 100, 1999])
    for ids in KINDS.values():
        chosen = ChosenIds(ids, rows)
        np.testing.assert_array_equal(chosen[1:4], ids[rows[1:4]])
        assert chosen.shape == (5, *ids.shape[1:]) and len(chosen[2:2]) == 0


def test_only_large_rows_on_the_disk_are_put_in_order_there(small, tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped, order = np.load(tmp_path / "x.npy", mmap_mode="r"), RNG.permutation(N)
    for rows, kind in ((mapped, GatheredRows), (OnDisk(X), GatheredRows), (X, Reordered)):
        _, found = FeaturePair(side(X, order), side(rows, np.arange(N)), align="ids").pair("features", "features")
        assert isinstance(found, kind)
        np.testing.assert_array_equal(found[:], X[order])


def test_a_join_is_of_two_sides_and_all_rows():
    data = {"teacher": X, "student": X}
    for more, words in (
        ({"student": [X, X]}, "one teacher and one student"),
        ({"references": {"a": X}}, "one teacher and one student"),
        ({"limit": 5}, "about all rows"),
        ({"join": "outer"}, "join is 'outer', expected 'inner'"),
    ):
        with pytest.raises(UsageError, match=words):
            ks.measure(**{**data, "join": "inner", **more})


def test_a_missing_number_is_told_by_its_row_in_the_students_order(small, monkeypatch):
    bad, order = X.copy(), RNG.permutation(N)
    bad[7, 1] = np.nan
    rows = OnDisk(bad)
    rows.where = lambda row: f"row {row} of a file"
    with pytest.raises(ks.errors.NumericalError, match=rf"first in row {order.argsort()[7]} \(row 7 of a file\)"):
        ks.measure(teacher=side(X, order), student=side(rows, np.arange(N)), align="ids")


def test_a_disk_without_room_is_told_before_anything_is_written(small, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage(0, 0, 1000))
    with pytest.raises(ResourceError, match=r"has 1.0 kB free, .* needed; free some space"):
        GatheredRows(OnDisk(X), np.arange(N))[:1]


def test_a_disk_that_fills_meanwhile_is_exit_code_7_and_stays_clean(small, disk, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    fill(disk, leaving=8192)
    monkeypatch.setattr("kernelscope.features.spool.require_space", lambda *given: None)
    with pytest.raises(ResourceError, match="disk full while writing"):
        GatheredRows(OnDisk(X), RNG.permutation(N))[:1]
    assert [path.name for path in disk.iterdir()] == ["ballast"]


def killed_joins(folder, seed, kills):
    script = Path(__file__).parent / "join_kill_loop.py"
    run = subprocess.run([sys.executable, script, folder, str(seed), str(kills)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_three_killed_joins_leave_nothing_and_end_with_the_same_sums(tmp_path):
    assert killed_joins(tmp_path, seed=0, kills=3)["equal"] == 3


@pytest.mark.long
def test_a_hundred_killed_joins_leave_nothing_and_end_with_the_same_sums(tmp_path):
    told = killed_joins(tmp_path, seed=1, kills=100)
    assert told["equal"] == 100 and told["killed"] > 50
