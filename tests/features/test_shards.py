"""Several files are one side: rows in the order of their names, or one line that names the file that is wrong."""

import itertools
import os
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch

import kernelscope as ks
from kernelscope.errors import KernelscopeError, Mismatch, NumericalError, UnreadableInput
from kernelscope.features import shards as sharding
from kernelscope.features.header import Samples
from kernelscope.features.kinds import features_in, is_feature_file, open_features
from kernelscope.features.writing import feature_writer
from kernelscope.measurement.inspection import describe

N, D = 1000, 6
X = np.random.default_rng(0).standard_normal((N, D)).astype("f4")
CUTS = [0, 90, 91, 400, 790, 791, 792, 800, 805, 806, 900, N]  # eleven files: p10 stands last


def store(path, rows):
    layer = {"width": D, "pool": "auto", "raw_shape": [D], "torch_dtype": "float32"}
    ids = np.zeros((len(rows), 16), np.uint8)
    ids.view("<u8")[:, 0] = np.searchsorted(X[:, 0], rows[:, 0], sorter=np.argsort(X[:, 0]))
    with feature_writer(path, config={}, samples=Samples(ids, "o", "s", None, ()), dtype="float32") as writer:
        writer.create_layers({"x": layer})
        writer.write(0, {"x": rows})


def hdf5(path, rows):
    with h5py.File(path, "w") as file:
        file["x"] = rows


FORMS = {
    ".npy": np.save,
    ".npz": lambda path, rows: np.savez(path, x=rows),
    ".safetensors": lambda path, rows: safetensors.torch.save_file({"x": torch.from_numpy(rows.copy())}, path),
    ".pt": lambda path, rows: torch.save(torch.from_numpy(rows.copy()), path),
    ".fbin": lambda path, rows: path.write_bytes(struct.pack("<II", *rows.shape) + rows.tobytes()),
    ".csv": lambda path, rows: np.savetxt(path, rows.astype("f8"), delimiter=",", fmt="%.17g"),
}


def cut(folder, suffix=".npy", save=None, cuts=CUTS):
    for i, (start, stop) in enumerate(itertools.pairwise(cuts)):
        (save or FORMS[suffix])(folder / f"p{i}{suffix}", X[start:stop])
    return f"shards:{folder}/p*{suffix}"


@pytest.mark.parametrize("suffix", FORMS)
def test_shards_are_the_rows_of_all_files_in_the_order_of_names(suffix, tmp_path):
    for given in (cut(tmp_path, suffix), tmp_path):
        found = open_features(given)
        rows = found.features(found.layers[0])
        assert (found.n, rows.shape, found.ids, found.order_sha256) == (N, (N, D), None, None)
        np.testing.assert_array_equal(rows[:], X)
        for start, stop in ((0, 1), (89, 92), (399, 401), (805, 1000), (7, 7), (0, N)):
            np.testing.assert_array_equal(rows[start:stop], X[start:stop])
        assert is_feature_file(given)


def test_shards_of_hdf5_are_too(tmp_path):
    found = open_features(cut(tmp_path, ".h5", hdf5, [0, 300, N]))
    np.testing.assert_array_equal(found.features("x")[:], X)


def test_a_store_in_parts_has_the_fingerprint_of_the_whole(tmp_path):
    (tmp_path / "a").mkdir()
    store(tmp_path / "whole.h5", X)
    parts = open_features(cut(tmp_path / "a", ".h5", store, [0, 300, N]))
    ids = open_features(tmp_path / "whole.h5").ids[:]
    assert parts.order_sha256 == sharding.fingerprint(ids)
    np.testing.assert_array_equal(parts.ids[:], ids)
    np.testing.assert_array_equal(parts.features("x")[:], X)
    assert parts.verify()


@pytest.mark.parametrize("block", [16, 40, 10**9])
def test_no_size_of_blocks_changes_a_row(block, tmp_path, monkeypatch):
    monkeypatch.setattr(sharding, "BLOCK_BYTES", block * D * 4)
    rows = open_features(cut(tmp_path)).features("features")
    np.testing.assert_array_equal(np.concatenate([rows[i : i + 37] for i in range(0, N, 37)]), X)


def test_a_report_of_shards_is_that_of_one_array(tmp_path):
    S = X[:, :3] + 0.1
    labels = np.arange(N) % 4
    np.save(tmp_path / "s.npy", S)
    whole = ks.measure(teacher=X, student=S, labels=labels)
    parts = ks.measure(teacher=cut(tmp_path), student=str(tmp_path / "s.npy"), labels=labels)
    assert parts.transfer_loss == whole.transfer_loss and parts.cka == whole.cka
    assert "11 files, 1,000 rows, are one side" in parts.pairs[0].notes


