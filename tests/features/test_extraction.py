"""Extraction, the cache, and pairs whose rows correspond."""

import dataclasses
import gc
import json
import tempfile

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from kernelscope.activations.example_rows import top1
from kernelscope.activations.trial import FEW
from kernelscope.checkpoints.loaded import loaded_module, weights_sha256
from kernelscope.checkpoints.loading import load
from kernelscope.datasets.examples import Examples, example_ids
from kernelscope.datasets.sources import load as load_data
from kernelscope.errors import Mismatch, UsageError
from kernelscope.features import extraction
from kernelscope.features.arrays import ArrayFeatures
from kernelscope.features.cache import cached_features
from kernelscope.features.extraction import Extraction, extract
from kernelscope.features.fingerprint import fingerprint
from kernelscope.features.pair import FeaturePair
from kernelscope.features.request import Request
from kernelscope.features.store import CHECKED_ROWS, FeatureStore
from kernelscope.kernels.row_views import Reordered
from kernelscope.networks import zoo


class Counted(nn.Module):
    """A network that counts its forward passes and their examples."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.inner = zoo.build("resnet8x0.25", in_channels=1)
        self.calls = self.examples = 0

    def forward(self, x):
        self.calls += 1
        self.examples += len(x)
        return self.inner(x)


@pytest.fixture
def examples():
    return load_data("digits", "test", limit=100)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELSCOPE_CACHE", str(tmp_path / "cache"))


def network(seed=0):
    return loaded_module(Counted(seed), name="net")


def test_features_are_what_a_plain_forward_gives(examples, tmp_path):
    loaded = network()
    captured = {}
    net = loaded.module.eval()

    def hear_map(module, inputs, output):
        captured["map"] = output.detach().clone()

    def hear_embedding(module, inputs, output):
        captured["embedding"] = inputs[0].detach().clone()

    hooks = [net.inner.layer2.register_forward_hook(hear_map), net.inner.fc.register_forward_hook(hear_embedding)]
    with torch.inference_mode():
        logits = net(examples.batch(0, 100))
    for hook in hooks:
        hook.remove()
    layers = ["embedding", "logits", "inner.layer2"]
    with extract(loaded, examples, layers=layers, out=tmp_path / "f.h5", batch_size=33) as store:
        expected = {"embedding": captured["embedding"], "logits": logits, "inner.layer2": captured["map"].mean((2, 3))}
        for layer, values in expected.items():
            np.testing.assert_allclose(store.features(layer)[:], values.numpy(), rtol=1e-5, atol=1e-5)
        assert store.top1 == pytest.approx(float((logits.argmax(1).numpy() == examples.labels).mean()))
        assert store.order_sha256 == examples.order_sha256
    with h5py.File(tmp_path / "f.h5") as file:
        attributes = [layer["features"].attrs for layer in file["layers"].values()]
        stated = {each["name"]: each["raw_shape"] for each in attributes}
    assert json.loads(stated["inner.layer2"]) == list(captured["map"].shape[1:])


def test_batch_size_changes_nothing_beyond_rounding(examples, tmp_path):
    stores = [extract(network(), examples, out=tmp_path / f"{b}.h5", batch_size=b) for b in (1, 7, 100)]
    for store in stores[1:]:
        for layer in store.layers:
            np.testing.assert_allclose(store.features(layer)[:], stores[0].features(layer)[:], rtol=1e-4, atol=1e-5)


def test_an_interrupted_extraction_goes_on_and_ends_with_the_same_bits(examples, tmp_path):
    whole = extract(network(), examples, out=tmp_path / "whole.h5", batch_size=16)

    def stop(done, total):
        if done >= 48:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(network(), examples, out=tmp_path / "cut.h5", batch_size=16, progress=stop)
    assert not (tmp_path / "cut.h5").exists()
    loaded = network()
    resumed = extract(loaded, examples, out=tmp_path / "cut.h5", batch_size=16)
    assert loaded.module.examples == 100 - 48 + FEW
    for layer in whole.layers:
        np.testing.assert_array_equal(whole.features(layer)[:], resumed.features(layer)[:])
    assert resumed.top1 == whole.top1


def test_a_run_stopped_after_its_last_batch_forwards_nothing_more(examples, tmp_path):
    def stop(done, total):
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(network(), examples, out=tmp_path / "cut.h5", batch_size=16, progress=stop)
    loaded = network()
    resumed = extract(loaded, examples, out=tmp_path / "cut.h5", batch_size=16)
    assert loaded.module.examples == 0
    whole = extract(network(), examples, out=tmp_path / "whole.h5", batch_size=16)
    assert resumed.top1 == whole.top1
    assert (tmp_path / "cut.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


class Relative(nn.Module):
    """A network whose every output depends on the whole batch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        y = self.fc(x.flatten(1))
        return y - y.mean(0)


