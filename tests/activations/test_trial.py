"""A few examples run ahead show along which axis examples lie, and what depends on more than the example."""

import numpy as np
import pytest
import torch
from torch import nn

import kernelscope as ks
from kernelscope.activations.batch_axis import batch_first
from kernelscope.activations.capture import Capture
from kernelscope.activations.fast_path import restore, switch_off
from kernelscope.activations.remarks import Remark
from kernelscope.activations.tap import Tap
from kernelscope.activations.trial import FEW, few_of
from kernelscope.checkpoints.loaded import loaded_module
from kernelscope.errors import KernelscopeError, Mismatch, UsageError
from kernelscope.features.request import Request
from kernelscope.features.streaming import StreamedFeatures
from tests.activations.test_layer_kinds import Masked, Tokens, examples
from tests.distill.probing import small_probe

N = 16  #: examples, and as many positions


class Ordered(nn.Module):
    """One layer that holds its examples along any axis, before a head that is the same for all."""

    def __init__(self, inner, outer):
        super().__init__()
        self.there, self.scale, self.fc = nn.Identity(), nn.Linear(6, 6), nn.Linear(6, 3)
        self.inner, self.outer = inner, outer

    def forward(self, x):
        return self.fc(self.outer(self.there(self.inner(self.scale(x)))).mean(1))


ORDERS = {
    "first": (lambda x: x, lambda x: x),
    "second": (lambda x: x.transpose(0, 1), lambda x: x.transpose(0, 1)),
    "last": (lambda x: x.permute(1, 2, 0), lambda x: x.permute(2, 0, 1)),
}


def network(inner, outer):
    torch.manual_seed(0)
    return Ordered(inner, outer)


def rows(net, layers, pool="auto", n=N, batch_size=N):
    data = examples(N, 6, n=n)
    features = StreamedFeatures(
        loaded_module(net, name="n"), data, Request(layers=layers, pool=pool, batch_size=batch_size)
    )
    return {layer: features.features(layer)[:] for layer in features.layers}, features.notes


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("pool", ["auto", "max", "flatten", "token"])
def test_rows_are_of_examples_along_whichever_axis_they_lie(order, pool):
    expected, _ = rows(network(*ORDERS["first"]), "scale", pool)
    found, notes = rows(network(*ORDERS[order]), "there", pool)
    np.testing.assert_array_equal(found["there"], expected["scale"])
    axis = {"first": None, "second": 1, "last": 2}[order]
    assert any(f"along axis {axis}" in note for note in notes) == (axis is not None)


@pytest.mark.parametrize("n", [1, 2, 3, 17])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_the_axis_is_found_in_batches_of_any_size(n, batch_size):
    expected, _ = rows(network(*ORDERS["first"]), "scale", n=n)
    found, _ = rows(network(*ORDERS["second"]), "there", n=n, batch_size=batch_size)
    np.testing.assert_allclose(found["there"], expected["scale"], rtol=1e-5, atol=1e-6)


def heads(x):
    return x.unflatten(2, (3, 2)).transpose(1, 2).flatten(0, 1)  # (n, t, 6) to (3 n, t, 2)


def joined(x):
    return x.unflatten(0, (-1, 3)).transpose(1, 2).flatten(2)


@pytest.mark.parametrize(
    ("inner", "outer", "piece"),
    [
        (heads, joined, r"gives \(48, 16, 2\), whose axis 0 holds 48 for 16 examples; .* name it as there#0"),
        (lambda x: x.flatten(0, 1), lambda x: x.unflatten(0, (-1, N)), "name it as there#0"),
        (lambda x: torch.ones(N, N, 6), lambda x: x[:1], "gives .* for 16 examples as for 4, so no row for each"),
        (lambda x: x.mean(1) @ x.mean(1).T, lambda x: x[:, :6, None].expand(-1, -1, 6), "as there#0, or another layer"),
    ],
    ids=["heads", "positions", "constant", "similarities"],
)
def test_an_axis_that_cannot_be_found_is_refused_with_the_way_to_name_it(inner, outer, piece):
    with pytest.raises(Mismatch, match=piece) as caught:
        rows(network(inner, outer), "there")
    assert len(str(caught.value)) <= 200
    found, notes = rows(network(inner, outer), "th*,scale")
    assert list(found) == ["scale"] and "passed over: there (" in notes[-1]


def test_what_is_folded_into_an_axis_comes_apart_once_that_is_named():
    found, _ = rows(network(heads, joined), "there#0")
    expected, _ = rows(network(*ORDERS["first"]), "scale")
    np.testing.assert_allclose(found["there#0"], expected["scale"].reshape(N, 3, 2).mean(1), rtol=1e-5, atol=1e-6)
    frames = torch.arange(48.0).reshape(6, 2, 2, 2)
    assert torch.equal(batch_first("a", frames, 0, 3)[1, 1, 1], frames[3, 1])
    assert torch.equal(batch_first("a", torch.arange(6.0)[:, None], 0, 3)[2].flatten(), torch.tensor([4.0, 5.0]))