def test_shards_serve_as_student_reference_and_sums(tmp_path):
    (tmp_path / "t").mkdir()
    given = cut(tmp_path / "t")
    report = ks.measure(teacher=X, student=given, references={"again": given}, sums_out=None)
    assert report.transfer_loss == 0 and report.pairs[0].references[0].name == "again"
    ks.measure(teacher=given, student=X[:, :2], sums_out=tmp_path / "p.kss")
    assert ks.measure(sums=tmp_path / "p.kss").pairs[0].n == N
    assert ks.audit(teacher=given, student=given).pairs[0].transfer_loss == 0


def test_gate_and_inspect_take_shards(tmp_path, run):
    given = cut(tmp_path)
    code, out, err = run("gate", "--teacher", given, "--student", given, "--max", "transfer_loss=0")
    assert (code, err) == (0, ""), out
    code, out, _ = run("inspect", given)
    assert code == 0 and "features of 1,000 examples, 1 layers" in out and "1,000 × 6" in out
    assert "not all of its files have checksums" in list(describe(Path(given), verify=True))


def test_labels_and_ids_of_all_files_stand_beside_the_rows(tmp_path):
    for i in range(3):
        rows = slice(100 * i, 100 * (i + 1))
        words = np.array(["ant", "bee", "cat", "dog"])[i : i + 2]
        np.savez(
            tmp_path / f"{i}.npz",
            x=X[rows],
            labels=words[np.arange(100) % 2],
            ids=[f"image {k}" for k in range(300)][rows],
        )
    found = open_features(tmp_path)
    assert found.classes == ("ant", "bee", "cat", "dog")
    assert found.labels.tolist() == [i + k % 2 for i in range(3) for k in range(100)]
    assert found.ids[:].tolist() == [f"image {k}" for k in range(300)]


def test_an_array_in_every_file_is_named_as_in_one(tmp_path):
    for i in range(2):
        np.savez(tmp_path / f"{i}.npz", x=X[:5] + i, other=X[:5, :2], weights=X[:3])
    found = open_features(f"shards:{tmp_path}/*.npz::x")
    assert found.layers == ("x",) and found.n == 10
    np.testing.assert_array_equal(found.features("x")[:], np.concatenate([X[:5], X[:5] + 1]))


