"""A grid of layers by their kernels says what single pairs say, and what dense formulas say."""

import dataclasses

import numpy as np
import pytest

import kernelscope as ks
from kernelscope.errors import ResourceError
from kernelscope.measurement import student_layers
from kernelscope.measurement.kernel_grid import kernels_serve_better
from kernelscope.metrics import cka as dense_pairs_cka

N = 48


def layers(seed: int, widths: dict[str, int]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    common = rng.standard_normal((N, 12))
    rng = np.random.default_rng(seed)
    return {
        name: np.maximum(common @ rng.standard_normal((12, d)) + rng.standard_normal((N, d)), 0).astype(np.float32)
        for name, d in widths.items()
    }


TEACHER = layers(1, {"narrow": 9, "square": N, "wide": 700})
STUDENT = layers(2, {"narrow": 6, "wide": 350}) | {"copy": TEACHER["wide"].copy(), "off": TEACHER["narrow"] + 1000}
STUDENT["still"] = np.full((N, 90), 0.1, np.float32)


def numbers(value, path=""):
    """Every number of a report by its path."""
    if dataclasses.is_dataclass(value):
        value = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, f"{path}.{key}")
    elif isinstance(value, tuple | list):
        for i, inner in enumerate(value):
            yield from numbers(inner, f"{path}[{i}]")
    elif isinstance(value, float | int) and not isinstance(value, bool):
        yield path, value


MANY = {"a": TEACHER["narrow"], "b": TEACHER["narrow"][:, :4]}, {"c": STUDENT["narrow"], "d": STUDENT["off"][:, :5]}


@pytest.mark.parametrize("few", [True, False])
def test_a_pair_of_the_grid_has_the_numbers_of_the_pair_alone(few):
    teacher, student = (TEACHER, STUDENT) if few else MANY  # by kernels, or by Gram sums
    found = {(p.teacher_layer, p.student_layer): p for p in ks.measure(teacher=teacher, student=student, pairs="all")}
    assert len(found) == len(teacher) * len(student)
    for (t, s), pair in found.items():
        alone = dict(numbers(ks.measure(teacher={t: teacher[t]}, student={s: student[s]}, pairs=f"{t}={s}").pairs[0]))
        assert pair.route in (("blocked",) if few else ("gram", "pair"))
        for path, value in numbers(pair):
            if path.startswith((".null.p", ".intervals", ".rounding")) or path.endswith("row_length"):
                continue
            assert value == pytest.approx(alone[path], rel=1e-7, abs=1e-8), (t, s, path)
        assert pair.rounding_interval[0] <= alone[".transfer_loss"] <= pair.rounding_interval[1]


def test_layers_with_more_features_than_examples_have_their_dense_numbers():
    report = ks.measure(teacher=TEACHER, student=STUDENT, pairs="all")
    for pair in report:
        X_T, X_S = (side.astype(np.float64) for side in (TEACHER[pair.teacher_layer], STUDENT[pair.student_layer]))
        K_T, K_S = X_T @ X_T.T, X_S @ X_S.T
        assert pair.transfer_loss == pytest.approx(np.linalg.norm(K_S - K_T) / np.linalg.norm(K_T), rel=1e-9, abs=1e-12)
        assert (pair.d_teacher, pair.d_student) == (X_T.shape[1], X_S.shape[1])
        if pair.student_layer == "still":
            assert pair.cka is None
            continue
        H = np.eye(N) - 1 / N
        C_T, C_S = H @ K_T @ H, H @ K_S @ H
        cosine = np.sum(C_S * C_T) / np.linalg.norm(C_S) / np.linalg.norm(C_T)
        assert pair.cka == pytest.approx(cosine, rel=1e-7)
        assert pair.cka == pytest.approx(dense_pairs_cka(X_S, X_T), rel=1e-7)
        nuclear = np.linalg.svd((H @ X_S).T @ (H @ X_T), compute_uv=False).sum()
        distance = 2 - 2 * nuclear / np.sqrt(np.trace(C_S) * np.trace(C_T))
        assert pair.procrustes**2 == pytest.approx(distance, abs=1e-9)


def test_a_wide_pair_alone_keeps_the_number_of_its_features():
    (pair,) = ks.measure(teacher=TEACHER["wide"], student=STUDENT["wide"]).pairs
    assert (pair.d_teacher, pair.d_student, pair.ladder.head_held_out) == (700, 350, None)
    assert "48 examples for 700 features" in next(w.text for w in pair.warnings if w.code == "few-examples")
    X_T, X_S = (X - X.mean(axis=0, dtype=np.float64) for X in (TEACHER["wide"], STUDENT["wide"]))
    hats = []
    for X in (X_S, X_T):
        Sigma = X.T @ X / N
        lam = 0.01 * np.trace(Sigma) / X.shape[1]
        hats.append(X @ np.linalg.solve(Sigma + lam * np.eye(len(Sigma)), X.T) / N)
    assert pair.gulp.value == pytest.approx(np.linalg.norm(hats[0] - hats[1]), rel=1e-7)


def test_wide_layers_whose_kernels_do_not_fit_name_the_memory_they_need():
    message = r"kernels of 48 examples of 8 layers take 884,736 bytes; raise memory_bytes"
    with pytest.raises(ResourceError, match=message):
        kernels_serve_better(TEACHER, STUDENT, 800_000)
    with pytest.raises(ResourceError, match=r"48 examples of 3 \+ 5 layers take .* raise it"):
        ks.measure(teacher=TEACHER, student=STUDENT, pairs="all", memory_bytes=800_000)


def test_layers_hardly_wider_than_long_go_by_grams_where_these_are_smaller(monkeypatch):
    names = [f"layer{i}" for i in range(6)]
    narrow, wide = (np.random.default_rng(d).standard_normal((40, d)) for d in (3, 41))
    teacher, student = ({"wide": wide} | dict.fromkeys(names, narrow) for _ in range(2))
    monkeypatch.setattr(student_layers, "within_grid", lambda match, s: dataclasses.replace(s, block_bytes=10_000))
    report = ks.measure(teacher=teacher, student=student, pairs="all")
    assert {pair.route for pair in report} == {"gram", "pair"}  # the latter of equal layers


def test_a_student_whose_squares_leave_double_precision_is_no_zero():
    rng = np.random.default_rng(8)
    X, Y = rng.standard_normal((20, 30)), rng.standard_normal((20, 28))
    (large,), (small,) = (ks.measure(teacher={"a": X}, student={"b": Y * scale}, pairs="all") for scale in (1.0, 1e-90))
    assert small.cka == pytest.approx(large.cka, rel=1e-12)
    assert small.ladder.scaled == pytest.approx(large.ladder.scaled, rel=1e-12)
