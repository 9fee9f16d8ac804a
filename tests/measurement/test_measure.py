"""measure: every key is there, None says why, and the numbers are those of independent formulas."""

import ast
import dataclasses
import inspect
import math

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import kernelscope as ks
from kernelscope.datasets.sources import load as load_data
from kernelscope.errors import Mismatch, UsageError
from kernelscope.features.request import Request
from kernelscope.kernels.nystrom.choosing import uniform
from kernelscope.measurement.from_sums import Summation
from kernelscope.measurement.layer_choice import LayerChoice
from kernelscope.measurement.layer_pairs import Correspondence
from kernelscope.measurement.pair_numbers import PairSettings
from kernelscope.networks import zoo
from kernelscope.report.fields import PairReport
from kernelscope.report.report import TransferReport


def classy(n=400, d_T=10, d_S=6, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    X_T = np.maximum(2 * rng.standard_normal((classes, d_T))[y] + rng.standard_normal((n, d_T)), 0)
    X_S = np.maximum(0.8 * X_T[:, :d_S] + 0.3 * rng.standard_normal((n, d_S)), 0)
    return X_T, X_S, y


def test_numbers_of_a_pair_equal_dense_formulas():
    X_T, X_S, y = classy()
    report = ks.measure(teacher=X_T, student=X_S, labels=y)
    K_S, K_T = X_S @ X_S.T, X_T @ X_T.T
    D = K_S - K_T
    norm = np.linalg.norm(K_T)
    assert report.transfer_loss == pytest.approx(np.linalg.norm(D) / norm, rel=1e-12)
    assert (report.n, report.d_teacher, report.d_student, report.route) == (400, 10, 6, "gram")
    centres = [np.stack([X[y == c].mean(0) for c in range(5)]) for X in (X_T, X_S)]
    dC = X_S @ centres[1].T - X_T @ centres[0].T
    counts = np.bincount(y)
    assert report.nystrom.partial_norm == pytest.approx(np.linalg.norm(dC), rel=1e-10)
    assert report.paper.estimate == pytest.approx(np.linalg.norm(dC) / norm, rel=1e-10)
    assert report.nystrom.expanded_estimate == pytest.approx(
        math.sqrt((counts * (dC**2).sum(0)).sum()) / norm, rel=1e-10
    )
    W_T = centres[0] @ centres[0].T
    np.testing.assert_allclose(report.landmark_spectrum.teacher.eigenvalues, np.linalg.eigvalsh(W_T)[::-1], rtol=1e-9)
    e = max(np.linalg.norm(X, axis=1).max() for X in (X_T, X_S))
    A_T, A_S = (np.linalg.norm(X - c[y], axis=1).sum() for X, c in zip((X_T, X_S), centres))
    B = sum(counts[c] * np.abs(dC[:, c]).sum() for c in range(5))
    terms = report.paper.theorem2
    assert (terms.e, terms.term_a_teacher, terms.term_a_student) == pytest.approx((e, A_T, A_S), rel=1e-10)
    assert terms.bound == pytest.approx(400 * e * (A_T + A_S) + B, rel=1e-10)
    eigenvalues = np.linalg.eigvalsh(D)
    assert report.difference_spectrum.spectral_norm == pytest.approx(np.abs(eigenvalues).max(), rel=1e-9)
    assert report.difference_spectrum.nuclear_norm == pytest.approx(np.abs(eigenvalues).sum(), rel=1e-8)
    blocks = [[np.sum(D[np.ix_(y == a, y == b)] ** 2) for b in range(5)] for a in range(5)]
    np.testing.assert_allclose(report.classes.loss, np.array(blocks) / np.sum(D**2), rtol=1e-8)
    assert math.fsum((report.anova.mean_mean, report.anova.mean_within, report.anova.within_within)) == pytest.approx(1)
    assert report.worst[0].share == pytest.approx((D**2).sum(1).max() / np.sum(D**2), rel=1e-8)
    assert report.worst[0].index == int((D**2).sum(1).argmax())


def test_every_key_of_a_pair_is_there_and_survives_json():
    X_T, X_S, y = classy()
    for labels in (y, None):
        report = ks.measure(teacher=X_T, student=X_S, labels=labels)
        pair = report.to_dict()["pairs"][0]
        assert set(pair) == set(PairReport.__dataclass_fields__)
        for key in ("transfer_loss", "ladder", "null", "nystrom", "landmark_spectrum", "paper", "warnings", "notes"):
            assert key in pair
        assert TransferReport.from_json(report.to_json()) == report
    assert report.landmarks.strategy == "kmeans"
    assert report.landmarks.m == 40
    assert report.classes is None


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_tiny_sets_are_measured_without_a_nan(n):
    rng = np.random.default_rng(0)
    report = ks.measure(teacher=rng.standard_normal((n, 7)), student=rng.standard_normal((n, 3)))
    assert report.transfer_loss > 0
    report.to_json()


@pytest.mark.parametrize("scale", [1e-120, 1e-6, 1e6, 1e120])
def test_ratios_do_not_depend_on_a_common_scale(scale):
    X_T, X_S, y = classy()
    plain = ks.measure(teacher=X_T, student=X_S, labels=y)
    scaled = ks.measure(teacher=scale * X_T, student=scale * X_S, labels=y)
    for field in ("transfer_loss", "cka", "alignment"):
        assert getattr(scaled, field) == pytest.approx(getattr(plain, field), rel=1e-9)
    assert scaled.ladder.head == pytest.approx(plain.ladder.head, rel=1e-6)
    scaled.to_json()


@pytest.mark.parametrize("spec", ["class-means:2", "kmeans:7", "uniform:9", "leverage:5"])
def test_landmarks_of_every_kind_give_bounds_that_hold(spec):
    X_T, X_S, y = classy()
    report = ks.measure(teacher=X_T, student=X_S, labels=y, landmarks=spec)
    assert report.landmarks.strategy.split(":")[0] == spec.split(":")[0]
    for name, bound in report.paper.bounds.items():
        if bound is not None and not name.endswith("_paper"):
            assert bound.holds, name
    partition = spec.split(":")[0] in ("class-means", "kmeans")
    assert (report.anova is not None) == partition
    assert (report.paper.theorem2 is not None) == partition


def test_landmarks_may_be_given_as_a_value_or_a_file(tmp_path):
    X_T, X_S, y = classy()
    np.save(tmp_path / "rows.npy", uniform(400, 9, 3).indices)
    one = ks.measure(teacher=X_T, student=X_S, labels=y, landmarks=uniform(400, 9, 3))
    two = ks.measure(teacher=X_T, student=X_S, labels=y, landmarks=str(tmp_path / "rows.npy"))
    assert one.nystrom.partial_norm == two.nystrom.partial_norm


def test_several_students_are_chosen_by_name():
    X_T, X_S, y = classy()
    report = ks.measure(teacher=X_T, student=[X_S, 0.5 * X_S], labels=y)
    assert [pair.student for pair in report] == ["student 1", "student 2"]
    assert report.sel(student="student 2").scale_ratio == pytest.approx(report.sel(student="student 1").scale_ratio / 4)
    with pytest.raises(AttributeError, match="2 pairs"):
        _ = report.transfer_loss
    with pytest.raises(UsageError, match="0 pairs fit"):
        report.sel(student="nobody")


def test_layers_pair_by_name_or_as_told():
    X_T, X_S, _ = classy()
    teacher, student = {"a": X_T, "b": X_T[:, :3]}, {"b": X_S, "c": X_S[:, :2]}
    assert [p.student_layer for p in ks.measure(teacher=teacher, student=student)] == ["b"]
    assert len(ks.measure(teacher=teacher, student=student, pairs="all")) == 4
    found = ks.measure(teacher=teacher, student=student, pairs="a=c")
    assert (found.teacher_layer, found.student_layer) == ("a", "c")
    with pytest.raises(UsageError, match="names a layer that is not there"):
        ks.measure(teacher=teacher, student=student, pairs="a=z")
    with pytest.raises(UsageError, match="no layer is in both"):
        ks.measure(teacher={"a": X_T, "x": X_T}, student={"b": X_S, "c": X_S})


def test_arrays_tensors_and_hdf5_give_the_same_report(tmp_path):
    X_T, X_S, y = classy()
    plain = ks.measure(teacher=X_T, student=X_S, labels=y)
    tensors = ks.measure(teacher=torch.from_numpy(X_T), student=torch.from_numpy(X_S), labels=torch.from_numpy(y))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stored = ks.measure(
            teacher=file.create_dataset("t", data=X_T), student=file.create_dataset("s", data=X_S), labels=y
        )
        assert stored.pairs == tensors.pairs == plain.pairs


def test_modules_are_measured_on_named_data(tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELSCOPE_CACHE", str(tmp_path))
    torch.manual_seed(0)
    teacher, student = (zoo.build(name, in_channels=1) for name in ("resnet8x0.5", "resnet8x0.25"))
    report = ks.measure(teacher=teacher, student=student, data=load_data("digits", "test", limit=80))
    assert [p.student_layer for p in report] == ["embedding", "logits"]
    assert report.pairs[0].n == 80
    assert report.networks[0].top1 is not None
    with pytest.raises(UsageError, match="pass data="):
        ks.measure(teacher=teacher, student=student)


def test_a_network_without_a_linear_layer_drops_the_default_embedding(tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELSCOPE_CACHE", str(tmp_path))
    net = nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten())
    report = ks.measure(teacher=net, student=net, data=load_data("digits", "test", limit=40))
    assert [p.student_layer for p in report] == ["logits"]
    assert any("no embedding" in note for note in report.notes)


def test_labels_are_checked_for_number_and_kind():
    X_T, X_S, y = classy()
    with pytest.raises(Mismatch, match=r"\(399,\), expected \(400,\)"):
        ks.measure(teacher=X_T, student=X_S, labels=y[1:])
    with pytest.raises(Mismatch, match="whole numbers"):
        ks.measure(teacher=X_T, student=X_S, labels=y + 0.5)
    named = ks.measure(teacher=X_T, student=X_S, labels=np.array(list("abcde"))[y])
    assert named.transfer_loss == ks.measure(teacher=X_T, student=X_S, labels=y).transfer_loss


@pytest.mark.parametrize("offset", [0, 5])
def test_eight_outlier_rows_are_told_with_both_numbers(offset):
    rng = np.random.default_rng(0)
    X_T, X_S = rng.standard_normal((4096, 16)), rng.standard_normal((4096, 16))
    shared = 300 * rng.standard_normal((8, 16))
    X_T[offset : offset + 8] = X_S[offset : offset + 8] = shared
    report = ks.measure(teacher=X_T, student=X_S)
    assert report.transfer_loss < 0.1
    assert report.cka > 0.99
    text = next(w.text for w in report.warnings if w.code == "outliers")
    kept = np.sort(np.argsort(-((X_T @ X_T.T) ** 2).sum(1), kind="stable")[40:])
    without = ks.transfer_loss(teacher=X_T[kept], student=X_S[kept]).value
    assert without > 1
    assert f"{without:.3g} without" in text


def warned(**given):
    return {w.code for w in ks.measure(**given).warnings}


def test_each_warning_is_given_when_it_should_be_and_not_otherwise():
    X_T, X_S, y = classy()
    rng = np.random.default_rng(0)
    assert warned(teacher=X_T + 0, student=X_S, labels=y) <= {"mean-dominates"}
    assert "few-examples" in warned(teacher=X_T[:8], student=X_S[:8])
    assert "few-classes" in warned(teacher=X_T, student=X_S, labels=y % 2)
    assert "mean-dominates" in warned(teacher=X_T + 50, student=X_S, labels=y)
    assert "rank-deficient-landmarks" in warned(teacher=X_T, student=X_S[:, :3], labels=y)
    narrow = X_T.astype(np.float16)
    assert "below-storage-floor" in warned(
        teacher=narrow, student=narrow + np.float16(1e-3) * (rng.random(narrow.shape) < 0.01)
    )
    almost = X_T @ np.linalg.qr(rng.standard_normal((10, 10)))[0] + 1e-8 * rng.standard_normal(X_T.shape)
    assert "unresolved" in warned(teacher=X_T, student=almost, route="gram")


def test_two_classes_are_few_and_three_are_not():
    X_T, X_S, y = classy()
    codes = [warned(teacher=X_T, student=X_S, labels=y % classes) for classes in (2, 3)]
    assert ["few-classes" in found for found in codes] == [True, False]


def test_more_cells_than_features_are_no_rank_deficiency_until_features_are():
    X_T, X_S, _ = classy()
    flat = np.hstack([X_S[:, :2], X_S[:, :2]])
    codes = [warned(teacher=X_T, student=X, landmarks="kmeans:40") for X in (X_S, flat)]
    assert ["rank-deficient-landmarks" in found for found in codes] == [False, True]


def heavy_rows(share, *, heavy, n):
    """``heavy`` rows, orthogonal to each other and to the equal rest, that carry ``share`` of ‖K‖² together."""
    X = np.zeros((n, heavy + 1))
    X[heavy:, heavy] = 1
    rest = float(n - heavy) ** 2
    X[range(heavy), range(heavy)] = (share / (1 - share) * rest / heavy) ** 0.25
    return X


@pytest.mark.parametrize(
    ("share", "heavy", "n", "said"),
    [
        (0.45, 1, 100, None),
        (0.55, 1, 100, "1 of 100 examples carry half"),
        (0.55, 1, 99, None),  # of so few, one is no outlier
        (0.7, 2, 199, None),  # a hundredth of these is one row
        (0.7, 2, 200, "2 of 200 examples carry half"),
    ],
)
def test_outliers_are_a_hundredth_that_carries_half_of_the_kernel(share, heavy, n, said):
    X = heavy_rows(share, heavy=heavy, n=n)
    report = ks.measure(teacher=X, student=0.9 * X, neighbours=0)
    texts = [w.text for w in report.warnings if w.code == "outliers"]
    assert len(texts) == (said is not None) and all(text.startswith(said) for text in texts)


@pytest.mark.parametrize("network", ["teacher", "student"])
@pytest.mark.parametrize(("share", "warns"), [(0.88, False), (0.92, True)])
def test_a_mean_dominates_from_nine_tenths_of_the_features_on(network, share, warns):
    rng = np.random.default_rng(0)
    half = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    spread = np.vstack([half, -half])  # rows of length 1 whose mean is zero
    X = np.hstack([np.full((16, 1), math.sqrt(share)), math.sqrt(1 - share) * spread])
    other = {"teacher": "student", "student": "teacher"}[network]
    report = ks.measure(**{network: X, other: spread}, neighbours=0)
    texts = [w.text for w in report.warnings if w.code == "mean-dominates"]
    assert len(texts) == warns and all(text.startswith(f"92% of the {network}'s features") for text in texts)


def test_the_report_reads_in_text_html_and_figures():
    X_T, X_S, y = classy()
    report = ks.measure(teacher=X_T, student=X_S, labels=y)
    assert f"{report.transfer_loss:.3f}" in str(report)
    assert f"{report.transfer_loss:.3f}" in report._repr_html_()
    assert "what is left" in report.plot("ladder").get_title(loc="left").lower()
    assert report.to_frame().loc[0, "ladder.scaled"] == report.ladder.scaled


@pytest.mark.parametrize("function", [ks.measure, ks.audit], ids=lambda function: function.__name__)
def test_every_keyword_is_taken_by_a_value_or_used_by_name(function):
    (tree,) = ast.parse(inspect.getsource(function)).body
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    taken = {
        f.name
        for kind in (Request, Correspondence, LayerChoice, PairSettings, Summation)
        for f in dataclasses.fields(kind)
    }
    if function is ks.audit:
        taken -= {f.name for f in dataclasses.fields(PairSettings)}
    assert set(inspect.signature(function).parameters) - used <= taken
