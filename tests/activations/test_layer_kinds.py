"""Whatever a layer is, its rows are what a plain forward hook captures, pooled by hand."""

import numpy as np
import pytest
import torch
from torch import nn

import kernelscope as ks
from kernelscope.checkpoints.loaded import loaded_module
from kernelscope.datasets.examples import Examples, example_ids
from kernelscope.errors import Mismatch, UsageError
from kernelscope.features.request import Request
from kernelscope.features.streaming import StreamedFeatures


def examples(*shape, n=50, dtype=np.float32):
    inputs = np.random.default_rng(0).standard_normal((n, *shape)).astype(dtype)
    return Examples("made", "test", inputs, np.arange(n) % 3, example_ids(inputs))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 6, batch_first=True)
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        _, (hidden, _) = self.lstm(x)
        return self.fc(hidden[-1])


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), 2, enable_nested_tensor=False
        )
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        return {"logits": self.fc(self.encoder(x)[:, 0])}


class Convolving(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.relu = nn.ReLU(inplace=True)  # writes over what conv put out
        self.again = nn.Conv2d(5, 5, 1)
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        x = self.relu(self.conv(x))
        x = self.again(self.again(x))
        return self.fc(x.mean((2, 3))), x


KINDS = {
    "lstm": (Recurrent, "lstm", (7, 4), ("auto", "mean", "max", "last", "cls", "flatten", "token")),
    "transformer": (Attending, "encoder.layers.0", (7, 8), ("auto", "cls", "last", "max", "flatten", "token")),
    "map": (Convolving, "conv", (3, 6, 6), ("auto", "avg", "max", "flatten", "patch")),
    "called twice": (Convolving, "again", (3, 6, 6), ("auto", "avg", "max", "flatten", "patch")),
}
BY_HAND = {
    "cls": lambda x: x[:, 0],
    "last": lambda x: x[:, -1],
    "flatten": lambda x: x.reshape(len(x), -1),
    "token": lambda x: x.reshape(-1, x.shape[2]),
    "patch": lambda x: x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1]),
}


def by_hand(x: np.ndarray, how: str) -> np.ndarray:
    if how in BY_HAND:
        return BY_HAND[how](x)
    reduce = np.max if how == "max" else np.mean
    return reduce(x, axis=1) if x.ndim == 3 else reduce(x, axis=(2, 3))


def heard_by_a_plain_hook(network, layer, data):
    captured = []
    said = dict(network.named_modules())[layer]
    handle = said.register_forward_hook(lambda m, i, o: captured.append((o[0] if isinstance(o, tuple) else o).clone()))
    network.eval()
    with torch.no_grad():
        network(torch.from_numpy(data.inputs))
    handle.remove()
    return captured[-1].numpy()  # of a layer called twice: the last


@pytest.mark.parametrize(("kind", "how"), [(kind, how) for kind, given in KINDS.items() for how in given[3]])
def test_the_rows_of_a_layer_are_those_a_plain_hook_hears(kind, how, tmp_path):
    make, layer, shape, _ = KINDS[kind]
    torch.manual_seed(0)
    network, data = make(), examples(*shape)
    expected = by_hand(heard_by_a_plain_hook(network, layer, data), how)
    network.train()
    loaded = loaded_module(network, name="n")
    with ks.extract(loaded, data, layers=layer, pooling=how, out=tmp_path / "f.h5", batch_size=16) as store:
        stored = np.asarray(store.features(layer)[:])
        assert store.pool(layer) == how
        labels = np.repeat(data.labels, len(expected) // data.n)
        assert np.array_equal(store.labels, labels) and len(np.unique(store.ids[:], axis=0)) == len(expected)
    streamed = StreamedFeatures(loaded, data, Request(layers=layer, pool=how, batch_size=16))
    np.testing.assert_allclose(stored, expected, rtol=1e-5, atol=1e-6)
    assert np.array_equal(streamed.features(layer)[:], stored)
    assert np.array_equal(streamed.features(layer)[17:43], stored[17:43])
    assert network.training and not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_size_of_a_batch_changes_nothing_beyond_rounding(batch_size):
    torch.manual_seed(0)
    loaded, data = loaded_module(Attending(), name="n"), examples(7, 8)
    whole, parts = (
        StreamedFeatures(loaded, data, Request(pool="token", layers="encoder.layers.1", batch_size=size)).features(
            "encoder.layers.1"
        )
        for size in (50, batch_size)
    )
    np.testing.assert_allclose(parts[:], whole[:], rtol=1e-4, atol=1e-5)


class Compiled(nn.Module):
    """What torch.compile makes, without its seconds: a module that holds the one it stands for."""

    def __init__(self, module):
        super().__init__()
        self._orig_mod = module


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda net: nn.DataParallel(nn.DataParallel(net)), Compiled])
def test_a_wrapped_network_is_listened_to_by_the_names_of_what_it_wraps(wrap):
    torch.manual_seed(0)
    network, data = Convolving(), examples(3, 6, 6)
    bare, wrapped = (
        StreamedFeatures(loaded_module(net, name="n"), data, Request(layers="again,embedding,logits"))
        for net in (network, wrap(network))
    )
    assert wrapped.layers == ("again", "embedding", "logits")
    assert all(np.array_equal(bare.features(name)[:], wrapped.features(name)[:]) for name in bare.layers)