def test_a_named_axis_goes_before_what_is_found_and_must_hold_the_examples():
    found, _ = rows(network(*ORDERS["second"]), "there#1")
    expected, _ = rows(network(*ORDERS["second"]), "there")
    np.testing.assert_array_equal(found["there#1"], expected["there"])
    with pytest.raises(Mismatch, match="16 entries along axis 0 for 16 examples and 16 for 4"):
        rows(network(*ORDERS["second"]), "there#0")
    with pytest.raises(UsageError, match="has no axis 3"):
        rows(network(*ORDERS["second"]), "there#3")


def test_a_network_of_one_batch_size_alone_is_read_along_its_first_axis():
    class Fixed(Ordered):
        def forward(self, x):
            return super().forward(x.reshape(N, N, 6))

    torch.manual_seed(0)
    found, notes = rows(Fixed(*ORDERS["first"]), "there,logits", n=2 * N)
    expected, _ = rows(network(*ORDERS["first"]), "there", n=2 * N)
    np.testing.assert_array_equal(found["there"], expected["there"])
    assert "there: the network takes no other number of examples than 16, so axis 0 is taken for theirs" in notes


def test_masks_and_ids_of_examples_go_with_the_few():
    found = StreamedFeatures(loaded_module(Masked(), name="n"), Tokens(), Request(layers="embed", batch_size=8))
    assert not [note for note in found.notes if "depends" in note]
    batch = {"a": torch.arange(8), "b": torch.arange(16).reshape(8, 2)}
    few, m = few_of(batch, 8)
    assert m == FEW and few["a"].tolist() == [4, 5, 6, 7] and few["b"].shape == (4, 2)
    assert few_of(torch.arange(1), 1)[0].tolist() == [0, 0] and few_of(torch.arange(3), 3)[0].tolist() == [1, 2]


class Noisy(nn.Linear):
    def forward(self, x):
        return super().forward(nn.functional.dropout(x, 0.3, training=True))


def routed(x):
    """Experts of limited capacity: of a batch those behind the first half get nothing."""
    return x * (torch.arange(len(x)) < (len(x) + 1) // 2)[:, None]


class Routed(nn.Linear):
    def forward(self, x):
        return super().forward(routed(x))


@pytest.mark.parametrize(
    ("make", "code", "clean"),
    [
        (lambda: nn.Sequential(nn.Linear(5, 6), Noisy(6, 3)), "depends-on-chance", "embedding"),
        (lambda: nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6, track_running_stats=False), nn.Linear(6, 3)),
         "depends-on-batch", "0"),
        (lambda: nn.Sequential(nn.Linear(5, 6), Routed(6, 3)), "depends-on-batch", "0"),
    ],
    ids=["dropout", "batch statistics", "routing"],
)  # fmt: skip
def test_rows_that_change_without_the_example_are_warned_of_with_the_size(make, code, clean):
    torch.manual_seed(0)
    report = ks.measure(teacher=make(), student=make(), data=torch.randn(60, 5), layers=f"{clean},logits")
    unsteady, steady = report.pairs[1], report.pairs[0]
    (text, *_) = [warning.text for warning in unsteady.warnings if warning.code == code]
    assert text.startswith("logits of teacher ") and 0.01 < float(text.split("differ by ")[1].split()[0]) < 3
    assert code not in [warning.code for warning in steady.warnings]
    assert text in " ".join(str(report).split()) and text in report.to_json()


class Residual(nn.Module):
    def __init__(self, depth, kind):
        super().__init__()
        self.blocks = nn.ModuleList(kind() for _ in range(depth))

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return x


STEADY = {
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 32, 3), Residual(6, lambda: nn.Sequential(nn.Conv2d(32, 32, 3, 1, 1), nn.BatchNorm2d(32))),
            nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)), (3, 8, 8)),
    "transformer": (
        lambda: nn.Sequential(
            nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 6), nn.Linear(32, 50)),
        (20, 32)),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", STEADY)
def test_rounding_of_ordinary_networks_is_no_alarm(kind, dtype):
    make, shape = STEADY[kind]
    torch.manual_seed(0)
    net, batch = make().to(dtype).eval(), torch.randn(24, *shape, dtype=dtype)
    with (
        torch.inference_mode(),
        Capture(net, ["0", "logits"], name="n", keep=lambda name, x, mask: x.flatten(1)) as capture,
    ):
        capture.try_out(batch)
        capture.compare(capture.run(batch))
    assert not [remark for remark in capture.remarks() if remark.code]


