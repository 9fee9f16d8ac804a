"""Parquet is read as its rows are needed, alone and in shards; what is wrong is told by row and file (pyarrow)."""

import os
import threading

import numpy as np
import pytest

import kernelscope as ks
from kernelscope.errors import KernelscopeError, Mismatch, NumericalError, UnreadableInput
from kernelscope.features import parquet_rows
from kernelscope.features.kinds import open_features
from kernelscope.features.parquet_rows import open_parquet
from tests.libraries.test_arrow_features import FORMS, REFUSED, X, Y, fixed, pa, parquet, table, write

N = len(X)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(parquet_rows, "BLOCK_BYTES", 100 * X[0].nbytes)
    monkeypatch.setattr("kernelscope.features.ahead.AHEAD_BYTES", 0)


@pytest.mark.parametrize("form", FORMS)
def test_pieces_of_a_file_are_its_rows(form, tmp_path):
    found = open_parquet(write(tmp_path / "t.parquet", FORMS[form]()), None)
    rows = found.features("features")
    for start, stop in ((0, 3000), (650, 750), (10, 20), (2100, 2101), (699, 1401), (2999, 3000), (5, 5)):
        np.testing.assert_array_equal(rows[start:stop], X[start:stop])
    np.testing.assert_array_equal(np.concatenate([rows[i : i + 64] for i in range(0, N, 64)]), X)
    assert found.labels.tolist() == Y.tolist()


@pytest.mark.parametrize("case", set(REFUSED) - {"words", "empty"})
def test_what_is_wrong_in_a_later_row_is_told_when_it_is_read(case, tmp_path):
    make, kind, _ = REFUSED[case]
    wrong = make().column("x").to_pylist()[1]
    path = tmp_path / "t.parquet"
    parquet.write_table(table(x=pa.array([*([[1.0, 2.0]] * 999), wrong])), path, row_group_size=300)
    rows = open_parquet(path, None).features("x")
    assert len(rows[:900]) == 900
    with pytest.raises(kind, match="row 999"):
        rows[900:]
    assert len(rows[:900]) == 900


def test_ids_of_numbers_and_texts_are_read_as_they_are_sliced(tmp_path):
    for ids in (np.arange(N) * 7, np.array([f"image {i}" for i in range(N)])):
        found = open_parquet(write(tmp_path / "t.parquet", table(x=X, id=ids)), None)
        assert not isinstance(found.ids, np.ndarray)
        assert found.ids[1234:1240].tolist() == ids[1234:1240].tolist() and found.ids[:].tolist() == ids.tolist()
    path = write(tmp_path / "t.parquet", table(x=X[:5], id=pa.array([1, 2, None, 4, 5])))
    with pytest.raises(Mismatch, match="nothing in row 2, column id"):
        open_parquet(path, None).ids[:]


def test_a_folder_of_parquet_is_one_side(tmp_path):
    for i, start in enumerate(range(0, N, 300)):
        rows = slice(start, start + 300)
        write(tmp_path / f"part-{i}.parquet", table(emb=X[rows], id=np.arange(N)[rows], label=Y[rows]))
    found = open_features(tmp_path)
    np.testing.assert_array_equal(found.features("emb")[:], X)
    assert found.labels.tolist() == Y.tolist() and found.ids[:].tolist() == list(range(N))
    whole = ks.measure(teacher={"emb": X}, student={"emb": X[:, :3]}, labels=Y)
    parts = ks.measure(teacher=f"shards:{tmp_path}/*.parquet:emb", student={"emb": X[:, :3]})
    assert parts.transfer_loss == whole.transfer_loss
    with pytest.raises(Mismatch, match=r"1 ids stand in two shards.*row 0 of .*part-0.parquet.*row 1 of .*part-10"):
        write(tmp_path / "part-10.parquet", table(emb=X[:2], id=np.array([N, 0]), label=Y[:2]))
        open_features(tmp_path)


def test_a_missing_number_in_a_shard_is_told_by_its_file(tmp_path):
    bad = X[:50].copy()
    bad[7, 1] = np.nan
    for i, rows in enumerate((X[:50], bad)):
        write(tmp_path / f"{i}.parquet", table(emb=rows))
    with pytest.raises(NumericalError, match=r"row 57 \(row 7 of .*1\.parquet\)"):
        ks.measure(teacher=tmp_path, student=X[:100, :3])


def test_reading_starts_threads_and_leaves_none(tmp_path):
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    rows = open_parquet(write(tmp_path / "t.parquet", table(x=X)), None).features("x")
    assert len(rows[:100]) == 100 and rows._ahead.holds(1)
    assert len(rows[50:1000]) == 950
    rows.let_go()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before  # noqa: PTH208


@pytest.mark.parametrize("how", ["changes", "vanishes"])
def test_a_file_that_changes_or_vanishes_is_told(how, tmp_path):
    path = write(tmp_path / "t.parquet", table(x=X))
    rows = open_parquet(path, None).features("x")
    assert len(rows[:]) == N
    content = path.read_bytes()
    path.unlink()
    if how == "changes":
        path.write_bytes(content)
    with pytest.raises(UnreadableInput, match=r"t\.parquet (changed|cannot be read)"):
        rows[:]


def test_a_file_that_declares_more_rows_than_it_can_hold_is_refused(tmp_path):
    content = pa.table({"x": fixed(np.zeros((1, 2**20), "f4"))})
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.concat_tables([content] * 64), path)
    with pytest.raises(UnreadableInput, match="unpacks to over"):
        open_parquet(path, None)


def test_damaged_pieces_are_refused_or_read(tmp_path):
    rng = np.random.default_rng(1)
    content = write(tmp_path / "t.parquet", table(features=X[:50], label=Y[:50])).read_bytes()
    path = tmp_path / "broken.parquet"
    for _ in range(60):
        broken = bytearray(content)
        broken[rng.integers(8, len(broken) + 8) - 8] ^= 1 << rng.integers(8)
        path.write_bytes(broken)
        try:
            found = open_features(f"shards:{path}")
            found.features(found.layers[0])[:]
        except KernelscopeError as error:
            assert error.exit_code in (2, 3, 4, 5) and "\n" not in str(error)


def test_of_many_files_one_keeps_a_block_and_a_descriptor(tmp_path):
    for i in range(20):
        write(tmp_path / f"{i}.parquet", table(emb=X[:150]))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    found = open_features(tmp_path)
    rows = found.features("emb")
    for start in (*range(0, 3000, 100), 17, 2017, 1017):
        assert len(rows[start : start + 20]) == 20
    inside = [shard.found().features("emb") for shard in found._shards]
    assert sum(each._kept[0] >= 0 or each._batches is not None for each in inside) <= 1
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # noqa: PTH208