def test_rows_that_a_crash_damaged_are_extracted_again_by_whole_batches(tmp_path):
    n, batch_size, damaged = CHECKED_ROWS + 900, 1000, CHECKED_ROWS + 300
    inputs = np.random.default_rng(0).integers(0, 256, (n, 1, 2, 2), np.uint8)
    many = Examples("many", "test", inputs, np.arange(n) % 3, example_ids(inputs), ("a", "b", "c"))
    loaded = loaded_module(Relative(), name="relative")

    def stop(done, total):
        if done == total:
            raise KeyboardInterrupt

    whole = extract(loaded, many, out=tmp_path / "whole.h5", batch_size=batch_size)
    with pytest.raises(KeyboardInterrupt):
        extract(loaded, many, out=tmp_path / "cut.h5", batch_size=batch_size, progress=stop)
    partial = tmp_path / "cut.h5.partial"
    content = bytearray(partial.read_bytes())
    content[content.index(whole.features("logits")[damaged : damaged + 1].tobytes())] ^= 1
    partial.write_bytes(bytes(content))
    extract(loaded, many, out=tmp_path / "cut.h5", batch_size=batch_size)
    assert (tmp_path / "cut.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_an_unknown_layer_fails_before_any_forward(examples, tmp_path):
    loaded = network()
    with pytest.raises(UsageError, match=r"inner\.layer1"):
        extract(loaded, examples, layers="inner.layerl", out=tmp_path / "f.h5")
    assert loaded.module.calls == 0
    assert list(tmp_path.glob("f.h5*")) == []


def saved_network(folder, seed=0):
    """A built-in network read from a file of weights."""
    torch.manual_seed(seed)
    torch.save(zoo.build("resnet8x0.25", in_channels=1).state_dict(), folder / f"{seed}.pt")
    return load(folder / f"{seed}.pt", arch="resnet8x0.25", arch_kwargs={"in_channels": 1})


def test_the_cache_runs_a_network_once_per_weights_data_and_layers(examples, tmp_path):
    ran = []

    def cached(loaded, data=examples, **options):
        ran.clear()
        return cached_features(loaded, data, Request(progress=lambda name, done, total: ran.append(done), **options))

    loaded = saved_network(tmp_path)
    first = cached(loaded)
    assert ran
    again = cached(saved_network(tmp_path))
    assert not ran
    np.testing.assert_array_equal(first.features("embedding")[:], again.features("embedding")[:])
    assert again.top1 == first.top1
    cached(saved_network(tmp_path, seed=1))
    assert ran
    cached(loaded, examples.head(50))
    assert ran
    cached(loaded, layers="logits")
    assert ran


@pytest.mark.parametrize("changed", ["pool", "batch_size", "dtype", "kernelscope", "torch"])
def test_the_cache_serves_no_features_that_anything_else_decided(changed, examples, tmp_path, monkeypatch):
    options = {"pool": "max", "batch_size": 50, "dtype": "float16"}
    loaded, ran = saved_network(tmp_path), []

    def runs(**options):
        ran.clear()
        request = Request(layers="layer2", progress=lambda *words: ran.append(words), **options)
        cached_features(loaded, examples, request)
        return bool(ran)

    assert [runs(), runs()] == [True, False]
    if changed not in options:
        monkeypatch.setattr({"kernelscope": extraction, "torch": torch}[changed], "__version__", "0.0.9")
    other = {changed: options[changed]} if changed in options else {}
    assert [runs(**other), runs(**other)] == [True, False]


def test_networks_of_equal_weights_and_name_do_not_share_features(examples):
    def made(sign):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                torch.manual_seed(0)
                self.fc = nn.Linear(64, 10)

            def forward(self, x):
                return self.fc(sign * x.flatten(1))

        return loaded_module(Net(), name="net")

    plus, minus = made(1), made(-1)
    assert plus.sha256 == minus.sha256
    first = cached_features(plus, examples, Request()).features("embedding")[:]
    np.testing.assert_array_equal(cached_features(minus, examples, Request()).features("embedding")[:], -first)


def test_a_built_in_network_changed_in_memory_is_not_taken_from_the_cache(examples, tmp_path):
    loaded = saved_network(tmp_path)
    first = cached_features(loaded, examples, Request()).features("logits")[:]
    with torch.no_grad():
        loaded.module.fc.bias += 1
    moved = cached_features(loaded, examples, Request()).features("logits")[:]
    np.testing.assert_allclose(moved, first + 1, rtol=1e-5, atol=1e-5)
    loaded.module.register_forward_hook(lambda module, inputs, output: 2 * output)
    np.testing.assert_allclose(
        cached_features(loaded, examples, Request()).features("logits")[:], 2 * (first + 1), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.add_module("1", nn.Tanh()),
        lambda net: setattr(net[0], "eps", 0.5),
        lambda net: net.register_buffer("passing", torch.ones(1), persistent=False),
    ],
    ids=["another class", "another setting", "another passing buffer"],
)
def test_a_fingerprint_sees_what_weights_do_not(change):
    net = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU())
    before, weights = fingerprint(net), weights_sha256(net.state_dict())
    change(net)
    assert weights_sha256(net.state_dict()) == weights
    assert fingerprint(net) != before


