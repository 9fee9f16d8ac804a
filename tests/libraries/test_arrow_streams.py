"""Whatever offers an Arrow stream is a side: pyarrow's tables and readers, Polars, DuckDB (each where installed)."""

import tempfile

import numpy as np
import pytest

import kernelscope as ks
from kernelscope.errors import NumericalError, UnreadableInput
from kernelscope.features import arrow_stream
from kernelscope.features.arrow_stream import open_stream
from tests.libraries.test_arrow_features import FORMS, WORDS, X, Y, pa, table

S = X[:, :4] + 0.1


def reader(content):
    return pa.RecordBatchReader.from_batches(content.schema, content.to_batches(700))


def polars(content):
    return pytest.importorskip("polars").from_arrow(content)


def duckdb(content):
    return pytest.importorskip("duckdb").connect().from_arrow(content)


@pytest.mark.parametrize(
    "of", [lambda content: content, reader, polars, duckdb], ids=["table", "reader", "polars", "duckdb"]
)
@pytest.mark.parametrize("held", [0, 10**9])
def test_a_table_is_measured_as_its_arrays_are(of, held, tmp_path, monkeypatch):
    monkeypatch.setattr(arrow_stream, "HELD_BYTES", held)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = ks.measure(teacher=of(table(features=X, id=np.arange(3000), label=Y)), student={"features": S})
    expected = ks.measure(teacher={"features": X}, student={"features": S}, labels=Y)
    assert found.transfer_loss == expected.transfer_loss
    assert found.pairs[0].classes.loss == expected.pairs[0].classes.loss
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_columns_is_read(form):
    found = open_stream(reader(FORMS[form]()), "teacher")
    np.testing.assert_array_equal(found.features("features")[:], X)
    assert found.labels.tolist() == Y.tolist()
    assert found.classes == (tuple(sorted(set(WORDS))) if form == "words" else ())


def test_a_data_set_is_read_in_the_order_that_it_was_brought_to():
    datasets = pytest.importorskip("datasets")
    whole = datasets.Dataset(datasets.table.InMemoryTable(table(features=X, label=Y)), fingerprint="a")
    found = open_stream(whole.select(np.arange(10, 3, -1), new_fingerprint="b"), "teacher")
    np.testing.assert_array_equal(found.features("features"), X[10:3:-1])
    assert ks.measure(teacher=whole, student=S).pairs[0].n == 3000


def test_sides_in_other_orders_are_joined_and_planned():
    order = np.random.default_rng(0).permutation(3000)[:2000]
    given = {"teacher": table(x=X, id=np.arange(3000)), "student": table(x=S[order], id=order)}
    assert ks.measure(**given, join="inner").pairs[0].n == 2000
    said = []
    once = {side: reader(content) for side, content in given.items()}
    ks.measure(**once, join="inner", plan=True, announce=said.append)
    assert len(said) > 0


def test_what_cannot_be_a_side_is_one_line():
    spent = reader(table(x=X))
    spent.read_all()
    bad = X.tolist()
    bad[5] = None
    for given, kind, words in (
        (spent, UnreadableInput, "read once only"),
        (table(x=["a", "b"]), UnreadableInput, "no column of vectors or floats"),
        (table(x=pa.array(bad, pa.list_(pa.float32(), 6))), NumericalError, "teacher has no value in row 5"),
        (table(x=pa.array([[1.0], [1.0, 2.0]])), UnreadableInput, "has 2 numbers in row 1, expected 1"),
    ):
        with pytest.raises(kind, match=words):
            ks.measure(teacher=given, student=S)