def test_a_trial_leaves_generators_and_buffers_as_they_were():
    class Counting(Noisy):
        def __init__(self):
            super().__init__(5, 3)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return super().forward(x)

    def drawn(layers, n):
        torch.manual_seed(1)
        net = Counting()
        data = examples(5, n=n)
        StreamedFeatures(loaded_module(net, name="n"), data, Request(layers=layers, batch_size=10))
        return torch.rand(1), net.calls

    found = drawn("logits", 10)
    torch.manual_seed(1)
    Counting()(torch.ones(10, 5))
    assert found == (torch.rand(1), torch.ones(()))


def test_a_probe_finds_the_axis_and_tells_of_chance_in_its_notes():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.turn, self.fc = nn.Identity(), Noisy(8, 3)

        def forward(self, x):
            return self.fc(self.turn(x[:, 0].transpose(0, 1)).mean(0))

    torch.manual_seed(0)
    probe = small_probe(teacher=Turned(), layers="turn,logits", n=8)
    record = probe(Turned(), 0)
    assert record["layers"]["turn"]["transfer_loss"] == pytest.approx(0, abs=1e-6)
    assert [note for note in record["notes"] if note.startswith("logits: is random")]


def test_remarks_are_read_back_from_notes():
    for remark in (Remark("a: b", "is c: d"), Remark("logits[out]", "is random", "depends-on-chance")):
        assert Remark.read(str(remark), ["a", "a: b", "logits[out]"]) == remark
    assert Remark.read("logits: x", ["embedding"]) is None


def test_the_fast_path_is_off_while_any_tap_is_open_and_back_after_the_last():
    net = nn.Sequential(nn.Linear(2, 2))
    for before in (True, False):
        torch.backends.mha.set_fastpath_enabled(before)
        first, second = Tap(net, ["0"]), Tap(net, ["0"])
        first.__enter__(), second.__enter__(), first.close(), first.close()
        assert not torch.backends.mha.get_fastpath_enabled()
        second.close()
        assert torch.backends.mha.get_fastpath_enabled() == before
        with pytest.raises(ZeroDivisionError), Tap(net, ["0"]):
            raise ZeroDivisionError
        assert torch.backends.mha.get_fastpath_enabled() == before
    torch.backends.mha.set_fastpath_enabled(True)
    switch_off(), restore()
    assert torch.backends.mha.get_fastpath_enabled()


class Encoding(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.embed = nn.Embedding(50, width, padding_idx=0)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(width, 2, 32, batch_first=True), 2)
        self.unused, self.branches = nn.Linear(2, 2), nn.ModuleDict({"a": nn.Linear(width, 4), "b": nn.Linear(1, 1)})

    def forward(self, input_ids, attention_mask):
        x = self.encoder(self.embed(input_ids), src_key_padding_mask=attention_mask == 0)
        return self.branches["a"](x[:, 0])


@pytest.mark.parametrize("layers", [None, "encoder", "encoder.layers.0", "encoder.layers.1.linear1"])
def test_a_padded_transformer_is_heard_in_every_layer(layers):
    torch.manual_seed(0)
    data, request = Tokens(), Request(layers=layers, batch_size=8)
    loaded = loaded_module(Encoding(8), name="n")
    found = StreamedFeatures(loaded, data, request)
    torch.backends.mha.set_fastpath_enabled(False)
    plain = StreamedFeatures(loaded, data, request)
    torch.backends.mha.set_fastpath_enabled(True)
    assert all(np.array_equal(found.features(layer)[:], plain.features(layer)[:]) for layer in plain.layers)


def test_patterns_pass_over_what_did_not_run_and_names_do_not():
    torch.manual_seed(0)
    data = Tokens()
    request = Request(layers="re:.*", batch_size=8)
    found = StreamedFeatures(loaded_module(Encoding(8), name="n"), data, request)
    ran = {"embed", "encoder", "encoder.layers.0", "encoder.layers.1.linear2", "branches.a"}
    assert ran <= set(found.layers) and not {"unused", "branches", "branches.b", "encoder.layers"} & set(found.layers)
    (note,) = [note for note in found.notes if "passed over" in note]
    assert "encoder.layers (did not run)" in note
    for layers in ("encoder.layers", "re:.*,unused"):
        with pytest.raises(KernelscopeError, match="did not run; choose a layer that is used"):
            StreamedFeatures(loaded_module(Encoding(8), name="n"), data, Request(layers=layers))
    with pytest.raises(UsageError, match=r"no layer gives rows: .* branches.b \(did not run\)"):
        StreamedFeatures(loaded_module(Encoding(8), name="n"), data, Request(layers="branches.b*,unus?d"))