class Masked(nn.Module):
    """Tokens numbered, with a mask; a stand-in for what takes dicts."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 6)
        self.fc = nn.Linear(6, 3)

    def forward(self, input_ids, attention_mask):
        x = self.embed(input_ids)
        weight = attention_mask[:, :, None].float()
        return self.fc((x * weight).sum(1) / weight.sum(1))


class Tokens:
    """Examples whose batches are dicts."""

    name, split, classes, seed, preprocess = "tokens", "test", (), 0, ()

    def __init__(self, n=30):
        rng = np.random.default_rng(1)
        self.numbers = rng.integers(1, 20, (n, 9))
        lengths = rng.integers(1, 10, n)
        self.mask = (np.arange(9) < lengths[:, None]).astype(np.int64)
        self.numbers *= self.mask
        self.n, self.ids, self.labels = n, example_ids(self.numbers), np.arange(n) % 3
        self.order_sha256 = "0" * 64

    def batch(self, start, stop, preprocess=None):
        part = {"input_ids": self.numbers[start:stop], "attention_mask": self.mask[start:stop]}
        return {key: torch.from_numpy(value) for key, value in part.items()}


def test_padding_is_neither_averaged_nor_a_row():
    torch.manual_seed(0)
    network, data = Masked(), Tokens()
    table = network.embed.weight.detach().numpy()
    rows = [table[numbers[mask == 1]] for numbers, mask in zip(data.numbers, data.mask)]
    loaded = loaded_module(network, name="n")
    pooled = StreamedFeatures(loaded, data, Request(layers="embed", batch_size=8))
    np.testing.assert_allclose(pooled.features("embed")[:], [r.mean(0) for r in rows], rtol=1e-5, atol=1e-6)
    each = StreamedFeatures(loaded, data, Request(layers="embed", pool="token", batch_size=8))
    assert each.n == data.mask.sum()
    np.testing.assert_array_equal(each.features("embed")[:], np.concatenate(rows))
    np.testing.assert_array_equal(each.features("embed")[5:50], np.concatenate(rows)[5:50])


def test_positions_of_one_example_are_left_out_together():
    torch.manual_seed(0)
    teacher, student, data = Attending(), Attending(), examples(7, 8)
    said = {"teacher": teacher, "student": student, "data": data, "layers": "encoder", "cache": False}
    report = ks.measure(**said, pool="token")
    assert report.unit == "token" and report.n == 350
    explicit = ks.measure(**said, pool="token", groups=np.repeat(np.arange(50), 7))
    assert report.sampling_interval == explicit.sampling_interval
    assert any("50 whole groups" in note for note in report.notes)


def test_a_layer_without_positions_is_refused_where_positions_are_rows():
    with pytest.raises(Mismatch, match="has no positions"):
        StreamedFeatures(loaded_module(Attending(), name="n"), examples(7, 8), Request(layers="fc", pool="token"))


def test_layers_of_unequal_positions_are_refused():
    class Halving(Convolving):
        def __init__(self):
            super().__init__()
            self.again = nn.Conv2d(5, 5, 2)

    with pytest.raises(Mismatch, match="16 rows for 4 positions; pass pool='grid:HxW'"):
        StreamedFeatures(
            loaded_module(Halving(), name="n"), examples(3, 6, 6), Request(layers="conv,again", pool="patch")
        )


def test_an_exception_in_the_middle_leaves_the_network_as_it_was():
    class Failing(Convolving):
        def forward(self, x):
            if len(x) < 16:
                raise RuntimeError("no such batch\nand more")
            return super().forward(x)

    network = Failing().train()
    request = Request(layers="conv", batch_size=16)
    streamed = StreamedFeatures(loaded_module(network, name="n"), examples(3, 6, 6), request)
    with pytest.raises(Mismatch, match=r"does not take inputs of shape \(2, 3, 6, 6\) \(no such batch"):
        streamed.features("conv")[:]
    assert network.training and not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_a_layer_that_never_runs_and_one_without_a_tensor_are_named():
    class Odd(Convolving):
        def __init__(self):
            super().__init__()
            self.idle = nn.Linear(2, 2)

    with pytest.raises(UsageError, match="layer idle did not run"):
        StreamedFeatures(loaded_module(Odd(), name="n"), examples(3, 6, 6), Request(layers="idle"))
