"""KDA's landmarks, however chosen, against float64 NumPy written from the formulas."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from kernelscope.datasets.sources import load
from kernelscope.distill.batches import EpochBatches, splits_of
from kernelscope.distill.losses.kda import KDA
from kernelscope.distill.recipe import Recipe
from tests.distill.test_losses import numeric_gradient, smooth_l1

CLASSES, D_S, D_T = 4, 3, 5
CHOICES = {
    "class means": {},
    "two centres": {"centres_per_class": 2},
    "three centres": {"centres_per_class": 3, "seed": 5},
    "random": {"landmarks": "uniform"},
    "random, fewer than a batch": {"landmarks": "uniform:3"},
    "random, more than a batch": {"landmarks": "uniform:17"},
    "random, more than there are": {"landmarks": "uniform:1000"},
}
VARIANTS = [
    pytest.param({**options, "whiten": whiten}, id=f"{name}-{whiten}")
    for name, options in CHOICES.items()
    for whiten in (None, "teacher", "own")
]


def epoch_of(rng, sizes=(12, 11, 12, 1), dtype=np.float64, d_S=D_S, d_T=D_T):
    """Batches ``(X_S, X_T, y)``, away from the origin as features are."""
    return [
        (
            (1 + rng.standard_normal((r, d_S))).astype(dtype),
            (1 + rng.standard_normal((r, d_T))).astype(dtype),
            rng.integers(0, CLASSES, r),
        )
        for r in sizes
    ]


def tensors(X_S, X_T, y):
    return torch.tensor(X_S, requires_grad=True), torch.tensor(X_T), torch.tensor(y)


def kda(**options):
    loss = KDA(**options)
    loss.classes = CLASSES
    return loss


def collected(options, epochs, **more):
    """A loss that has seen these epochs and is active now."""
    loss = kda(**options, **more)
    for batches in epochs:
        loss.begin_epoch(0, 20)
        for batch in batches:
            assert loss(*tensors(*batch)).item() == 0
        loss.end_epoch()
    loss.begin_epoch(10, 20)
    return loss


def joined(batches):
    return [np.concatenate(parts) for parts in zip(*batches)]


# -- the oracle ------------------------------------------------------------------------------------------------------


def landmarks_of(epochs, landmarks="class-means", centres_per_class=1, seed=0, whiten=None):
    """``(D_S, D_T)`` before whitening, from all features of all epochs."""
    X_S, X_T, y = joined(epochs[-1])
    if landmarks != "class-means":
        m = int(landmarks.partition(":")[2] or CLASSES)
        return X_S[-m:], X_T[-m:]
    if centres_per_class == 1:
        groups = [np.flatnonzero(y == c) for c in np.unique(y)]
    else:
        groups = lloyd(epochs, centres_per_class, seed)
    return tuple(np.stack([X[rows].mean(axis=0) for rows in groups]) for X in (X_S, X_T))


def lloyd(epochs, k, seed):
    """The last epoch's cells as lists of examples: one pass of Lloyd's algorithm an epoch, class by class."""
    cells = {c: {} for c in range(CLASSES)}  # teacher centres by number
    for number, batches in enumerate(epochs):
        _, X, y = joined(batches)
        starts = np.cumsum([0, *(len(batch[2]) for batch in batches)])[:-1]
        signs = np.concatenate(
            [
                np.random.default_rng([seed, number, start]).choice([-1.0, 1.0], len(batch[2]))
                for start, batch in zip(starts, batches)
            ]
        )
        found = []
        for c in np.unique(y):
            members = {j: [] for j in range(k)}
            for i in np.flatnonzero(y == c):
                distances = {j: np.linalg.norm(X[i] - centre) for j, centre in cells[c].items()}
                members[min(distances, key=lambda j: (distances[j], j)) if distances else 0].append(i)
            found += [rows for rows in members.values() if rows]
            centres = {j: X[rows].mean(axis=0) for j, rows in members.items() if rows}
            scatter = {j: np.sum((X[members[j]] - centre) ** 2) for j, centre in centres.items()}
            wide = sorted((j for j in centres if scatter[j] > 1e-20), key=lambda j: -scatter[j])
            for empty, split in zip([j for j in members if not members[j]], wide):
                rows = members[split]
                along = 0.1 * signs[rows] @ (X[rows] - X[rows].mean(axis=0)) / np.sqrt(len(rows))
                centres[empty], centres[split] = centres[split] - along, centres[split] + along
            cells[c] = centres
    return found


def inverse_root(W):
    """``W^{+1/2}`` from W itself."""
    values, vectors = np.linalg.eigh(W)
    kept = values > 1e-10 * values.max()
    return vectors[:, kept] / np.sqrt(values[kept]) @ vectors[:, kept].T


def kda_value(x_S, x_T, D_S, D_T, whiten=None, normalization="batch", weight=0.04):
    """Equation 4 on the partial matrices themselves, times the roots of Corollary 1."""
    C_S, C_T = x_S @ D_S.T, x_T @ D_T.T
    if whiten is not None:
        root_T = inverse_root(D_T @ D_T.T)
        C_S = C_S @ (root_T if whiten == "teacher" else inverse_root(D_S @ D_S.T))
        C_T = C_T @ root_T
    norm = np.linalg.norm(C_T)
    divisor = {"none": 1.0, "batch": norm, "entries": norm * np.sqrt(C_T.size)}[normalization]
    return weight * smooth_l1(C_S - C_T).sum() / divisor


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("normalization", ["batch", "entries", "none"])
def test_kda_is_its_formula_with_gradient_whatever_its_landmarks(options, normalization):
    rng = np.random.default_rng(0)
    epochs = [epoch_of(rng) for _ in range(4)]
    loss = collected(options, epochs, normalization=normalization, weight=0.7)
    x_S, x_T, y = epoch_of(rng, sizes=(7,))[0]

    def value(x):
        return kda_value(x, x_T, *landmarks_of(epochs, **options), options["whiten"], normalization, 0.7)

    now = tensors(x_S, x_T, y)
    found = loss(*now)
    found.backward()
    assert found.item() == pytest.approx(value(x_S), rel=1e-9)
    gradient = numeric_gradient(value, x_S)
    np.testing.assert_allclose(now[0].grad.numpy(), gradient, atol=1e-7 * np.abs(gradient).max())


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("rotated", ["student", "teacher"])
def test_rotated_features_have_the_same_loss(options, rotated):
    rng = np.random.default_rng(1)
    epochs = [epoch_of(rng) for _ in range(4)]
    now = epoch_of(rng, sizes=(7,))[0]
    side = ("student", "teacher").index(rotated)
    Q = np.linalg.qr(rng.standard_normal((now[side].shape[1],) * 2))[0]

    def turned(batch):
        return tuple(part @ Q if number == side else part for number, part in enumerate(batch))

    expected = collected(options, epochs)(*tensors(*now)).item()
    found = collected(options, [[turned(batch) for batch in batches] for batches in epochs])(
        *tensors(*turned(now))
    ).item()
    assert found == pytest.approx(expected, rel=1e-9) and expected > 0


@pytest.mark.parametrize("options", VARIANTS)
def test_a_perfect_student_has_no_loss(options):
    rng = np.random.default_rng(2)
    epochs = [[(X, X, y) for X, _, y in epoch_of(rng)] for _ in range(3)]
    X, _, y = epoch_of(rng, sizes=(7,))[0]
    assert abs(collected(options, epochs)(*tensors(X, X, y)).item()) < 1e-20


# -- random landmarks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spec", "m"), [("uniform", CLASSES), ("uniform:3", 3), ("uniform:30", 30)])
def test_random_landmarks_are_the_same_distinct_examples_in_both_networks(spec, m):
    batches = epoch_of(np.random.default_rng(3))
    X, _, _ = joined(batches)
    D = collected({"landmarks": spec}, [[(x, 2 * x, y) for x, _, y in batches]]).source.D
    chosen = [np.flatnonzero((row == X).all(axis=1)).item() for row in D["student"].numpy()]
    assert len(set(chosen)) == m
    np.testing.assert_array_equal(D["teacher"].numpy(), 2 * X[chosen])


def test_the_examples_seen_last_are_a_uniform_sample_anew_in_every_epoch():
    """Over 300 epochs of the loop's own order, 10 of 129 examples each: chi-squared on how often each is chosen."""
    splits = splits_of(tuple(load("digits", split).head(129) for split in ("train", "validation", "test")))
    recipe, times = Recipe(batch_size=32, pad=0, flip=False), np.zeros(129)
    images = torch.from_numpy(splits.training.raw(np.arange(129))).flatten(1).double()
    for epoch in range(300):
        batches = EpochBatches(splits, recipe, epoch)
        loss = KDA(landmarks="uniform:10")
        loss.begin_epoch(epoch, 300)
        for number in range(len(batches)):
            X = batches.draw(number).images.flatten(1).double().numpy()
            loss(*tensors(X, X, np.zeros(len(X), int)))
        loss.end_epoch()
        times[torch.cdist(loss.source.D["teacher"], images).argmin(1).numpy()] += 1
    expected = 300 * 10 / 129
    statistic = np.sum((times - expected) ** 2 / expected) / (1 - 10 / 129)
    assert times.sum() == 3000 and abs(statistic - 128) < 4 * np.sqrt(2 * 128)


