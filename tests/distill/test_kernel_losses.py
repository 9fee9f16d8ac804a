"""Losses of features against float64 NumPy written from their formulas, value and gradient, and at their edges."""

import itertools

import numpy as np
import pytest
import torch

from kernelscope.distill.losses import LOSSES
from kernelscope.distill.losses import rkd as losses_rkd
from kernelscope.distill.methods import losses_of
from kernelscope.distill.recipe import Recipe
from kernelscope.distill.training import train
from kernelscope.errors import Mismatch, UsageError
from tests.distill.test_losses import numeric_gradient, smooth_l1


def batch(student, teacher):
    return torch.tensor(student, requires_grad=True), torch.tensor(teacher)


def rkd(X_S, X_T, distance=25.0, angle=50.0):
    """Pair by pair and triple by triple."""

    def parts(X):
        n = len(X)
        D = np.array([[np.linalg.norm(X[i] - X[j]) for j in range(n)] for i in range(n)])
        A = np.zeros((n, n, n))
        for i, j, k in itertools.product(range(n), repeat=3):
            if i not in (j, k):
                A[i, j, k] = (X[j] - X[i]) @ (X[k] - X[i]) / D[i, j] / D[i, k]
        return D / D[D > 0].mean(), A

    (D_S, A_S), (D_T, A_T) = parts(X_S), parts(X_T)
    return distance * smooth_l1(D_S - D_T).mean() + angle * smooth_l1(A_S - A_T).mean()


def attention(F):
    q = np.array([(f**2).mean(axis=0).ravel() for f in F])
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def similarity(X):
    Q = X.reshape(len(X), -1)
    G = Q @ Q.T
    return G / np.linalg.norm(G, axis=1, keepdims=True)


def centred(X):
    return X - X.mean(axis=0)


def relative(X_S, X_T):
    return np.linalg.norm(X_S @ X_S.T - X_T @ X_T.T) / np.linalg.norm(X_T @ X_T.T)


def cka(X_S, X_T):
    K, L = (centred(X) @ centred(X).T for X in (X_S, X_T))
    return (K * L).sum() / np.linalg.norm(K) / np.linalg.norm(L)


def procrustes(X_S, X_T):
    """Half the squared distance left by the best rotation, found by the SVD."""
    S, T = (centred(X) / np.linalg.norm(centred(X)) for X in (X_S, X_T))
    width = max(S.shape[1], T.shape[1])
    S, T = (np.pad(X, ((0, 0), (0, width - X.shape[1]))) for X in (S, T))
    U, _, V = np.linalg.svd(S.T @ T)
    return 0.5 * np.linalg.norm(S @ U @ V - T) ** 2


ORACLES = {
    "at": (lambda S, T: 1000 * ((attention(S) - attention(T)) ** 2).mean(), (3, 2, 2), (5, 2, 2)),
    "rkd": (rkd, (3,), (5,)),
    "gram": (lambda S, T: 10 * relative(S, T), (3,), (5,)),
    "sp": (lambda S, T: 3000 * ((similarity(S) - similarity(T)) ** 2).mean(), (3, 2, 2), (5, 2, 2)),
    "cka": (lambda S, T: 1 - cka(S, T), (3,), (5,)),
    "procrustes": (procrustes, (3,), (5,)),
}


@pytest.mark.parametrize("name", ORACLES)
def test_a_loss_is_its_formula_with_gradient(name):
    value, shape_S, shape_T = ORACLES[name]
    rng = np.random.default_rng(0)
    X_S, X_T = 1 + rng.standard_normal((7, *shape_S)), 1 + rng.standard_normal((7, *shape_T))
    loss = LOSSES[name]()
    now = batch(X_S, X_T)
    found = loss(*now)
    found.backward()
    assert found.item() == pytest.approx(value(X_S, X_T), rel=1e-10)
    gradient = numeric_gradient(lambda X: value(X, X_T), X_S)
    scale = np.abs(gradient).max()
    np.testing.assert_allclose(now[0].grad.numpy(), gradient, atol=1e-6 * scale)


@pytest.mark.parametrize("name", ["rkd", "gram", "sp", "cka", "procrustes", "at"])
@pytest.mark.parametrize("kind", ["one example", "equal examples", "all zero", "half precision"])
def test_value_and_gradient_are_finite_at_the_edges(name, kind):
    loss = LOSSES[name]()
    shape = (4, 2, 2) if loss.layer == "avgpool:in" else (4,)
    rng = np.random.default_rng(1)
    X = rng.standard_normal((1 if kind == "one example" else 6, *shape)).astype(np.float32)
    if kind == "equal examples":
        X[:] = X[0]
    if kind == "all zero":
        X[:] = 0
    now = batch(X.astype(np.float16) if kind == "half precision" else X, rng.standard_normal(X.shape).astype(X.dtype))
    found = loss(*now)
    found.backward()
    assert torch.isfinite(found) and torch.isfinite(now[0].grad).all()
    assert found.dtype == torch.float32