def test_a_fingerprint_asks_for_the_weights_once():
    class Net(nn.Sequential):
        asked = 0

        def state_dict(self, *given, **named):
            Net.asked += 1
            return super().state_dict(*given, **named)

    fingerprint(Net(*(nn.BatchNorm1d(4) for _ in range(10))))
    assert Net.asked == 1


def test_a_fingerprint_sees_the_code_of_forward():
    prints = []
    for expression in ("x", "x + 1", "x + 2", "x * 2"):
        space = {"nn": nn}
        exec(f"class Net(nn.Module):\n def forward(self, x):\n  return {expression}", space)
        prints += [fingerprint(space["Net"]()), fingerprint(space["Net"]())]
    assert len(set(prints)) == 4


def test_a_damaged_cache_file_is_extracted_again(examples, tmp_path):
    loaded = saved_network(tmp_path)
    store = cached_features(loaded, examples, Request())
    expected = store.features("embedding")[:]
    store.close()
    path = next((tmp_path / "cache").glob("*.h5"))
    content = bytearray(path.read_bytes())
    content[content.index(expected[0].tobytes()) + 2] ^= 255
    path.write_bytes(bytes(content))
    np.testing.assert_array_equal(cached_features(loaded, examples, Request()).features("embedding")[:], expected)