# -- several centres per class ---------------------------------------------------------------------------------------


def clustered(rng, k, n=240):
    """Classes of k clusters each in the teacher's space; in the student's they lie on top of one another."""
    y, cluster = rng.integers(0, CLASSES, n), rng.integers(0, k, n)
    places = 30 * rng.standard_normal((CLASSES, k, D_T))
    X_T = 50 + places[y, cluster] + rng.standard_normal((n, D_T))
    return rng.standard_normal((n, D_S)), X_T, y, cluster


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_the_teachers_clusters_are_the_centres_of_both_networks(k, seed):
    rng = np.random.default_rng(seed)
    X_S, X_T, y, cluster = clustered(rng, k)
    epochs = []
    for _ in range(8):
        order = rng.permutation(len(y))
        epochs.append([(X_S[rows], X_T[rows], y[rows]) for rows in np.array_split(order, 7)])
    D = collected({"centres_per_class": k, "seed": seed}, epochs).source.D
    groups = [np.flatnonzero((y == c) & (cluster == j)) for c in range(CLASSES) for j in range(k)]
    for side, X in (("student", X_S), ("teacher", X_T)):
        expected = np.stack([X[rows].mean(axis=0) for rows in groups])
        found = D[side].numpy()
        distances = np.linalg.norm(found[:, None] - expected, axis=2)
        np.testing.assert_allclose(distances.min(axis=1), 0, atol=1e-10)
        assert sorted(distances.argmin(axis=1)) == list(range(CLASSES * k))


