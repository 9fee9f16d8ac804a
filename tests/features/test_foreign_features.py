"""Features of other programs are read as they are, told from weights by what they hold, or refused in one line."""

import json
import pickle
import struct

import h5py
import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from torch import nn

import kernelscope as ks
from kernelscope.errors import KernelscopeError, NumericalError, UnreadableInput
from kernelscope.features.kinds import features_in, is_feature_file, open_features
from kernelscope.measurement.inspection import describe

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 16)).astype("f4")
Y = np.arange(60) % 4
WORDS = np.array(["ant", "bee", "cat", "dog"])[Y]
IDS = np.array([f"image {i}" for i in range(60)])
T = torch.from_numpy(X)


def saved(path, content):
    torch.save(content, path)


def tensors(path, content):
    safetensors.torch.save_file(content, path)


def hdf5(path, content):
    with h5py.File(path, "w") as file:
        for name, (array, how) in content.items():
            file.create_dataset(name, data=array, **how)


def text(path, content):
    path.write_text(content, encoding="utf-8")


def table(path, content):
    frame, how = content
    frame.to_csv(path, **how)


def raw(path, content):
    path.write_bytes(content)


FRAME = pd.DataFrame(X, columns=[f"f{i}" for i in range(16)])
NUMBERED = pd.DataFrame(X)
OF_CHILDREN = (".h5", ".hdf5")  #: kinds whose child process takes a while to start
CHUNKS = {"chunks": (7, 5), "compression": "gzip", "shuffle": True}
FORMS = {
    "tensor.pt": (saved, T),
    "old.pt": (lambda path, x: torch.save(x, path, _use_new_zipfile_serialization=False), T),
    "dict.pt": (saved, {"features": T, "labels": torch.from_numpy(Y), "ids": IDS.tolist()}),
    "nested.pth": (saved, {"layers": {"features": T}, "labels": WORDS.tolist(), "epoch": 3, "name": "a"}),
    "bfloat.pt": (saved, {"emb": T.bfloat16()}),
    "pair.pt": (saved, (T, torch.from_numpy(Y))),
    "whole numbers.pt": (saved, (100 * T).round().long()),
    "views.pt": (saved, {"features": torch.cat([T, T], 1)[:, :16]}),
    "t.safetensors": (tensors, {"features": T, "labels": torch.from_numpy(Y)}),
    "bfloat.safetensors": (tensors, {"features": T.bfloat16()}),
    "plain.h5": (hdf5, {"features": (X, {})}),
    "chunked.hdf5": (hdf5, {"group/deep/features": (X, CHUNKS), "group/deep/labels": (Y, {})}),
    "words.h5": (hdf5, {"features": (X, {}), "labels": (WORDS.tolist(), {}), "ids": (IDS.tolist(), {})}),
    "headed.csv": (table, (FRAME, {"index": False})),
    "index.csv": (table, (FRAME, {})),
    "numbered.csv": (table, (NUMBERED, {"index": False})),
    "numbered index.csv": (table, (NUMBERED, {})),
    "bare.csv": (table, (FRAME, {"index": False, "header": False})),
    "described.csv": (table, (FRAME.assign(label=WORDS, id=IDS), {"index": False})),
    "semicolon.csv": (table, (FRAME, {"index": False, "sep": ";"})),
    "t.tsv": (table, (FRAME, {"index": False, "sep": "\t"})),
    "savetxt.txt": (lambda path, x: np.savetxt(path, x, header="my features"), X),
    "t.fbin": (raw, struct.pack("<II", 60, 16) + X.tobytes()),
    "half.f16bin": (raw, struct.pack("<II", 60, 16) + X.astype("<f2").tobytes()),
    "no ending": (saved, {"z": T}),
}


def written(folder, name):
    write, content = FORMS[name]
    write(folder / name, content)
    return folder / name


@pytest.mark.parametrize("name", FORMS)
def test_features_are_the_numbers_that_were_saved(name, tmp_path):
    path = written(tmp_path, name)
    assert is_feature_file(path)
    found = open_features(path)
    assert (found.n, len(found.layers)) == (60, 1)
    rows = np.asarray(found.features(found.layers[0])[:])
    narrow = {"bf": T.bfloat16().float().numpy(), "ha": X.astype("f2"), "wh": (100 * X).round()}
    expected = narrow.get(name[:2], X)
    np.testing.assert_allclose(rows, expected, rtol=1e-6)
    if name in ("dict.pt", "pair.pt", "t.safetensors", "chunked.hdf5"):
        assert found.labels.tolist() == Y.tolist()
    if name in ("nested.pth", "words.h5", "described.csv"):
        assert [found.classes[label] for label in found.labels] == WORDS.tolist()
    if name in ("dict.pt", "words.h5", "described.csv"):
        assert found.ids.tolist() == IDS.tolist()
    if path.suffix not in OF_CHILDREN:
        assert any("60 × 16" in line for line in describe(path))


def test_large_files_are_read_as_their_rows_are(tmp_path):
    for name in ("t.safetensors", "t.fbin", "plain.h5", "chunked.hdf5"):
        found = open_features(written(tmp_path, name))
        rows = found.features(found.layers[0])
        assert not isinstance(rows, np.ndarray)
        np.testing.assert_array_equal(rows[7:33], X[7:33])


