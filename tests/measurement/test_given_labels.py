"""Labels and groups in files of every kind give the report that the same numbers give in memory."""

import json

import h5py
import numpy as np
import pytest
import torch

import kernelscope as ks
from kernelscope.errors import KernelscopeError, Mismatch, UnreadableInput
from kernelscope.measurement.output_numbers import NOT_OF_LOGITS

WORDS = np.array(["ant", "cat", "dog"])
Y = np.arange(30) % 3
TEXT = "\n".join(WORDS[Y])
DIGITS = "\n".join(map(str, Y))


def pair(seed=0):
    rng = np.random.default_rng(seed)
    T = rng.standard_normal((30, 6)) + 3 * np.eye(6)[Y]
    return {"teacher": T, "student": T[:, :4] + rng.standard_normal((30, 4)), "neighbours": 0}


def write(path, content):
    path.parent.mkdir(exist_ok=True)
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    elif path.suffix == ".npz":
        np.savez(path, **content)
    elif path.suffix == ".npy":
        np.save(path, content)
    elif path.suffix in (".h5", ".hdf5"):
        with h5py.File(path, "w") as file:
            for name, array in content.items():
                file.create_dataset(name, data=array)
    else:
        torch.save(content, path)
    return path


FILES = {
    "y.npy": Y,
    "column.npy": Y[:, None],
    "words.npy": WORDS[Y],
    "one.npz": {"anything": Y},
    "two.npz": {"features": np.zeros((30, 2)), "Y": Y},
    "words.npz": {"labels": WORDS[Y], "more": Y},
    "y.pt": torch.tensor(Y),
    "named.pt": {"labels": torch.tensor(Y)[:, None], "epoch": 3},
    "list.pt": Y.tolist(),
    "words.pth": WORDS[Y].tolist(),
    "y.txt": DIGITS + "\n",
    "y.csv": DIGITS,
    "headed.csv": "species\n" + DIGITS + "\n",
    "words.txt": TEXT,
    "words.csv": "\ufeff" + TEXT.replace("\n", "\r\n") + "\r\n",
    "words headed.csv": "species\n" + TEXT,
    "words called so.csv": '"Label"\n' + TEXT,
    "floats.txt": "\n".join(f"{y:.18e}" for y in Y),
    "y.h5": {"labels": Y, "x": np.zeros((30, 2))},
    "words.h5": {"y": WORDS[Y].tolist()},
    "no ending": TEXT,
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_the_report_that_numbers_in_memory_give(name, tmp_path):
    found = ks.measure(**pair(), labels=write(tmp_path / name, FILES[name])).pairs[0]
    expected = ks.measure(**pair(), labels=Y).pairs[0]
    assert found.classes.loss == expected.classes.loss
    assert found.nystrom == expected.nystrom
    words = "words" in name or name == "no ending"
    assert found.classes.names == (tuple(WORDS) if words else ("0", "1", "2"))
    assert {each.label for each in found.worst} <= set(found.classes.names)


def test_groups_are_read_as_labels_are(tmp_path):
    named = np.array(["first film", "second film", "third film"])[Y]
    expected = ks.measure(**pair(), groups=Y).pairs[0]
    for given in (named, write(tmp_path / "g.txt", "\n".join(named)), write(tmp_path / "g.npz", {"group": Y, "a": Y})):
        assert ks.measure(**pair(), groups=given).pairs[0].sampling_interval == expected.sampling_interval
    with pytest.raises(Mismatch, match=r"groups have shape \(29,\), expected \(30,\); give one group per example"):
        ks.measure(**pair(), groups=Y[1:])


def test_a_dataset_of_an_hdf5_file_is_chosen_by_name(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = pair()
    for side in ("teacher", "student"):
        np.save(f"{side}.npy", given[side])
    write(tmp_path / "y.h5", {"coarse": Y // 2, "fine": Y})
    options = ("measure", "--teacher", "teacher.npy", "--student", "student.npy", "--json", "--labels")
    code, out, _ = run(*options, "y.h5:fine")
    assert code == 0
    assert json.loads(out)["pairs"][0]["classes"]["names"] == ["0", "1", "2"]
    for place in ("y.h5:middle", "y.h5"):
        code, _, err = run(*options, place)
        assert code == 3 and "holds coarse, fine" in err and err.count("\n") == 1


def test_a_heading_that_is_no_usual_one_is_noted(tmp_path):
    report = ks.measure(**pair(), labels=write(tmp_path / "y.txt", "species\n" + TEXT))
    assert "the first line of the labels, 'species', was taken as their heading" in report.pairs[0].notes
    assert not any("heading" in note for note in ks.measure(**pair(), labels=write(tmp_path / "z.txt", TEXT)).notes)


@pytest.mark.parametrize(
    ("name", "content", "kind", "piece"),
    [
        ("y.npz", {"a": Y, "b": Y}, UnreadableInput, "holds a, b, of which none are called labels"),
        ("y.npz", {"y": Y, "labels": Y}, UnreadableInput, "of which 2 are called labels"),
        ("y.pt", {"weight": torch.zeros(3), "bias": torch.zeros(3)}, UnreadableInput, "holds weight, bias"),
        ("y.pt", {"labels": {"a": 1}}, UnreadableInput, "holds a dict, expected labels"),
        ("y.pt", [[0], [1]], UnreadableInput, "holds a list, expected labels: a tensor, or a list of numbers or words"),
        ("y.pt", torch.tensor(Y)[1:], Mismatch, r"shape \(29,\), expected \(30,\)"),
        ("y.pt", torch.eye(30), Mismatch, "argmax"),
        ("y.csv", "\n".join(f"{i},{y}" for i, y in enumerate(Y)), UnreadableInput, "has 2 columns, expected one"),
        ("y.csv", "\n".join(f"{i};{y}" for i, y in enumerate(Y)), UnreadableInput, "has 2 columns, expected one"),
        ("y.txt", "\n".join(f"{i}.png {y}" for i, y in enumerate(Y)), UnreadableInput, "has 2 columns, expected one"),
        ("y.txt", "\n".join(f"{y} {y}" for y in Y), UnreadableInput, "has 2 columns, expected one"),
        ("y.txt", TEXT[4:], Mismatch, r"shape \(29,\), expected \(30,\)"),
        ("y.txt", "ant\n" + TEXT, Mismatch, r"shape \(31,\), expected \(30,\)"),
        ("y.txt", TEXT.replace("dog", "7", 1), Mismatch, "are numbers and words"),
        ("y.txt", TEXT.replace("dog", "", 1), Mismatch, "hold '' in row 2"),
        ("y.txt", DIGITS.replace("2", "nan", 1), Mismatch, "hold nan in row 2"),
        ("y.txt", "[" + DIGITS + "]", UnreadableInput, "nor a column of UTF-8 text"),
        ("y.txt", "", UnreadableInput, "empty"),
        ("y.txt", "\0" + DIGITS, UnreadableInput, "nor a column of UTF-8 text"),
        ("y.txt", "version https://git-lfs.github.com/spec/v1\n", UnreadableInput, "is a git-lfs pointer, not labels"),
        ("y.csv", 'a"b\n"c"d\n', UnreadableInput, "is no CSV"),
    ],
)
def test_a_file_that_leaves_a_doubt_is_refused(name, content, kind, piece, tmp_path):
    with pytest.raises(kind, match=piece) as caught:
        ks.measure(**pair(), labels=write(tmp_path / name, content))
    assert isinstance(caught.value, KernelscopeError) and "\n" not in str(caught.value)


def test_a_pickle_of_labels_is_not_run(tmp_path):
    import pickle

    (tmp_path / "y.pkl").write_bytes(pickle.dumps(Y.tolist()))
    with pytest.raises(UnreadableInput, match="pickle of protocol"):
        ks.measure(**pair(), labels=tmp_path / "y.pkl")


def test_words_mark_no_answers_unless_the_features_name_their_classes(tmp_path):
    rng = np.random.default_rng(1)
    logits = {"logits": rng.standard_normal((30, 3))}
    sides = {"teacher": logits, "student": {"logits": logits["logits"] + 0.1}, "neighbours": 0}
    unmarked = ks.measure(**sides, labels=WORDS[Y]).pairs[0]
    assert unmarked.outputs.flips is None and NOT_OF_LOGITS in unmarked.notes
    assert ks.measure(**sides, labels=Y).pairs[0].outputs.flips is not None


IDS = np.array([f"image {i}" for i in range(30)])


def saved(path, X, ids):
    np.savez(path, features=X, ids=ids)
    return path


def test_rows_are_paired_by_ids_of_any_type(tmp_path):
    given = pair()
    order = np.random.default_rng(2).permutation(30)
    whole = ks.measure(**given).transfer_loss
    for ids, others in ((IDS, IDS.astype("U30")), (np.arange(30), np.arange(30, dtype=np.int16))):
        t = saved(tmp_path / "t.npz", given["teacher"], ids)
        s = saved(tmp_path / "s.npz", given["student"][order], others[order])
        assert ks.measure(teacher=t, student=s, align="ids").transfer_loss == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("side", ["teacher", "student"])
def test_an_id_that_repeats_is_named_with_its_rows(side, tmp_path):
    given, ids = pair(), {"teacher": IDS.copy(), "student": IDS.copy()}
    ids[side][7] = ids[side][3]
    files = {each: saved(tmp_path / f"{each}.npz", given[each], ids[each]) for each in ids}
    with pytest.raises(Mismatch, match=rf"{side} .*{side}\.npz has the id image 3 in rows 3 and 7"):
        ks.measure(**files, align="ids")


def test_rows_without_ids_are_not_aligned(tmp_path):
    given = pair()
    t = saved(tmp_path / "t.npz", given["teacher"], IDS)
    with pytest.raises(Mismatch, match="has no ids to align by"):
        ks.measure(teacher=t, student=given["student"], align="ids")
