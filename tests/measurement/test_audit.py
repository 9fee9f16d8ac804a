"""The paper's claims on pairs whose sides are known, and the verb that prints them."""

import dataclasses
import json

import numpy as np
import pytest

import kernelscope as ks
from kernelscope.cli.main import main
from kernelscope.kernels.nystrom.bounds import bounds
from kernelscope.kernels.nystrom.choosing import class_means
from kernelscope.kernels.nystrom.claims import Claim, claims
from kernelscope.kernels.nystrom.nystrom import partial
from kernelscope.measurement import audit as room
from kernelscope.report.audit import TITLES, AuditReport


def _pair(seed: int = 0, n: int = 120, scale: float = 1.0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 4
    means = rng.normal(size=(4, 12))
    X_T = means[y] + 0.3 * rng.normal(size=(n, 12))
    X_S = X_T @ rng.normal(size=(12, 7)) / 3 + 0.1 * rng.normal(size=(n, 7))
    return scale * X_T, scale * X_S, y


def _named(audited: AuditReport, name: str) -> Claim:
    return next(claim for claim in audited.pairs[0].claims if claim.name == name)


def _dense(X_T, X_S, y):
    """Both sides of the claims from n x n kernels and pseudo-inverses."""
    Y = np.eye(4)[y]
    found = {}
    K, C, D, A, r = {}, {}, {}, {}, {}
    for role, X in (("T", X_T), ("S", X_S)):
        K[role], D[role] = X @ X.T, np.linalg.pinv(Y) @ X
        C[role], W = X @ D[role].T, D[role] @ D[role].T
        values, vectors = np.linalg.eigh(W)
        A[role] = C[role] @ vectors @ np.diag(values**-0.5) @ vectors.T
        r[role] = np.linalg.norm(K[role] - C[role] @ np.linalg.inv(W) @ C[role].T)
        F = X - Y @ D[role]
        found[f"theorem1_{role}"] = (r[role], np.linalg.norm(F @ F.T))
    truth = np.linalg.norm(K["S"] - K["T"])
    twos = sum(np.linalg.norm(A[role], 2) for role in "ST")
    c = max(np.linalg.norm(C[role]) for role in "ST")
    dA = np.linalg.norm(A["S"] - A["T"])
    found["corollary1"] = (truth, np.hypot(r["S"], r["T"]) + twos * dA)
    found["corollary1_printed"] = (truth, 2 * max(r.values()) + 2 * c**2 * dA)
    found["estimate"] = (np.linalg.norm(C["S"] - C["T"]) / np.linalg.norm(K["T"]), truth / np.linalg.norm(K["T"]))
    return found


def test_both_sides_equal_those_of_dense_kernels():
    X_T, X_S, y = _pair()
    audited, dense = ks.audit(teacher=X_T, student=X_S, labels=y), _dense(X_T, X_S, y)
    for name, key, kind in (
        ("theorem1_teacher", "theorem1_T", "corrected"),
        ("theorem1_student", "theorem1_S", "corrected"),
        ("corollary1", "corollary1", "corrected"),
        ("corollary1", "corollary1_printed", "printed"),
        ("estimate", "estimate", "printed"),
    ):
        statement = getattr(_named(audited, name), kind)
        assert (statement.left, statement.right) == pytest.approx(dense[key], rel=1e-9), name


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("landmarks", ["class-means", "class-means:2", "kmeans:6", "uniform:9", "leverage:5"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_every_corrected_claim_holds(seed, landmarks, scale):
    X_T, X_S, y = _pair(seed, scale=scale)
    assert ks.audit(teacher=X_T, student=X_S, labels=y, landmarks=landmarks, seed=seed).failures() == []


def test_features_stored_in_half_precision_break_no_corrected_claim():
    X_T, X_S, y = _pair()
    assert ks.audit(teacher=X_T.astype(np.float16), student=X_S.astype(np.float16), labels=y).failures() == []


def test_a_small_scale_alone_fails_the_eigenvalue_assumption():
    X_T, X_S, y = _pair()
    small, large = (ks.audit(teacher=s * X_T, student=s * X_S, labels=y) for s in (0.01, 100.0))
    assert not _named(small, "eigenvalues").printed.holds
    assert _named(large, "eigenvalues").printed.holds
    assert "eigenvalue" in _named(small, "corollary1").assumption


def test_a_printed_corollary_can_fail_where_the_corrected_one_holds():
    # CE4: one sampled landmark, eigenvalues far below 1
    X_S, X_T = 0.1 * np.array([[1.0], [1.0]]), 0.1 * np.array([[1.0], [0.5]])
    claim = _named(
        ks.audit(teacher=X_T, student=X_S, landmarks=ks.Landmarks("uniform", 2, 1, indices=np.array([0]))), "corollary1"
    )
    assert not claim.printed.holds and claim.corrected.holds
    assert claim.corrected.right == pytest.approx(0.0127, abs=5e-5)


def test_class_centres_that_cannot_see_a_difference_estimate_zero():
    # CE7: the centres agree, the kernels do not
    S, T = np.zeros((4, 4)), np.zeros((4, 4))
    S[:2, 0] = T[:2, 0] = S[2:, 1] = T[2:, 1] = 3
    S[:2, 2], T[2:, 3] = (1, -1), (1, -1)
    audited = ks.audit(teacher=T, student=S, labels=[0, 0, 1, 1])
    estimate = _named(audited, "estimate").printed
    assert estimate.left == 0 and estimate.right > 0 and not estimate.holds
    assert _named(audited, "class_centres_upper").corrected.right == pytest.approx(8**0.5)


def test_an_estimate_that_orders_students_wrongly_is_counted():
    X_T, X_S, y = _pair()
    audited = ks.audit(teacher=X_T, student=[X_S, 0.9 * X_T, X_T + 0.01], labels=y)
    assert (audited.tracking.compared, audited.tracking.agreeing) == (3, 3)
    backwards = [dataclasses.replace(p, estimate=-p.estimate) for p in audited.pairs]
    assert room._tracking(backwards).agreeing == 0


def test_rescaled_features_say_nothing_of_claims_that_depend_on_scale():
    X_T, X_S, y = _pair(scale=1e-120)
    audited = ks.audit(teacher=X_T, student=X_S, labels=y)
    assert _named(audited, "eigenvalues").printed is None and _named(audited, "corollary2").printed is None
    assert _named(audited, "corollary2").corrected.holds


def test_claims_and_bounds_agree():
    X_T, X_S, y = _pair()
    sums = partial(teacher=X_T, student=X_S, landmarks=class_means(y))
    norms = np.linalg.norm(X_S.T @ X_S), np.linalg.norm(X_T.T @ X_T)
    truth = float(np.linalg.norm(X_S @ X_S.T - X_T @ X_T.T))
    known = {bound.name: bound for bound in bounds(sums, truth, *norms)}
    found = {claim.name: claim for claim in claims(sums, truth, *norms, None, printed=True)}
    assert "lemma1" not in found
    assert found["theorem2"].printed.right == known["theorem2"].value
    assert found["class_centres_lower"].corrected.left == known["class_centres_lower"].value


@pytest.fixture
def files(tmp_path):
    X_T, X_S, y = _pair()
    np.savez(tmp_path / "t.npz", embedding=X_T, labels=y)
    np.savez(tmp_path / "s.npz", embedding=X_S, labels=y)
    return tmp_path


def test_the_verb_prints_a_line_a_claim_and_both_sides(files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        main(["audit", "--teacher", "t.npz", "--student", "s.npz"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for name in TITLES.values():
        assert out.count(f"\n{name:<17} ") == 2, name
    assert max(map(len, out.splitlines())) <= 80 and "…" not in out


def test_the_verb_writes_json_that_holds_every_side(files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    with pytest.raises(SystemExit) as stop:
        main(["audit", "--teacher", "t.npz", "--student", "s.npz", "--json", "--save", "a.json"])
    assert stop.value.code == 0
    printed, saved = json.loads(capsys.readouterr().out), json.loads((files / "a.json").read_text())
    assert printed == saved
    assert saved["format"] == "kernelscope.audit"
    assert {"formula", "left", "right", "holds", "slack", "vacuous"} == set(saved["pairs"][0]["claims"][0]["corrected"])


def test_a_corrected_claim_that_fails_is_a_bug_and_exit_1(files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    right = room.claims

    def broken(*given, **options):
        found = right(*given, **options)
        failing = dataclasses.replace(found[0].corrected, holds=False)
        return (dataclasses.replace(found[0], corrected=failing), *found[1:])

    monkeypatch.setattr(room, "claims", broken)
    with pytest.raises(SystemExit) as stop:
        main(["audit", "--teacher", "t.npz", "--student", "s.npz"])
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "theorem1_teacher" in error
