"""Other people's data sets give the same examples each time, or they are refused."""

import collections
import io
import random
import types

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset

from kernelscope.datasets.examples import example_ids
from kernelscope.datasets.foreign import given
from kernelscope.datasets.inputs import Lazy
from kernelscope.datasets.reading import Reading
from kernelscope.datasets.sources import load, parts
from kernelscope.errors import Mismatch, UnreadableInput, UsageError
from tests.datasets.foreign_layouts import images

X, Y = images(20, 8), np.arange(20) % 4


class Pairs(Dataset):
    """As torchvision's: an image and a class number, and the names of classes."""

    classes = ("ant", "bee", "cat", "dog")

    def __init__(self, split="train", make=lambda i: X[i], n=20):
        self.make, self.n, self.split = make, n, split

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return self.make(i), int(Y[i])


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y))


def dicts():
    for x, y in zip(X, Y):
        yield {"__key__": "a", "img": x, "label": y}


def webdataset():
    for x, y in zip(X, Y):
        buffer = io.BytesIO()
        Image.fromarray(x.transpose(1, 2, 0)).save(buffer, "PNG")
        yield {"__key__": "000", "png": buffer.getvalue(), "cls": str(y).encode()}


def side_by_side(pairs):
    return {"x": np.stack([x for x, _ in pairs]), "y": [y for _, y in pairs]}


