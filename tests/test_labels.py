"""One class for each example, whatever it was given as; what leaves a doubt is refused by what it is."""

import numpy as np
import pandas as pd
import pytest
import torch

from kernelscope.errors import Mismatch
from kernelscope.labels import one_per_example

WORDS = ["cat", "dog", "cat", "ant", "dog", "cat"]
NUMBERS = [1, 2, 1, 0, 2, 1]

WORDS_GIVEN = {
    "a list": WORDS,
    "an array": np.array(WORDS),
    "an array of objects": np.array(WORDS, object),
    "bytes": np.array(WORDS, "S"),
    "a column": np.array(WORDS)[:, None],
    "a list of columns": [[word] for word in WORDS],
    "a categorical": pd.Categorical(WORDS, categories=["dog", "cat", "ant", "eel"]),
    "a series": pd.Series(WORDS, index=range(6, 0, -1)),
    "a series of a category": pd.Series(WORDS, dtype="category"),
    "a frame": pd.DataFrame({"species": WORDS}),
}

NUMBERS_GIVEN = {
    "a list": NUMBERS,
    "a tuple": tuple(NUMBERS),
    "floats": [float(i) for i in NUMBERS],
    "a column": np.array(NUMBERS)[:, None],
    "bytes": np.array(NUMBERS, np.uint8),
    "halves of memory": np.array(NUMBERS, np.float16),
    "a tensor": torch.tensor(NUMBERS),
    "a tensor with a gradient": torch.tensor(NUMBERS, dtype=torch.float32, requires_grad=True),
    "a column of tensors": torch.tensor(NUMBERS)[:, None],
    "a list of tensors": list(torch.tensor(NUMBERS)),
    "a list of NumPy's": list(np.array(NUMBERS, np.int32)),
    "a series": pd.Series(NUMBERS),
    "a series that may miss some": pd.Series(NUMBERS, dtype="Int64"),
    "a categorical": pd.Categorical(NUMBERS),
    "objects": np.array(NUMBERS, object),
}


@pytest.mark.parametrize("form", WORDS_GIVEN)
def test_words_are_numbered_in_the_order_of_their_names(form):
    numbers, words = one_per_example(WORDS_GIVEN[form], 6)
    assert numbers.tolist() == NUMBERS and numbers.dtype == np.int64
    assert words == ("ant", "cat", "dog")


@pytest.mark.parametrize("form", NUMBERS_GIVEN)
def test_numbers_stay_as_they_are(form):
    numbers, words = one_per_example(NUMBERS_GIVEN[form], 6)
    assert numbers.tolist() == NUMBERS and numbers.dtype == np.int64
    assert words == ()


def test_truths_are_two_classes():
    for given in (torch.tensor([True, False]), np.array([True, False]), [True, False]):
        assert one_per_example(given, 2)[0].tolist() == [1, 0]


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize("odd", [0.5, np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_what_is_no_whole_number_is_none_in_any_type(odd, kind):
    with pytest.raises(Mismatch, match="in row 1"):
        one_per_example(np.array([1, odd]).astype(kind), 2)


@pytest.mark.parametrize(
    ("given", "piece"),
    [
        ([0, 1, 2], r"shape \(3,\), expected \(2,\)"),
        (np.eye(2), r"shape \(2, 2\), expected \(2,\); give one class per example, of one-hot rows their argmax"),
        (np.full((2, 2), 0.5), r"shape \(2, 2\), expected \(2,\); give one class per example$"),
        (np.array([[0, 1]]), r"shape \(1, 2\)"),
        ([0, [1, 2]], r"hold \[1, 2\] in row 1"),
        ({"a": 1}, r"shape \(\)"),
        ([0.0, 0.5], r"hold 0\.5 in row 1"),
        ([0.0, np.nan], "hold nan in row 1"),
        ([0.0, np.inf], "hold inf in row 1"),
        ([0, -1], "hold -1 in row 1"),
        (np.array([0.0, -1.0]), r"hold -1\.0 in row 1"),
        (np.array([0, 4098], np.float16), r"hold 4096\.0 in row 1"),
        (np.array([0, 2**64 - 1], np.uint64), "hold 18446744073709551615 in row 1"),
        ([0, 2**70], "of type object"),
        (torch.tensor([0.0, 1.0], dtype=torch.bfloat16), "cannot be read as an array"),
        ([1j, 0], r"hold 1j in row 0"),
        (np.array(["2020-01-01", "2020-01-02"], "M8[D]"), "of type datetime64"),
        (["a", None], "hold None in row 1"),
        (["a", float("nan")], "hold nan in row 1"),
        (["a", ""], "hold '' in row 1"),
        (np.array(["a", np.nan]), "hold 'nan' in row 1"),
        (["a", 1], "words and numbers, 'a' in row 0 and 1 in row 1"),
        (pd.Series([0, None], dtype="Int64"), "hold (nan|<NA>) in row 1"),
        (pd.Categorical(["a", None]), "hold nan in row 1"),
        (np.ma.masked_array([0, 1], mask=[False, True]), "masked array, whose mask would be ignored"),
        ([0, np.ma.masked], "hold masked in row 1"),
    ],
)
def test_what_is_no_class_is_refused_by_what_it_is(given, piece):
    with pytest.raises(Mismatch, match=piece) as caught:
        one_per_example(given, 2)
    assert str(caught.value).startswith("labels ") and "\n" not in str(caught.value) and len(str(caught.value)) <= 200


def test_words_that_begin_alike_are_different_classes():
    numbers, words = one_per_example(["x" * 80 + "a", "x" * 80 + "b", "é", b"\xff"], 4)
    assert len(set(numbers.tolist())) == 4
    assert all(len(word) <= 60 and word.encode() for word in words)
