"""Who an example is, and in which order examples come, cannot be mistaken."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernelscope.datasets.examples import Examples, example_ids, order_fingerprint
from kernelscope.errors import Mismatch, UsageError


def images(n=12, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 1, 4, 4), dtype=np.uint8)


def examples(inputs, labels=None, **fields):
    return Examples(name="some", split="test", inputs=inputs, labels=labels, ids=example_ids(inputs), **fields)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20))
def test_an_id_is_the_hash_of_content_and_occurrence(contents):
    inputs = np.array(contents, np.float32).reshape(-1, 1, 1, 1) + np.zeros((1, 2, 3, 1), np.float32)
    expected = []
    for row, x in enumerate(inputs):
        occurrence = sum(x.tobytes() == inputs[i].tobytes() for i in range(row))
        text = x.tobytes() + occurrence.to_bytes(8, "little")
        expected.append(hashlib.blake2b(text, digest_size=16).digest())
    ids = example_ids(inputs)
    assert ids.dtype == np.uint8 and [bytes(row) for row in ids] == expected
    assert len(set(expected)) == len(contents)


def test_ids_do_not_depend_on_memory_layout_or_on_the_way_examples_are_cut():
    inputs = images()
    fortran = np.asfortranarray(inputs)
    padded = np.zeros((12, 1, 4, 8), np.uint8)
    padded[..., ::2] = inputs
    assert np.array_equal(example_ids(fortran), example_ids(inputs))
    assert np.array_equal(example_ids(padded[..., ::2]), example_ids(inputs))
    whole = examples(inputs)
    halves = np.concatenate([whole.take(np.arange(7)).ids, whole.take(np.arange(7, 12)).ids])
    assert np.array_equal(halves, whole.ids)


def test_one_changed_pixel_is_another_example():
    changed = images()
    changed[3, 0, 2, 2] ^= 1
    different = (example_ids(images()) != example_ids(changed)).any(axis=1)
    assert different.tolist() == [row == 3 for row in range(12)]


def test_the_fingerprint_tells_order_and_set_apart():
    whole = examples(images())
    swapped = whole.take(np.array([1, 0, *range(2, 12)]))
    assert swapped.order_sha256 != whole.order_sha256
    assert sorted(map(bytes, swapped.ids)) == sorted(map(bytes, whole.ids))
    assert whole.head(11).order_sha256 != whole.order_sha256
    assert whole.order_sha256 == hashlib.sha256(whole.ids.tobytes()).hexdigest() == order_fingerprint(whole.ids)


def test_taken_rows_keep_labels_ids_and_everything_else_together():
    whole = examples(
        images(), np.arange(12), classes=tuple("abcdefghijkl"), preprocess=[{"op": "scale", "by": 2}], seed=5
    )
    rows = np.array([7, 2, 2])
    some = whole.take(rows)
    assert np.array_equal(some.inputs, whole.inputs[rows]) and np.array_equal(some.ids, whole.ids[rows])
    assert some.labels.tolist() == [7, 2, 2] and some.n == 3
    assert (some.name, some.split, some.classes, some.preprocess, some.seed) == (
        ("some", "test", tuple("abcdefghijkl"), [{"op": "scale", "by": 2}], 5)
    )
    assert examples(images()).take(rows).labels is None


def test_the_head_is_the_first_rows_and_at_least_one():
    whole = examples(images())
    assert np.array_equal(whole.head(5).ids, whole.ids[:5]) and whole.head(99).n == 12
    with pytest.raises(UsageError, match="limit is 0, expected at least 1 of 12"):
        whole.head(0)


def test_a_batch_is_its_rows_through_the_operations():
    whole = examples(images(), preprocess=[{"op": "scale", "by": 0.5}])
    assert torch.equal(whole.batch(3, 5), torch.from_numpy(whole.inputs[3:5] * np.float32(0.5)))
    assert torch.equal(whole.batch(3, 5, []), torch.from_numpy(whole.inputs[3:5].astype(np.float32)))
    assert whole.batch(10, 99).shape == (2, 1, 4, 4)
    together = torch.cat([whole.batch(i, i + 5) for i in (0, 5, 10)])
    assert torch.equal(together, whole.batch(0, 12))


def test_writing_into_a_batch_does_not_change_the_examples():
    whole = examples(images().astype(np.float32))
    before = whole.inputs.copy()
    whole.batch(0, 12).zero_()
    assert np.array_equal(whole.inputs, before)


def test_rows_that_do_not_correspond_are_refused():
    with pytest.raises(Mismatch, match="12 inputs and 11 labels"):
        examples(images(), np.arange(11))
    with pytest.raises(Mismatch, match=r"ids of shape \(11, 16\), expected \(12, 16\)"):
        Examples(name="some", split="test", inputs=images(), labels=None, ids=example_ids(images(11)))