def test_many_shards_hold_few_descriptors(tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    found = open_features(cut(tmp_path, cuts=list(range(0, N + 1, 10))))
    rows = found.features("features")
    np.testing.assert_array_equal(rows[:], X)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2


def test_the_next_block_is_read_by_another_thread_across_files(tmp_path, monkeypatch):
    monkeypatch.setattr("kernelscope.features.ahead.AHEAD_BYTES", 0)
    monkeypatch.setattr(sharding, "BLOCK_BYTES", 100 * D * 4)
    rows = open_features(cut(tmp_path)).features("features")
    assert len(rows[:100]) == 100 and rows._ahead.holds(1)
    np.testing.assert_array_equal(rows[:], X)


def test_files_that_are_read_whole_are_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr(sharding, "HELD_BYTES", 0)
    found = open_features(cut(tmp_path, ".npz"))
    np.testing.assert_array_equal(found.features("x")[:], X)
    assert len(found._shards[0]._recent._held) == 1


def changed(**files):
    """Shards 0 and 1 of features as they should be, and what else is written."""

    def write(folder):
        for i in range(2):
            np.save(folder / f"p{i}.npy", X[10 * i : 10 * i + 10])
        for name, rows in files.items():
            save = np.save if isinstance(rows, np.ndarray) else lambda path, rows: np.savez(path, **rows)
            save(folder / f"{name}.{'npy' if isinstance(rows, np.ndarray) else 'npz'}", rows)

    return write


def named(folder, rows):
    np.savez(folder / "a.npz", **rows[0])
    np.savez(folder / "b.npz", **rows[1])


BAD = {
    "another width": (changed(p2=X[:5, :3]), "p*.npy", Mismatch, "p2.npy has 3 features in features, expected 6 as in"),
    "another type": (changed(p2=X[:5].astype("f8")), "p*.npy", Mismatch, "p2.npy is of float64 and .*p0.npy of"),
    "no match": (changed(), "q*.npy", UnreadableInput, "no file matches .*q.*npy; correct the pattern"),
    "no matrix": (changed(p2=np.arange(3)), "p*.npy", Mismatch, r"p2.npy have shape \(3,\)"),
    "row counts": (
        lambda folder: named(folder, ({"x": X[:5], "y": X[:5]}, {"x": X[:5], "y": X[:4]})),
        "*.npz",
        UnreadableInput,
        "b.npz holds .*of several numbers of rows",
    ),
    "layers": (
        lambda folder: named(folder, ({"x": X[:5], "y": X[:5]}, {"x": X[:5]})),
        "*.npz",
        Mismatch,
        "b.npz holds x and .*a.npz x, y",
    ),
    "ids": (
        lambda folder: named(folder, ({"x": X[:5], "ids": np.arange(5)}, {"x": X[:5]})),
        "*.npz",
        Mismatch,
        "a.npz has ids and .*b.npz has none",
    ),
    "labels": (
        lambda folder: named(folder, ({"x": X[:5]}, {"x": X[:5], "labels": np.arange(5)})),
        "*.npz",
        Mismatch,
        "b.npz has labels and .*a.npz has none",
    ),
    "kinds of ids": (
        lambda folder: named(folder, ({"x": X[:5], "ids": np.arange(5)}, {"x": X[:5], "ids": list("abcde")})),
        "*.npz",
        Mismatch,
        "b.npz are of another kind",
    ),
    "an id twice": (
        lambda folder: named(folder, ({"x": X[:5], "ids": np.arange(5)}, {"x": X[:5], "ids": [9, 8, 3, 2, 7]})),
        "*.npz",
        Mismatch,
        "2 ids stand in two shards, the first as row 3 of .*a.npz and as row 2 of .*b.npz",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_of_one_side_is_one_line_that_names_the_file(case, tmp_path, monkeypatch):
    write, pattern, kind, said = BAD[case]
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    with pytest.raises(kind, match=said) as told:
        open_features(f"shards:{pattern}")
    assert len(str(told.value)) <= 200


def test_a_number_that_is_missing_is_told_by_file_and_row(tmp_path):
    given = cut(tmp_path)
    bad = X[791:792].copy()
    bad[0, 2] = np.nan
    np.save(tmp_path / "p5.npy", bad)
    with pytest.raises(NumericalError, match=r"first in row 791 \(row 0 of .*p5.npy\)"):
        ks.measure(teacher=given, student=X)


def test_a_folder_of_a_network_stays_one(tmp_path):
    cut(tmp_path)
    for name in ("config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json"):
        (tmp_path / name).write_text("{}")
        assert features_in(tmp_path) is None
        (tmp_path / name).unlink()
    assert features_in(tmp_path).n == N


def test_a_folder_of_weights_is_no_folder_of_features(tmp_path):
    torch.save({"fc.weight": torch.zeros(2, 3), "fc.bias": torch.zeros(2)}, tmp_path / "a.pt")
    assert features_in(tmp_path) is None
    with pytest.raises(UnreadableInput, match=r"a\.pt holds no features"):
        open_features(f"shards:{tmp_path}/*.pt")


def test_a_folder_with_files_of_two_kinds_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "b.npz", x=X)
    with pytest.raises(UnreadableInput, match=r"of several kinds \(.npy, .npz\); name those that are meant"):
        open_features(tmp_path)


def test_a_folder_without_features_is_refused_in_one_line(tmp_path, run):
    (tmp_path / "a.txt").write_text("hello")
    for given in (tmp_path, f"shards:{tmp_path}"):
        code, _, err = run("measure", "--teacher", given, "--student", given)
        assert code == 3 and err.count("\n") == 1 and "features" in err, err


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
@pytest.mark.parametrize("how", ["changes", "is another file", "vanishes", "is cut short"])
def test_a_shard_that_changes_or_vanishes_between_passes_is_told(suffix, how, tmp_path, monkeypatch):
    monkeypatch.setattr(sharding, "HELD_BYTES", 0)
    monkeypatch.setattr(sharding, "BLOCK_BYTES", 10 * D * 4)
    found = open_features(cut(tmp_path, suffix, hdf5 if suffix == ".h5" else None, [0, 300, 600, N]))
    rows = found.features(found.layers[0])
    np.testing.assert_array_equal(rows[:], X)
    path = tmp_path / f"p1{suffix}"
    content = path.read_bytes()
    if how in ("is another file", "vanishes"):
        path.unlink()
    if how != "vanishes":
        path.write_bytes(content if how != "is cut short" else content[:-9])
        os.utime(path, ns=(1, 1))
    with pytest.raises(UnreadableInput, match=rf"p1{suffix}.*(changed while it was read|No such file|does not exist)"):
        rows[:]


def test_too_many_shards_or_a_broken_one_end_in_one_line(tmp_path, monkeypatch):
    given = cut(tmp_path)
    (tmp_path / "p3.npy").write_bytes(b"\x93NUMPY and nothing")
    with pytest.raises(KernelscopeError, match=r"p3\.npy cannot be read"):
        open_features(given)
    monkeypatch.setattr("kernelscope.features.shard_files.MOST_SHARDS", 5)
    with pytest.raises(KernelscopeError, match="has 11 shards, at most 5"):
        open_features(given)
