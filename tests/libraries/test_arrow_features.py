"""Columns of Parquet, Arrow and Feather files are features, labels and ids, or refused in one line (needs pyarrow)."""

import numpy as np
import pytest

import kernelscope as ks
from kernelscope.errors import KernelscopeError, NumericalError, UnreadableInput
from kernelscope.features.kinds import features_in, open_features
from kernelscope.measurement.inspection import describe

pa = pytest.importorskip("pyarrow")
feather = pytest.importorskip("pyarrow.feather")
ipc = pytest.importorskip("pyarrow.ipc")
parquet = pytest.importorskip("pyarrow.parquet")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3000, 6)).astype("f4")
Y = np.arange(3000) % 3
WORDS = np.array(["ant", "bee", "cat"])[Y]


def fixed(x):
    return pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])


def table(**columns):
    return pa.table({name: fixed(x) if getattr(x, "ndim", 1) == 2 else x for name, x in columns.items()})


def write(path, content):
    if path.suffix == ".parquet":
        parquet.write_table(content, path, row_group_size=700)
    elif path.suffix == ".feather":
        feather.write_feather(content, path)
    else:
        with (ipc.new_file if path.suffix == ".arrow" else ipc.new_stream)(path, content.schema) as out:
            out.write_table(content, max_chunksize=700)
    return path


SUFFIXES = [".parquet", ".arrow", ".feather", ".stream"]
FORMS = {
    "fixed": lambda: table(features=X, label=Y),
    "lists": lambda: table(features=pa.array(list(X)), label=Y),
    "large lists": lambda: table(features=pa.array(X.tolist(), pa.large_list(pa.float32())), label=Y),
    "columns": lambda: table(**{f"f{i}": X[:, i] for i in range(6)}, label=Y),
    "words": lambda: table(features=X, label=pa.array(WORDS.tolist()).dictionary_encode(), text=WORDS.tolist()),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("form", FORMS)
def test_vectors_and_columns_of_numbers_are_features(form, suffix, tmp_path):
    found = open_features(write(tmp_path / f"t{suffix}", FORMS[form]()))
    np.testing.assert_array_equal(found.features("features")[:], X)
    assert found.labels.tolist() == Y.tolist()
    assert found.classes == (("ant", "bee", "cat") if form == "words" else ())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_column_is_named_for_features_and_labels(suffix, tmp_path):
    path = write(tmp_path / f"t{suffix}", table(a=X, b=2 * X, species=WORDS.tolist(), fine=Y))
    np.testing.assert_array_equal(open_features(f"{path}::b").features("b"), 2 * X)
    assert open_features(path).layers == ("a", "b")
    assert any("a: 3,000 × 6" in line for line in describe(path))
    found = ks.measure(teacher=f"{path}::a", student=X[:, :4], labels=f"{path}::species").pairs[0]
    assert found.classes.names == ("ant", "bee", "cat")
    with pytest.raises(UnreadableInput, match="holds a, b, species, fine, not one c"):
        open_features(f"{path}::c")


def test_shuffled_rows_are_paired_by_ids(tmp_path):
    order = RNG.permutation(3000)
    t = write(tmp_path / "t.parquet", table(features=X, id=np.arange(3000)))
    s = write(tmp_path / "s.parquet", table(features=X[order, :4], id=order))
    found = ks.measure(teacher=t, student=s, align="ids")
    assert found.transfer_loss == pytest.approx(ks.transfer_loss(teacher=X, student=X[:, :4]).value)


REFUSED = {
    "uneven": (lambda: table(x=pa.array([[1.0, 2.0], [1.0]])), UnreadableInput, "has 1 numbers in row 1, expected 2"),
    "missing": (lambda: table(x=pa.array([[1.0, 2.0], None])), NumericalError, "no value in row 1"),
    "missing inside": (lambda: table(x=pa.array([[1.0, 2.0], [1.0, None]])), NumericalError, "no number in row 1"),
    "words": (lambda: table(x=["a", "b"]), UnreadableInput, "no column of vectors or floats"),
    "empty": (lambda: table(x=pa.array([], pa.float32())), UnreadableInput, "holds no rows"),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_matrix_is_refused(case, suffix, tmp_path):
    make, kind, piece = REFUSED[case]
    with pytest.raises(kind, match=piece) as caught:
        open_features(write(tmp_path / f"t{suffix}", make()))
    assert len(str(caught.value).replace(str(tmp_path), "")) <= 200


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_damaged_file_is_refused_or_read(suffix, tmp_path):
    content = write(tmp_path / f"t{suffix}", table(features=X[:50], label=Y[:50])).read_bytes()
    path = tmp_path / "broken"
    for _ in range(60):
        broken = bytearray(content[: RNG.integers(8, len(content))] if RNG.random() < 0.3 else content)
        broken[RNG.integers(8, len(broken) + 8) - 8] ^= 1 << RNG.integers(8)
        path.write_bytes(broken)
        try:
            features_in(path)
        except KernelscopeError as error:
            assert error.exit_code in (2, 3, 5) and "\n" not in str(error)