def test_shuffled_rows_are_paired_by_ids_of_any_kind(tmp_path):
    order = RNG.permutation(60)
    saved(tmp_path / "t.pt", {"features": T, "ids": IDS.tolist()})
    hdf5(tmp_path / "s.h5", {"x": (X[order, :5], {}), "ids": (IDS[order].tolist(), {})})
    expected = ks.transfer_loss(teacher=X, student=X[:, :5]).value
    found = ks.measure(teacher=tmp_path / "t.pt", student=tmp_path / "s.h5", align="ids")
    assert found.transfer_loss == pytest.approx(expected)


BOTH = {"features": T, "test": T[:30], "more": {"a": T, "b": T * 2}}


@pytest.mark.parametrize("name", ["several.pt", "several.h5", "several.npz", "several.safetensors"])
def test_of_several_matrices_one_is_named_and_inspect_lists_them(name, tmp_path):
    path = tmp_path / name
    flat = {"features": T, "test": T[:30] * 1, "more/a": T * 1, "more/b": T * 2}
    if name.endswith("pt"):
        saved(path, BOTH)
    elif name.endswith("h5"):
        hdf5(path, {key: (x.numpy(), {}) for key, x in flat.items()})
    elif name.endswith("npz"):
        np.savez(path, **{key: x.numpy() for key, x in flat.items()})
    else:
        tensors(path, flat)
    lines = list(describe(path))
    assert sum("60 × 16" in line for line in lines) == 3 and any("test: 30 × 16" in line for line in lines)
    more = open_features(f"{path}::more")
    assert more.layers == ("a", "b")
    np.testing.assert_array_equal(more.features("b")[:], 2 * X)
    if not name.endswith("h5"):
        with pytest.raises(UnreadableInput, match="of several numbers of rows; name one, as several"):
            open_features(path)
        assert open_features(f"{path}::test").n == 30
        with pytest.raises(UnreadableInput, match=r"not nothing; name one|holds no features"):
            open_features(f"{path}::nothing")