FORMS = {
    "pairs": Pairs(),
    "tensors": Pairs(make=lambda i: torch.from_numpy(X[i])),
    "pillow": Pairs(make=lambda i: Image.fromarray(X[i].transpose(1, 2, 0))),
    "channels last": Pairs(make=lambda i: X[i].transpose(1, 2, 0)),
    "list": list(zip(X, Y)),
    "dicts": dicts,
    "webdataset": webdataset,
    "stream": Stream(),
    "loader": DataLoader(Pairs(), batch_size=6),
    "loader of a stream": DataLoader(Stream(), batch_size=6),
    "own collate": DataLoader(Pairs(), batch_size=6, collate_fn=side_by_side),
    "function": lambda: Pairs(),
    "class": Pairs,
    "arrays": (X, Y),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_examples_in_any_form_have_the_same_identity(form):
    whole = given(FORMS[form], Reading(n=20), None)
    np.testing.assert_array_equal(whole.raw(np.arange(20)), X)
    assert whole.labels.tolist() == Y.tolist()
    if form != "channels last":  # its bytes stand in another order
        np.testing.assert_array_equal(whole.ids, example_ids(X))
    np.testing.assert_array_equal(whole.raw(np.array([3, 4])), X[3:5])
    np.testing.assert_array_equal(whole.raw(np.array([1, 17])), X[[1, 17]])  # a stream begins anew
    assert len(whole.classes) == 4


def test_nothing_but_what_is_read_is_kept():
    for form in ("pairs", "dicts", "loader"):
        assert isinstance(given(FORMS[form], Reading(n=20), None).inputs, Lazy)


def test_names_of_classes_are_torchvisions_or_hugging_faces():
    assert given(Pairs(), Reading(), None).classes == Pairs.classes
    data = types.SimpleNamespace()

    class Rows(list):
        pass

    rows = Rows({"image": Image.fromarray(x.transpose(1, 2, 0)), "label": int(y)} for x, y in zip(X, Y))
    names = types.SimpleNamespace(names=["ant", "bee", "cat", "dog"], num_classes=4)
    rows.features = collections.OrderedDict(image=data, label=names)
    assert given(rows, Reading(), None).classes == Pairs.classes
    rows[3]["label"] = 4
    with pytest.raises(Mismatch, match="1 labels outside its 4 classes, first 4 at example 3"):
        given(rows, Reading(), None)


@pytest.mark.parametrize("shuffling", [{"shuffle": True}, {"sampler": torch.utils.data.SubsetRandomSampler(range(20))}])
def test_a_loader_that_shuffles_is_refused(shuffling):
    with pytest.raises(
        Mismatch, match=r"DataLoader shuffles or samples \(.*RandomSampler\); make it with shuffle=False"
    ):
        given(DataLoader(Pairs(), batch_size=4, **shuffling), Reading(), None)


def test_a_loader_with_a_batch_sampler_of_its_own_is_refused():
    class Batches(list):
        pass

    with pytest.raises(Mismatch, match=r"samples \(Batches\)"):
        given(DataLoader(Pairs(), batch_sampler=Batches([[3, 1]])), Reading(), None)


def test_a_loader_that_drops_examples_is_refused():
    with pytest.raises(Mismatch, match="drops its last 2 examples"):
        given(DataLoader(Pairs(), batch_size=6, drop_last=True), Reading(), None)
    assert given(DataLoader(Pairs(), batch_size=5, drop_last=True), Reading(), None).n == 20


def test_a_data_set_that_gives_other_examples_the_second_time_is_refused():
    order = list(range(20))

    def shuffled():
        random.Random(len(order)).shuffle(order)
        return ((X[i], Y[i]) for i in order)

    noise = np.random.default_rng(0)
    for data in (shuffled, Pairs(make=lambda i: X[i] + noise.integers(0, 2, X[i].shape, dtype=np.uint8))):
        whole = given(data, Reading(n=20), None)
        with pytest.raises(Mismatch, match="than it gave before; turn off shuffling and random transforms"):
            whole.batch(0, 20)


def test_an_iterable_without_a_length_needs_n():
    for data in (dicts, Stream(), DataLoader(Stream(), batch_size=4)):
        with pytest.raises(UsageError, match="an iterable without a length; pass n="):
            given(data, Reading(limit=3), None)
    assert given(dicts, Reading(n=7), None).n == 7
    with pytest.raises(Mismatch, match="ended after 20 examples"):
        given(dicts, Reading(n=21), None)


def test_a_generator_can_be_read_only_once():
    with pytest.raises(UsageError, match="give the function that makes it"):
        given(dicts(), Reading(n=5), None)
    with pytest.raises(UsageError, match="data is a int, expected"):
        given(5, Reading(n=5), None)


def test_an_example_that_cannot_be_read_is_named_or_skipped():
    def make(i):
        if i == 7:
            raise OSError("image file is truncated\nhere")
        return X[i]

    with pytest.raises(UnreadableInput, match="Pairs example 7 cannot be read") as caught:
        given(Pairs(make=make), Reading(), None)
    assert "\n" not in str(caught.value)
    rest = given(Pairs(make=make), Reading(skip_unreadable=True), None)
    assert rest.n == 19 and rest.labels.tolist() == np.delete(Y, 7).tolist()
    np.testing.assert_array_equal(rest.raw(np.arange(6, 9)), X[[6, 8, 9]])
    assert "1 unreadable examples were left out, first: Pairs example 7" in rest.notes[0]


@pytest.mark.parametrize(
    ("item", "piece"),
    [
        ((), "an empty tuple, expected"),
        (("text", 1), "a str, expected an image"),
        ({"text": "x"}, "has text, of which 0 may be its input"),
        ({"image": "a", "jpg": "b"}, "of which 2 may be its input"),
        ((X[0], [1, 2]), "label of list example 0"),
        ((X[0], np.eye(3)[0]), r"label of list example 0 has shape \(3,\)"),
        ((X[0], 0.5), "label of list example 0 is 0.5"),
        ({"input_ids": [0.5]}, "no list of whole numbers"),
        ({"input_ids": "hello"}, "no list of whole numbers"),
        (3, "is a int, expected"),
        (None, "is a NoneType"),
    ],
)
def test_an_example_of_no_known_form_is_refused(item, piece):
    with pytest.raises(Mismatch, match=piece) as caught:
        given([item, item], Reading(), None)
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 200


def test_labels_are_one_for_each_of_one_kind():
    with pytest.raises(Mismatch, match="labels for 1 of 2 examples"):
        given([{"x": X[0], "y": 1}, {"x": X[1]}], Reading(), None)
    with pytest.raises(Mismatch, match="words and numbers, 'a' in row 1 and 1 in row 0"):
        given([(X[0], 1), (X[1], "a")], Reading(), None)
    assert given([(X[0], "b"), (X[1], "a")], Reading(), None).classes == ("a", "b")
    assert given(list(X), Reading(), None).labels is None


def test_tokens_of_different_lengths_are_padded_and_masked():
    texts = [{"input_ids": list(range(1, n + 1)), "text": "x", "label": n % 2} for n in (3, 5, 2)]
    whole = given(texts, Reading(), None)
    batch = whole.batch(0, 3)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 0, 0], [1, 2, 3, 4, 5], [1, 2, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5, [1, 1, 0, 0, 0]]
    assert whole.batch(1, 2)["attention_mask"].tolist() == [[1] * 5]  # the same names in every batch
    assert whole.labels.tolist() == [1, 1, 0]
    pairs = given([({"input_ids": text["input_ids"]}, text["label"]) for text in texts], Reading(), None)
    assert np.array_equal(pairs.ids, whole.ids) and pairs.labels.tolist() == whole.labels.tolist()
    equal = [({"input_ids": torch.tensor([i, i])}, i % 2) for i in range(5)]
    loaded = given(DataLoader(equal, batch_size=2), Reading(), None)
    assert loaded.batch(0, 5)["input_ids"].tolist() == [[i, i] for i in range(5)]
    assert loaded.labels.tolist() == [0, 1, 0, 1, 0]
    same = given([{"input_ids": [1, 2]}, {"input_ids": [3, 4]}], Reading(), None)
    assert set(same.batch(0, 2)) == {"input_ids"}