def test_a_cache_that_cannot_be_written_is_no_error(examples, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KERNELSCOPE_CACHE", str(tmp_path / "file" / "below"))
    store = cached_features(network(), examples, Request())
    assert store.n == 100
    assert isinstance(store, FeatureStore)


def arrays(ids, labels=None, n=6):
    X = np.arange(n * 2, dtype=float).reshape(n, 2)
    return ArrayFeatures("x", {"features": X}, labels=labels, ids=ids)


def some_ids(*rows):
    return np.array([[row] * 16 for row in rows], np.uint8)


def test_a_pair_exists_only_if_rows_correspond():
    FeaturePair(arrays(some_ids(*range(6))), arrays(some_ids(*range(6))))
    with pytest.raises(Mismatch, match="1 of 6 examples"):
        FeaturePair(arrays(some_ids(*range(6))), arrays(some_ids(0, 1, 2, 3, 4, 9)))
    with pytest.raises(Mismatch, match="pass align='ids'"):
        FeaturePair(arrays(some_ids(*range(6))), arrays(some_ids(1, 0, 2, 3, 4, 5)))
    with pytest.raises(Mismatch, match="6 examples, student x has 5"):
        FeaturePair(arrays(None), arrays(None, n=5))


def test_aligned_rows_are_gathered_in_the_teachers_order():
    order = [3, 1, 0, 2, 5, 4]
    pair = FeaturePair(arrays(some_ids(*range(6))), arrays(some_ids(*order)), align="ids")
    _, X_S = pair.pair("features", "features")
    assert X_S.shape == (6, 2)
    for identity in range(6):
        assert X_S[identity : identity + 1][0, 0] == 2 * order.index(identity)
    assert pair.notes


def test_labels_that_only_the_student_knows_are_put_in_the_teachers_order():
    order = [3, 1, 0, 2, 5, 4]
    known, unknown = arrays(some_ids(*order), np.array(order)), arrays(some_ids(*range(6)))
    assert FeaturePair(unknown, known, align="ids").labels.tolist() == list(range(6))
    assert FeaturePair(known, unknown, align="ids").labels.tolist() == order


def test_gathering_rows_in_pieces_changes_none_of_them():
    X = np.arange(40_000.0).reshape(20_000, 2)
    order = np.random.default_rng(0).permutation(20_000)
    rows = Reordered(X, order)
    for piece in (slice(None), slice(5, 17_000), slice(8191, 8193), slice(7, 7)):
        np.testing.assert_array_equal(rows[piece], X[order[piece]])


@pytest.mark.parametrize(
    ("predicted", "labels", "expected"),
    [([0, -1, 1, 2], [0, 1, 1, 1], 0.5), ([-1, -1], [0, 1], None), (None, [0, 1], None), ([0, 1], None, None)],
)
def test_an_example_that_was_given_no_class_is_not_right(predicted, labels, expected):
    found = top1(*(None if part is None else np.array(part) for part in (predicted, labels)))
    assert found == expected


def test_labels_that_disagree_are_refused():
    with pytest.raises(Mismatch, match="1 of 6 labels differ"):
        FeaturePair(arrays(None, np.arange(6)), arrays(None, np.array([0, 1, 2, 3, 4, 9])))


def test_features_without_ids_are_taken_to_correspond_and_say_so():
    assert "taken to correspond" in FeaturePair(arrays(None), arrays(None)).notes[0]


def test_inputs_a_network_does_not_take_are_refused(examples, tmp_path):
    wide = dataclasses.replace(examples, inputs=np.repeat(examples.inputs, 3, axis=1), preprocess=[])
    with pytest.raises(Mismatch, match="does not take inputs"):
        extract(network(), wide, out=tmp_path / "f.h5")


def test_features_that_are_not_kept_leave_the_disk_with_their_store(examples, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = cached_features(saved_network(tmp_path), examples, Request(cache=False))
    (folder,) = tmp_path.glob("kernelscope-*")
    kept = store.features("embedding")
    rows = kept[:]
    assert folder.exists()
    del store, kept
    gc.collect()
    assert not folder.exists() and np.isfinite(rows).all()
    monkeypatch.setattr(Extraction, "write", lambda self, out, **how: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        cached_features(saved_network(tmp_path, seed=1), examples, Request(cache=False))
    assert not list(tmp_path.glob("kernelscope-*"))
