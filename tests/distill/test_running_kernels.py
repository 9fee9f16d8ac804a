"""Sums that decay by the batch, against float64 NumPy written from the formulas: value, gradient, state, edges."""

import io
import subprocess
import sys

import numpy as np
import pytest
import torch

import kernelscope as ks
from kernelscope.distill.methods import losses_of
from kernelscope.errors import UsageError
from tests.distill.test_kda_landmarks import CLASSES, epoch_of, kda_value, tensors
from tests.distill.test_losses import numeric_gradient


def weights(batches, window):
    """What is left of each batch, the newest last."""
    return (1 - 1 / window) ** np.arange(len(batches) - 1, -1, -1)


def class_means(batches, window):
    """Weighted means over all batches so far, of the classes that are left."""
    w = np.concatenate([[weight] * len(y) for weight, (_, _, y) in zip(weights(batches, window), batches)])
    X_S, X_T, y = (np.concatenate(parts) for parts in zip(*batches))
    kept = [c for c in range(CLASSES) if w[y == c].sum() >= 1e-3]
    return tuple(np.stack([np.average(X[y == c], axis=0, weights=w[y == c]) for c in kept]) for X in (X_S, X_T))


@pytest.mark.parametrize("window", [1, 3, 30])
@pytest.mark.parametrize("whiten", [None, "teacher", "own"])
def test_running_kda_is_its_formula_with_gradient_at_every_step(window, whiten):
    batches = epoch_of(np.random.default_rng(0), sizes=(9, 5, 1, 12, 7))
    loss = ks.losses.KDA(weight=0.7, landmarks=f"running:{window}", whiten=whiten)
    for number, (x_S, x_T, y) in enumerate(batches):
        means = class_means(batches[: number + 1], window)

        def value(x, x_T=x_T, means=means):
            return kda_value(x, x_T, *means, whiten, weight=0.7)

        now = tensors(x_S, x_T, y)
        found = loss(*now)
        found.backward()
        assert found.item() == pytest.approx(value(x_S), rel=1e-8)
        gradient = numeric_gradient(value, x_S)  # of the batch alone: its landmarks are fixed
        np.testing.assert_allclose(now[0].grad.numpy(), gradient, atol=1e-6 * np.abs(gradient).max())


@pytest.mark.parametrize("window", [1, 2.5, 8])
def test_running_full_kernel_is_its_formula_with_gradient_at_every_step(window):
    batches = epoch_of(np.random.default_rng(1), sizes=(9, 5, 1, 12))
    loss = ks.losses.FullKernel(weight=2.0, window=window)
    for number, (x_S, x_T, _) in enumerate(batches):
        seen = batches[: number + 1]
        root = np.sqrt(np.concatenate([[w] * len(y) for w, (_, _, y) in zip(weights(seen, window), seen)]))[:, None]
        X_S, X_T = (root * np.concatenate(parts) for parts in list(zip(*seen))[:2])

        def value(x, x_T=x_T, X_S=X_S, X_T=X_T):
            return 2 * np.linalg.norm(x @ X_S.T - x_T @ X_T.T) / np.linalg.norm(x_T @ X_T.T)

        now = tensors(x_S, x_T, np.zeros(len(x_S), int))[:2]
        found = loss(*now)
        found.backward()
        assert found.item() == pytest.approx(value(x_S), rel=1e-9)
        np.testing.assert_allclose(now[0].grad.numpy(), numeric_gradient(value, x_S), atol=1e-6)


def test_a_window_of_one_batch_is_the_batch_alone():
    batches = epoch_of(np.random.default_rng(2), sizes=(9, 6))
    loss = ks.losses.FullKernel(weight=1.0, window=1)
    for x_S, x_T, _ in batches:
        found = loss(torch.tensor(x_S), torch.tensor(x_T)).item()
    assert found == pytest.approx(ks.losses.Gram(weight=1.0)(torch.tensor(x_S), torch.tensor(x_T)).item(), rel=1e-9)


RUNNING = {
    "kda": lambda: ks.losses.KDA(landmarks="running:3"),
    "kda, whitened": lambda: ks.losses.KDA(landmarks="running:3", whiten="teacher"),
    "full_kernel": lambda: ks.losses.FullKernel(window=3),
}


@pytest.mark.parametrize("kind", RUNNING)
@pytest.mark.parametrize("features", ["zero", "equal", "huge", "half", "one wide", "one example"])
def test_value_and_gradient_are_finite_whatever_the_features(kind, features):
    rng = np.random.default_rng(3)
    widths = {"d_S": 1, "d_T": 1} if features == "one wide" else {}
    sizes = (1, 1, 1) if features == "one example" else (6, 6, 1)
    dtype = np.float16 if features == "half" else np.float32
    loss = RUNNING[kind]()
    for S, T, y in epoch_of(rng, sizes=sizes, **widths):
        factor = {"zero": 0, "huge": 1e6}.get(features, 1)
        S, T = (np.ones_like(X) if features == "equal" else factor * X for X in (S, T))
        now = tensors(S.astype(dtype), T.astype(dtype), y)
        found = loss(*now)
        found.backward()
        assert torch.isfinite(found) and torch.isfinite(now[0].grad).all()