MODULE = """
import numpy as np
from torch.utils.data import Dataset

class Ones(Dataset):
    def __init__(self, n=12, split="train"):
        self.n = {"train": n, "validation": 6, "test": 4, "val": 5}[split]
    def __len__(self): return self.n
    def __getitem__(self, i): return np.full((1, 4, 4), i, np.uint8), i % 2

def whole(n=40): return Ones(n)
def by_split(): return {"train": Ones(9), "test": Ones(3)}
def broken(): raise RuntimeError("no such\\nfile")
data = [(np.full(3, i, np.float32), i % 2) for i in range(8)]
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "their_data", raising=False)
    (tmp_path / "their_data.py").write_text(MODULE)
    return "their_data"


def test_a_factory_that_takes_a_split_is_asked_for_it(module):
    assert [part.n for part in parts(f"{module}:Ones")] == [12, 6, 4]
    assert (load(f"{module}:Ones").split, load(f"{module}:Ones", "val").n) == ("test", 5)
    assert load(f"{module}:Ones(n=7)", "train").n == 7
    fixed = load(f"{module}:Ones(split='val')")
    assert (fixed.n, fixed.split, fixed.name) == (5, "all", f"{module}:Ones(split='val')")
    with pytest.raises(UsageError, match="KeyError: 'dev'"):
        load(f"{module}:Ones", "dev")


def test_splits_of_one_set_are_drawn(module):
    assert [part.n for part in parts(f"{module}:whole")] == [26, 4, 10]
    assert load(f"{module}:whole").n == 40 and load(f"{module}:data").n == 8
    assert load(f"{module}:whole", reading=Reading(limit=5)).n == 5


def test_a_dict_of_splits_needs_one_named(module):
    with pytest.raises(UsageError, match="a dict of train, test; pass split="):
        load(f"{module}:by_split")


@pytest.mark.parametrize(
    ("name", "piece"),
    [
        ("nowhere_at_all:f", "cannot be imported .ModuleNotFoundError"),
        ("{}:nothing", "cannot be imported .AttributeError"),
        ("{}:broken", r"cannot be called with \(\): RuntimeError: no such file"),
        ("{}:whole(m=3)", "unexpected keyword argument 'm'"),
        ("{}:whole(3)", "is not NAME"),
    ],
)
def test_a_factory_that_fails_is_one_line(name, piece, module):
    with pytest.raises(UsageError, match=piece) as caught:
        load(name.format(module))
    assert "\n" not in str(caught.value)


def test_n_is_exact_and_limit_is_not(module):
    assert load(f"{module}:whole", reading=Reading(n=40)).n == 40
    with pytest.raises(Mismatch, match="has 40 of the 41 examples asked for"):
        load(f"{module}:whole", reading=Reading(n=41))
    with pytest.raises(Mismatch, match="has 450 of the 451"):
        load("digits", reading=Reading(n=451))