def test_scatter_about_the_centres_falls_by_epochs_to_that_of_k_means():
    rng = np.random.default_rng(4)
    X_S, X_T, y = joined(epoch_of(rng, sizes=(400,)))
    loss, scatter = kda(centres_per_class=3), []
    for epoch in range(12):
        loss.begin_epoch(epoch, 20)
        for rows in np.array_split(rng.permutation(400), 7):
            loss(*tensors(X_S[rows], X_T[rows], y[rows]))
        scatter.append(loss.source.memory.sums["scatter"].sum().item())  # about the centres of the epoch before
        loss.end_epoch()
    assert all(later <= earlier for earlier, later in itertools.pairwise(scatter[3:]))
    best = sum(KMeans(3, n_init=10, random_state=0).fit(X_T[y == c]).inertia_ for c in range(CLASSES))
    assert best * (1 - 1e-9) <= scatter[-1] < 1.1 * best < 0.9 * scatter[1]


def test_class_means_serve_until_there_are_more_centres():
    epochs = [epoch_of(np.random.default_rng(5), sizes=(100, 100))] * 3
    numbers = [len(collected({"centres_per_class": 4}, epochs[:n]).source.D["teacher"]) for n in (1, 2, 3)]
    assert numbers == [CLASSES, 2 * CLASSES, 4 * CLASSES]
    first = collected({"centres_per_class": 4}, epochs[:1]).source.D["student"]
    torch.testing.assert_close(first, collected({}, epochs[:1]).source.D["student"])


def test_empty_cells_are_left_out_and_an_absent_class_keeps_its_cells():
    rng = np.random.default_rng(6)
    X_S, X_T, y, _ = clustered(rng, 2)
    whole, without = (X_S, X_T, y), tuple(part[y != 1] for part in (X_S, X_T, y))
    D = [
        collected({"centres_per_class": 2}, [[whole]] * 6 + last).source.D
        for last in ([], [[without]], [[without], [whole]])
    ]
    assert [len(found["teacher"]) for found in D] == [8, 6, 8]
    torch.testing.assert_close(D[0]["teacher"], D[2]["teacher"])
    equal = [np.repeat(part[:4], 10, axis=0) for part in (X_S, X_T, np.arange(4))]
    assert len(collected({"centres_per_class": 3}, [[equal]] * 5).source.D["teacher"]) == CLASSES


# -- whitening -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_whitened_landmarks_have_a_projector_for_w(name, dtype):
    epochs = [epoch_of(np.random.default_rng(7), dtype=dtype)] * 3
    raw = collected(CHOICES[name], epochs).source.D
    for whiten, sides in (("teacher", ["teacher"]), ("own", ["teacher", "student"])):
        D = collected({**CHOICES[name], "whiten": whiten}, epochs).source.D
        for side in sides:
            W = D[side].numpy() @ D[side].numpy().T
            np.testing.assert_allclose(W @ W, W, atol=1e3 * np.finfo(dtype).eps)
            assert round(np.trace(W)) == np.linalg.matrix_rank(raw[side].numpy())
            assert D[side].numpy().dtype == dtype


def test_a_direction_that_only_rounding_gave_the_landmarks_is_not_blown_up():
    rng = np.random.default_rng(8)
    X_S, X_T, _ = joined(epoch_of(rng, sizes=(6,), dtype=np.float32))
    X_T[3:] = X_T[:3] * np.float32(1 + 1e-7)
    batch = (X_S, X_T, np.zeros(6, int))
    D = collected({"landmarks": "uniform:6", "whiten": "teacher"}, [[batch]]).source.D
    assert torch.linalg.matrix_norm(D["teacher"]).square().item() == pytest.approx(3, rel=1e-5)
    assert torch.linalg.matrix_norm(D["student"]) < 1e2