def test_a_class_leaves_the_sum_when_the_window_has_forgotten_it():
    X = np.random.default_rng(4).standard_normal((2, 3))
    loss = ks.losses.KDA(landmarks="running:2")
    loss(*tensors(X, X, np.array([0, 3])))
    for step in range(12):
        loss(*tensors(X, X, np.array([1, 1])))
        kept = loss.source.sums["counts"] >= 1e-3
        assert bool(kept[0]) == bool(kept[3]) == (step < 9)
    assert torch.isfinite(loss(*tensors(X, X, np.array([0, 1]))))


@pytest.mark.parametrize("kind", RUNNING)
def test_a_run_taken_up_after_any_batch_goes_on_in_the_same_bits(kind):
    batches = epoch_of(np.random.default_rng(5), sizes=(8, 8, 3, 8, 8), dtype=np.float32)
    whole, states, expected = RUNNING[kind](), [], []
    for batch in batches:
        file = io.BytesIO()
        torch.save(whole.state_dict(), file)
        states.append(file)
        expected.append(whole(*tensors(*batch)).detach().numpy().tobytes())
    for number, file in enumerate(states):
        file.seek(0)
        resumed = RUNNING[kind]()
        resumed.load_state_dict(torch.load(file, weights_only=True))
        found = [resumed(*tensors(*batch)).detach().numpy().tobytes() for batch in batches[number:]]
        assert found == expected[number:]


@pytest.mark.parametrize("kind", RUNNING)
def test_evaluation_before_any_batch_is_told(kind):
    loss = RUNNING[kind]().eval()
    with pytest.raises(UsageError, match=r"no batch was seen in train\(\) mode"):
        loss(*tensors(*epoch_of(np.random.default_rng(6), sizes=(4,))[0]))


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("full_kernel(window=0.5)", "window must be a number of batches from 1, not 0.5"),
        ("full_kernel(window=0)", "window must be"),
        ("full_kernel(window=many)", "not 'many'"),
        ("full_kernel(warm_up=1)", "no option 'warm_up'"),
        ("kda(landmarks=running:0)", "lacks a number from 1"),
        ("kda(landmarks=running:)", "lacks a number from 1"),
        ("kda(landmarks=running,warm_up=2)", "warm_up goes with landmarks of the epoch before"),
        ("kda(landmarks=running,centres_per_class=2)", "goes with landmarks=class-means alone"),
        ("kda(landmarks=runing)", "nearest: running"),
    ],
)
def test_wrong_options_are_told_before_anything_is_trained(method, message):
    with pytest.raises(UsageError, match=message):
        losses_of(method)


def test_running_methods_are_written_as_the_others():
    kda, full = losses_of("kda@logits(landmarks=running:12)+full_kernel(window=4)").values()
    assert (kda.layer, kda.loss.source.decay, full.loss.grams.decay) == ("logits", 1 - 1 / 12, 0.75)


SHARED = """
import sys, torch, torch.distributed as dist
import kernelscope as ks

def losses():
    return ks.losses.FullKernel(window=3), ks.losses.KDA(landmarks="running:3")

def main(rank, file):
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    full, kda = losses()
    for x_S, x_T, y in torch.load(sys.argv[1]):
        part = slice(0, 5) if rank == 0 else slice(5, None)
        full(x_S[part], x_T[part])
        kda(x_S[part], x_T[part], y[part])
    torch.save([full.grams.sums, kda.source.sums], f"{file}.{rank}")
    dist.destroy_process_group()

if __name__ == "__main__":
    torch.multiprocessing.spawn(main, (sys.argv[2],), nprocs=2)
"""


def test_processes_of_ones_own_loop_share_the_sums(tmp_path):
    """Each sees its part of every batch, the second one alone the last class."""
    batches = epoch_of(np.random.default_rng(8), sizes=(9, 8, 9))
    for _, _, y in batches:
        y[:5], y[-1] = y[:5] % 2, 3
    whole = ks.losses.FullKernel(window=3), ks.losses.KDA(landmarks="running:3")
    for batch in batches:
        x_S, x_T, y = tensors(*batch)
        whole[0](x_S, x_T)
        whole[1](x_S, x_T, y)
    expected = [whole[0].grams.sums, whole[1].source.sums]
    torch.save([[x.detach() for x in tensors(*batch)] for batch in batches], tmp_path / "batches.pt")
    (tmp_path / "loop.py").write_text(SHARED)
    command = [sys.executable, str(tmp_path / "loop.py"), str(tmp_path / "batches.pt"), str(tmp_path / "meeting")]
    subprocess.run(command, check=True, timeout=120)
    for rank in (0, 1):
        found = torch.load(tmp_path / f"meeting.{rank}")
        for a, b in zip(found, expected):
            assert a.keys() == b.keys()
            for name in a:
                torch.testing.assert_close(a[name], b[name], rtol=1e-12, atol=1e-12)
