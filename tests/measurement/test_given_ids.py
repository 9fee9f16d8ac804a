"""Ids in a file of their own pair rows as ids inside of the features do."""

import json

import numpy as np
import pytest
import torch

import kernelscope as ks
from kernelscope.errors import KernelscopeError, Mismatch, UsageError

N = 40
WORDS = np.array([f"img {i:02d}, left.png" for i in range(N)])
NUMBERS = np.arange(N) * 3 - 5


@pytest.fixture
def sides(tmp_path):
    """A teacher, the student's rows in another order, and that order."""
    rng = np.random.default_rng(0)
    T = rng.standard_normal((N, 6))
    S = T[:, :4] + rng.standard_normal((N, 4))
    order = rng.permutation(N)
    np.save(tmp_path / "t.npy", T)
    np.save(tmp_path / "s.npy", S[order])
    return T, S, order


def written(path, ids):
    if path.suffix == ".npy":
        np.save(path, ids)
    elif path.suffix == ".npz":
        np.savez(path, filenames=ids, other=np.zeros(3))
    elif path.suffix == ".pt":
        torch.save(ids.tolist(), path)
    elif path.suffix == ".csv":
        path.write_text("\n".join(["key,size", *(f'"{each}",{len(str(each))}' for each in ids)]))
        return f"{path}::key"
    elif path.suffix == ".parquet":
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet

        pyarrow.parquet.write_table(pa.table({"key": ids.tolist()}), path)
        return f"{path}::key"
    else:
        path.write_text("\n".join(["the names", *map(str, ids)]) + "\n")
    return path


@pytest.mark.parametrize("ids", [WORDS, NUMBERS], ids=["texts", "numbers"])
@pytest.mark.parametrize("kind", [".npy", ".npz", ".pt", ".csv", ".parquet", ".txt"])
def test_ids_of_a_sidecar_pair_rows_in_another_order(sides, ids, kind, tmp_path):
    T, S, order = sides
    given = {
        "teacher_ids": written(tmp_path / f"t_ids{kind}", ids),
        "student_ids": written(tmp_path / f"s_ids{kind}", ids[order]),
    }
    report = ks.measure(teacher=tmp_path / "t.npy", student=tmp_path / "s.npy", align="ids", neighbours=0, **given)
    assert report.transfer_loss == pytest.approx(ks.measure(teacher=T, student=S, neighbours=0).transfer_loss)
    assert not any("taken to correspond" in note for note in report.notes)
    with pytest.raises(Mismatch, match="in another order; pass align='ids'"):
        ks.measure(teacher=tmp_path / "t.npy", student=tmp_path / "s.npy", **given)


def test_a_sidecar_of_one_side_joins_what_the_other_holds_itself(sides, run, tmp_path):
    T, S, order = sides
    few = order[:30]
    np.savez("s.npz", features=S[few], ids=WORDS[few])
    written_to = written(tmp_path / "ids.txt", WORDS)
    words = ("measure", "--teacher", "t.npy", "--teacher-ids", str(written_to), "--student", "s.npz", "--json")
    code, out, _ = run(*words, "--join", "inner", "--quiet")
    (pair,) = json.loads(out)["pairs"]
    assert code == 0 and pair["n"] == 30
    few = np.sort(few)
    assert pair["transfer_loss"] == pytest.approx(ks.measure(teacher=T[few], student=S[few]).transfer_loss)


def test_ids_that_only_look_like_numbers_stay_texts(tmp_path):
    from kernelscope.measurement.given_labels import read_values

    path = tmp_path / "ids.txt"
    for texts in (["007", "7", "8"], ["1e5", "100000", "2"], ["-0", "0", "1"], ["5", "a", "6"]):
        path.write_text("\n".join(texts))
        assert read_values(path, 3, "ids")[0] == texts
    path.write_text("7\n-12\n0\n")
    assert read_values(path, 3, "ids")[0] == [7, -12, 0]


IDS = list(range(N))
WRONG = [
    ({"teacher_ids": IDS[1:]}, Mismatch, "has 39 ids for the 40 rows of teacher; give one for each row"),
    ({"teacher_ids": [1, "a"] * (N // 2)}, Mismatch, "of several kinds or missing"),
    ({"student_ids": [None, *IDS[1:]]}, Mismatch, "of several kinds or missing"),
    ({"student_ids": np.arange(N) / 2}, Mismatch, "are float64 .40,., expected whole numbers or texts"),
    ({"teacher_ids": np.zeros((N, 2), int)}, Mismatch, "expected whole numbers or texts"),
    (
        {"teacher_ids": [0, *IDS[:-1]], "student_ids": IDS, "align": "ids"},
        Mismatch,
        "teacher has id 0 twice|id 0 .* rows 0 and 1",
    ),
]


@pytest.mark.parametrize(("given", "kind", "line"), WRONG)
def test_ids_that_do_not_name_each_row_are_one_line(sides, given, kind, line):
    with pytest.raises(kind, match=line) as error:
        ks.measure(teacher=sides[0], student=sides[1], **given)
    assert len(str(error.value)) <= 200


def test_ids_are_refused_where_there_are_some_or_they_are_of_no_one(sides, tmp_path):
    T, S, _ = sides
    np.savez(tmp_path / "s.npz", features=S, ids=NUMBERS)
    with pytest.raises(UsageError, match=r"student_ids= is about rows without ids, and .*s\.npz has some"):
        ks.measure(teacher=T, student=tmp_path / "s.npz", student_ids=NUMBERS)
    with pytest.raises(UsageError, match="teacher_ids= is about features, and teacher is a network"):
        ks.measure(teacher=torch.nn.Linear(2, 2), student=S, teacher_ids=NUMBERS, data=np.zeros((N, 2), np.float32))
    with pytest.raises(UsageError, match="about one student"):
        ks.measure(teacher=T, student=[S, S], student_ids=NUMBERS)
    with pytest.raises(KernelscopeError, match="not c; name one of these"):
        (tmp_path / "two.csv").write_text("a,b\n" + "1,2\n" * N)
        ks.measure(teacher=T, student=S, student_ids=f"{tmp_path / 'two.csv'}::c")