@pytest.mark.parametrize("name", ["rkd", "gram", "sp", "cka", "procrustes"])
def test_a_rotated_teacher_is_a_perfect_student(name):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((9, 4))
    rotated = X @ np.linalg.qr(rng.standard_normal((4, 4)))[0]
    assert abs(LOSSES[name]()(*batch(rotated, X)).item()) < 1e-6


def test_angles_by_blocks_of_vertices_are_the_same_with_gradient(monkeypatch):
    rng = np.random.default_rng(8)
    X_S, X_T, found = rng.standard_normal((11, 3)), rng.standard_normal((11, 5)), []
    for triples in (2**24, 3 * 11**2, 1):
        monkeypatch.setattr(losses_rkd, "TRIPLES", triples)
        now = batch(X_S, X_T)
        value = LOSSES["rkd"](distance=0)(*now)
        value.backward()
        found.append((value.item(), now[0].grad))
    for value, gradient in found[1:]:
        assert value == pytest.approx(found[0][0], rel=1e-12)
        torch.testing.assert_close(gradient, found[0][1], rtol=1e-10, atol=1e-12)


def test_attention_of_a_larger_map_is_averaged_down():
    rng = np.random.default_rng(3)
    large, small = rng.standard_normal((4, 3, 4, 4)), rng.standard_normal((4, 5, 2, 2))
    averaged = large.reshape(4, 3, 2, 2, 2, 2).mean(axis=(3, 5))
    expected = 1000 * ((attention(averaged) - attention(small)) ** 2).mean()
    assert LOSSES["at"]()(*batch(large, small)).item() == pytest.approx(expected, rel=1e-10)


def test_attention_of_rows_is_refused():
    with pytest.raises(Mismatch, match="needs maps"):
        LOSSES["at"]()(*batch(np.ones((3, 2)), np.ones((3, 2))))


@pytest.mark.parametrize("method", [*LOSSES, "kda@logits", "full_kernel@layer3", "at@layer2+rkd(angle=0)+kd"])
def test_every_method_trains_and_its_term_counts(method, few, taught):
    recipe = Recipe(arch="resnet8x0.25", method=method, epochs=2, batch_size=32)
    trained = train(recipe, data=few, teacher=taught)
    last = trained.last.training["history"][-1]["loss"]
    terms = [value for name, value in last.items() if name != "ce"]
    assert len(terms) == method.count("+") + 1 and all(np.isfinite(v) and v > 0 for v in terms)


def test_layers_of_other_names_are_read_and_not_followed(few, taught):
    method = "gram@layer2=layer3(weight=1)+kda@layer1.0"
    trained = train(Recipe(arch="resnet8x0.25", method=method, epochs=2, batch_size=32), data=few, teacher=taught)
    training = trained.last.training
    assert training["history"][0]["loss"]["gram@layer2=layer3(weight=1)"] > 0
    assert set(training["trajectory"][-1]["layers"]) == {"embedding", "logits", "layer1.0"}
    rng = np.random.default_rng(9)
    S, T = torch.tensor(rng.standard_normal((5, 3))), torch.tensor(rng.standard_normal((5, 4)))
    (placed,) = losses_of("gram@b=a").values()
    assert placed({"a": S}, {"b": T}, None).item() == LOSSES["gram"]()(S, T).item()


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("gram@layer2=layer9", "unknown layer 'layer9'; nearest: layer"),
        ("gram@layer9=layer2", "unknown layer 'layer9'; nearest: layer"),
        ("gram@layer2=", "expected T=S"),
        ("gram@=layer2", "expected T=S"),
    ],
)
def test_a_layer_of_one_network_that_is_not_there_is_told(method, message, few, taught):
    with pytest.raises(UsageError, match=message):
        train(Recipe(arch="resnet8x0.25", method=method, epochs=1), data=few, teacher=taught)


def test_a_layer_that_is_not_there_is_told_before_the_first_epoch(few, taught):
    epochs = []
    with pytest.raises(UsageError, match="unknown layer 'layer9'; nearest: layer"):
        train(
            Recipe(arch="resnet8x0.25", method="gram@layer9", epochs=1),
            data=few,
            teacher=taught,
            progress=lambda *given: epochs.append(given),
        )
    assert not epochs