NETWORKS = {
    "state dict": nn.Sequential(nn.Linear(16, 60), nn.Linear(60, 60)).state_dict(),
    "no bias": nn.Linear(16, 60, bias=False).state_dict(),
    "in a dict": {"state_dict": nn.Linear(16, 60).state_dict(), "epoch": 1},
    "embedding": nn.Sequential(nn.Embedding(60, 16)).state_dict(),
    "own parameters": {"W": torch.ones(60, 16), "b": torch.ones(60)},
    "position embedding": {"positional_embedding": torch.ones(60, 16), "fc.weight": torch.ones(60, 16)},
    "nothing": {"epoch": 1},
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_weights_are_no_features(kind, tmp_path):
    saved(tmp_path / "t.pt", NETWORKS[kind])
    assert features_in(tmp_path / "t.pt") is None


def test_where_both_may_be_meant_one_is_to_be_named(tmp_path):
    path = tmp_path / "both.pt"
    saved(path, {"features": T, "state_dict": nn.Linear(16, 60).state_dict()})
    with pytest.raises(UnreadableInput, match=r"features \(features\) and weights .*name one, as both.pt::features"):
        features_in(path)
    assert open_features(f"{path}::features").n == 60
    assert features_in(f"{path}::state_dict") is None
    assert features_in(path, may_be_network=True) is None


def test_links_and_loops_of_an_hdf5_file_are_passed_over(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = X
        file["soft"], file["out"] = h5py.SoftLink("/x"), h5py.ExternalLink("other.h5", "/x")
        file["empty"], file["records"] = h5py.Empty("f4"), np.zeros(60, [("a", "f4")])
        file.create_group("group")["loop"] = file["/"]
    found = open_features(tmp_path / "x.h5")
    assert found.layers == ("x",)
    assert len(found.notes) == 4 and all("not measured" in note for note in found.notes)
    with pytest.raises(UnreadableInput, match="holds a link that leads elsewhere"):
        open_features(f"{tmp_path}/x.h5:out")


REFUSED = {
    "maps.pt": (saved, {"features": torch.ones(6, 4, 2, 2)}, "expected features \\(n, d\\); save it pooled"),
    "map.pt": (saved, torch.ones(6, 4, 2, 2), "expected features"),
    "words.csv": (text, "a,b\n1,2\n1,x\n", "has 'x' in row 1, column b, expected a number"),
    "decimals.csv": (text, "0,5;1,5\n2,5;3,5\n", "has '0,5' in row 0, column 0, .*write decimals with points"),
    "words first.csv": (text, "ant,1,2\nbee,3,4\n", "has 'ant' in row 0, column 0, .*name the columns"),
    "sparse.pt": (saved, T.to_sparse(), "sparse tensor"),
    "ragged.csv": (text, "a,b\n1,2\n1,2,3\n", "has 3 cells in row 1, expected 2"),
    "headings.csv": (text, "a,b,c\n1,2\n", "3 headings and 2 cells"),
    "quote.csv": (text, 'a,b\n1,2\n"1,2\n', "cannot be read"),
    "nul.csv": (raw, b"1,2\n3,4\n" * 999 + b"\0,\0\n", "in row 1998, column 0, expected a number"),
    "t.fbin": (raw, struct.pack("<II", 60, 16) + bytes(100), "declares 60 vectors of 16 float32, 3,848 bytes"),
    "empty.fbin": (raw, b"", "is empty"),
    "t.mat": (raw, b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "scipy.io.loadmat"),
    "array.pt": (saved, X, "arrays of NumPy, which are not unpickled; save them by numpy.save"),
    "arrays.pt": (saved, {"features": X}, "arrays of NumPy"),
    "vectors.pt": (saved, list(T), "holds 60 tensors x, expected one of features .*; save torch.stack\\(x\\)"),
    "batches.pt": (saved, list(T.split(9)), "save torch.cat\\(x\\)"),
    "by name.pt": (saved, {"a.jpg": T[0], "b.jpg": T[1]}, "save torch.stack\\(list\\(x.values"),
    "new.mat": (raw, b"MATLAB 7.3 MAT-file, Platform: GLNXA64", "h5py.File"),
    "x.pkl": (lambda path, x: path.write_bytes(pickle.dumps(x)), [1], "holds no features that are read|numpy.save"),
    "ints.h5": (hdf5, {"x": (Y, {})}, "no matrix of floats"),
    "labels.h5": (hdf5, {"x": (X, {}), "labels": (np.arange(4.0) / 3, {})}, "expected 60 rows"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_matrix_is_refused_by_what_it_is(name, tmp_path):
    write, content, piece = REFUSED[name]
    write(tmp_path / name, content)
    with pytest.raises(UnreadableInput, match=piece) as caught:
        open_features(tmp_path / name)
    assert len(str(caught.value).replace(str(tmp_path), "")) <= 200


@pytest.mark.parametrize("cell", ["", "nan", "NA", "inf"])
def test_a_number_that_is_missing_is_named_by_row_and_column(cell, tmp_path):
    text(tmp_path / "x.csv", f"a,b\n1,2\n3,{cell}\n")
    with pytest.raises(NumericalError, match="in row 1, column b; fill it or drop the row"):
        open_features(tmp_path / "x.csv")


def test_columns_of_words_are_passed_over_with_a_note(tmp_path):
    text(tmp_path / "x.csv", "species,a,b\nant,1,2\nbee,3,4\n")
    found = open_features(tmp_path / "x.csv")
    assert found.features("features").tolist() == [[1, 2], [3, 4]]
    assert found.notes == ("x.csv also holds words (species): not measured",)
    text(tmp_path / "y.csv", "a,b,year\n.5,.25,2001\n1.5,2.5,2002\n")
    (note,) = open_features(tmp_path / "y.csv").notes
    assert note == "y.csv: columns of whole numbers (year) are measured among the others"


def test_labels_are_a_column_by_its_name(tmp_path):
    table(tmp_path / "t.csv", (FRAME.assign(species=WORDS, year=Y), {"index": False}))
    np.savez(tmp_path / "t.npz", coarse=Y // 2, fine=Y)
    saved(tmp_path / "t.pt", {"coarse": Y.tolist(), "fine": WORDS.tolist()})
    for part in ("t.csv:species", "t.csv:year", "t.npz::fine", "t.pt::fine"):
        found = ks.measure(teacher=X, student=X[:, :4], labels=tmp_path / part)
        assert len(found.pairs[0].classes.names) == 4
        assert found.pairs[0].classes.loss == ks.measure(teacher=X, student=X[:, :4], labels=Y).pairs[0].classes.loss
    with pytest.raises(UnreadableInput, match="not kind; name one of these"):
        ks.measure(teacher=X, student=X, labels=tmp_path / "t.csv:kind")


@pytest.mark.parametrize("name", [name for name in FORMS if not name.endswith(OF_CHILDREN)])
def test_a_file_that_is_cut_short_or_changed_is_refused_or_read(name, tmp_path):
    path = written(tmp_path, name)
    content = path.read_bytes()
    for _ in range(6):
        broken = bytearray(content[: RNG.integers(1, len(content))] if RNG.random() < 0.5 else content)
        broken[RNG.integers(len(broken))] ^= 1 << RNG.integers(8)
        path.write_bytes(broken)
        try:
            found = features_in(path)
            if found is not None:
                [found.features(layer)[:3] for layer in found.layers]
        except KernelscopeError as error:
            assert "\n" not in str(error)


def test_a_safetensors_header_that_lies_is_refused(tmp_path):
    for change in ({"shape": [60, 17]}, {"data_offsets": [0, 9999]}, {"data_offsets": [-64, 3776]}, {"shape": "a"}, {}):
        described = {"dtype": "F32", "shape": [60, 16], "data_offsets": [0, 3840]} | change
        header = json.dumps({"features": described if change else 3}).encode()
        raw(tmp_path / "x.safetensors", struct.pack("<Q", len(header)) + header + X.tobytes())
        with pytest.raises(UnreadableInput):
            open_features(tmp_path / "x.safetensors")
