"""What the number says: other kernels, reference levels, groups, comparisons, layers against layers."""

import json
import math

import numpy as np
import pytest
import torch

import kernelscope as ks
from kernelscope.checkpoints.loaded import loaded_module
from kernelscope.checkpoints.untrained import untrained
from kernelscope.cli.main import main
from kernelscope.datasets.examples import Examples
from kernelscope.errors import UnreadableInput, UsageError
from kernelscope.measurement import kernel_numbers
from kernelscope.measurement.kernel_numbers import NO_FEATURES
from kernelscope.networks.zoo import build
from kernelscope.rendering.comparisons import in_words
from kernelscope.report.fields import Comparison


def _pair(seed=0, n=150):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 5
    X_T = np.maximum(2 * rng.standard_normal((5, 9))[y] + rng.standard_normal((n, 9)), 0)
    X_S = np.maximum(X_T @ rng.standard_normal((9, 6)) / 3 + 0.3 * rng.standard_normal((n, 6)), 0)
    return X_T, X_S, y


def _loss(K_T, K_S):
    return np.linalg.norm(K_S - K_T) / np.linalg.norm(K_T)


def _rbf(X, gamma):
    return np.exp(-gamma * ((X[:, None] - X[None]) ** 2).sum(-1))


def _unit(X):
    lengths = np.linalg.norm(X, axis=1, keepdims=True)
    return np.divide(X, lengths, out=np.zeros_like(X), where=lengths > 0)


def test_cosine_is_linear_on_rows_of_length_one():
    X_T, X_S, y = _pair()
    X_T[3] = 0
    report = ks.measure(teacher=X_T, student=X_S, labels=y, kernel="cosine")
    K_T, K_S = (U @ U.T for U in (_unit(X_T), _unit(X_S)))
    assert report.transfer_loss == pytest.approx(_loss(K_T, K_S), rel=1e-12)
    assert report.kernel == "cosine"
    assert report.ladder.head is not None and report.anova is not None
    assert any(f"{np.sum(~X_T.any(axis=1))} rows of the teacher are all zero" in note for note in report.notes)
    alike = ks.measure(teacher=X_T, student=X_T * np.arange(1, 151)[:, None], labels=y, kernel="cosine")
    assert alike.transfer_loss == pytest.approx(0, abs=1e-9)


def test_centring_and_unit_length_are_done_in_this_order():
    X_T, X_S, y = _pair()
    report = ks.measure(teacher=X_T, student=X_S, labels=y, centre=True, normalize=True)
    U_T, U_S = (_unit(X - X.mean(0)) for X in (X_T, X_S))
    assert report.transfer_loss == pytest.approx(_loss(U_T @ U_T.T, U_S @ U_S.T), rel=1e-12)
    shifted = ks.measure(teacher=X_T + 7, student=X_S - 3, labels=y, centre=True, normalize=True)
    assert shifted.transfer_loss == pytest.approx(report.transfer_loss, rel=1e-12)


@pytest.mark.parametrize("spec", ["rbf", "rbf:0.05", "poly", "poly:2,0.5", "poly:1,0"])
def test_other_kernels_equal_their_dense_matrices(spec):
    X_T, X_S, y = _pair(n=1100)  # more than a block
    report = ks.measure(teacher=X_T, student=X_S, labels=y, kernel=spec)
    kernels = []
    for X in (X_T, X_S):
        if spec.startswith("rbf"):
            drawn = np.sort(np.random.default_rng(0).choice(1100, 1000, replace=False))
            D = ((X[drawn][:, None] - X[drawn][None]) ** 2).sum(-1)[np.triu_indices(1000, 1)]
            kernels.append(_rbf(X, 0.05 if ":" in spec else 1 / (2 * np.median(D))))
        else:
            degree, offset = {"poly": (3, 1.0), "poly:2,0.5": (2, 0.5), "poly:1,0": (1, 0.0)}[spec]
            kernels.append((X @ X.T / np.mean((X**2).sum(1)) + offset) ** degree)
    K_T, K_S = kernels
    low, high = report.rounding_interval
    assert low <= _loss(K_T, K_S) * (1 + 1e-13) and _loss(K_T, K_S) * (1 - 1e-13) <= high
    assert report.resolved and report.rounding_certified and (high - low) < 1e-9
    H = np.eye(1100) - 1 / 1100
    C_T, C_S = H @ K_T @ H, H @ K_S @ H
    assert report.cka == pytest.approx(np.sum(C_T * C_S) / np.linalg.norm(C_T) / np.linalg.norm(C_S), rel=1e-9)
    cosine = np.sum(K_T * K_S) / np.linalg.norm(K_T) / np.linalg.norm(K_S)
    assert report.alignment == pytest.approx(cosine, rel=1e-10)
    assert report.ladder.scaled == pytest.approx(math.sqrt(1 - cosine**2), rel=1e-6)
    shuffles = [_loss(K_T, K_S[p][:, p]) ** 2 for p in map(np.random.default_rng(0).permutation, [1100] * 20)]
    assert report.null.transfer_loss == pytest.approx(math.sqrt(np.mean(shuffles)), rel=0.01)
    assert report.worst[0].index == np.argmax(np.sum((K_S - K_T) ** 2, axis=1))
    assert report.ladder.head is None and report.paper is None and NO_FEATURES in report.notes


@pytest.mark.parametrize("seeds", [range(6), pytest.param(range(6, 40), marks=pytest.mark.long)], ids=len)
def test_drawn_pairs_hold_the_truth_in_their_interval(seeds, monkeypatch):
    X_T, X_S, _ = _pair(n=600)
    X_T[:5] *= 30  # heavy rows, which uniform pairs would miss
    truth = ks.measure(teacher=X_T, student=X_S, kernel="poly:2").transfer_loss
    monkeypatch.setattr(kernel_numbers, "MOST_BY_BLOCKS", 500)  # 600 examples count as many
    held = 0
    for seed in seeds:
        report = ks.measure(teacher=X_T, student=X_S, kernel="poly:2", seed=seed, neighbours=0)
        low, high = report.rounding_interval
        held += low <= truth <= high
        assert report.route == "pairs-estimate" and not report.rounding_certified
        assert report.transfer_loss == pytest.approx(truth, rel=0.02)
        assert (high - low) / truth < 0.1
    assert held >= 0.9 * len(seeds)


@pytest.mark.parametrize(
    "spec",
    [
        *("rbf:0", "rbf:-1", "rbf:x", "poly:0", "poly:1,2,3", "laplace", "linear:2", "rbf:inf"),
        *("ridge:0", "ridge:-1", "ridge:x", "ridge:inf", "ridge:nan"),
    ],
)
def test_a_kernel_that_does_not_exist_is_refused_with_those_that_do(spec):
    with pytest.raises(UsageError, match="choose linear, cosine, rbf"):
        ks.measure(teacher=np.eye(4), student=np.eye(4), kernel=spec)


def test_an_untrained_student_and_a_reseeded_teacher_stand_beside_the_loss():
    torch.manual_seed(0)
    teacher, student = build("mlp", in_features=16, num_classes=4), build("mlpx0.5", in_features=16, num_classes=4)
    reseeded = build("mlp", in_features=16, num_classes=4)
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((80, 16)).astype(np.float32)
    ids = np.arange(80 * 16, dtype=np.uint8).reshape(80, 16)
    data = Examples(
        name="x",
        split="test",
        inputs=inputs,
        labels=np.arange(80) % 4,
        ids=ids,
        classes=("a", "b", "c", "d"),
        preprocess=(),
    )
    report = ks.measure(
        teacher=teacher, student=student, data=data, references={"reseeded": reseeded}, untrained=True, cache=False
    )
    for pair in report:
        found = {level.name: level for level in pair.references}
        assert set(found) == {"reseeded", "untrained student"}
        alone = ks.measure(teacher=teacher, student=reseeded, data=data, cache=False).sel(
            teacher_layer=pair.teacher_layer, student_layer=pair.student_layer
        )
        assert found["reseeded"].transfer_loss == pytest.approx(alone.transfer_loss, rel=1e-12)
        assert found["reseeded"].head == pytest.approx(alone.ladder.head, rel=1e-9)
        assert found["untrained student"].transfer_loss != pytest.approx(pair.transfer_loss)
    assert "untrained student" in [text.get_text() for text in report.plot("references").get_yticklabels()]


def test_an_untrained_copy_leaves_the_network_and_the_random_state_alone():
    network = build("resnet8", num_classes=4, in_channels=1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    fresh = [untrained(loaded_module(network, name="n"), seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert fresh[0].sha256 == fresh[1].sha256 != fresh[2].sha256

    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.token = torch.nn.Parameter(torch.zeros(2))

    assert untrained(loaded_module(Odd(), name="odd")) is None


def test_two_students_are_compared_and_equal_ones_are_not_told_apart():
    X_T, X_S, y = _pair(n=400)
    rng = np.random.default_rng(1)
    better = X_T + 0.3 * rng.standard_normal(X_T.shape)
    report = ks.measure(teacher=X_T, student=[X_S, better, X_S + 1e-6 * rng.standard_normal(X_S.shape)], labels=y)
    assert len(report.comparisons) == 3
    first = report.comparisons[0]
    assert (first.first, first.second) == ("student 2", "student 1")
    assert first.interval[1] < 0
    lost = [report.sel(student=f"student {i}").transfer_loss for i in (1, 2)]
    assert first.difference == pytest.approx(lost[1] - lost[0], abs=0.01)
    names = {f"student {i}": f"s{i}" for i in (1, 2, 3)}
    assert "s2 has a lower loss than s1 by 0." in in_words(first, names)
    tied = Comparison("a", "a", "student 1", "student 3", -0.001, (-0.011, 0.009))
    assert in_words(tied, names) == "s1 and s3 cannot be told apart on these examples (0.001 ± 0.010)"
    assert ks.TransferReport.from_json(report.to_json()) == report


def test_whole_groups_widen_the_interval():
    X_T, X_S, y = (np.repeat(part, 8, axis=0) for part in _pair(n=60))
    groups = np.repeat(np.arange(60), 8)
    alone = ks.measure(teacher=X_T, student=X_S, labels=y, neighbours=0)
    whole = ks.measure(teacher=X_T, student=X_S, labels=y, groups=groups, neighbours=0)
    assert np.diff(whole.sampling_interval) > 2 * np.diff(alone.sampling_interval)
    assert any("60 whole groups" in note for note in whole.notes)
    assert whole.transfer_loss == pytest.approx(alone.transfer_loss, rel=1e-13) and whole.neighbours is None


def test_layers_against_layers_are_what_single_pairs_are():
    rng = np.random.default_rng(0)
    teacher = {f"t{d}": rng.standard_normal((300, d)) + 1 for d in (4, 9)}
    student = {f"s{d}": teacher["t9"] @ rng.standard_normal((9, d)) for d in (3, 5, 7)}
    report = ks.measure(teacher=teacher, student=student, pairs="all")
    assert len(report) == 6
    for pair in report:
        alone = ks.measure(teacher=teacher[pair.teacher_layer], student=student[pair.student_layer])
        for name in ("transfer_loss", "cka", "cka_debiased", "norm_difference", "optimal_scale"):
            assert getattr(pair, name) == pytest.approx(getattr(alone, name), rel=1e-9), name
        assert pair.ladder.head == pytest.approx(alone.ladder.head, rel=1e-7)
        assert pair.ladder.head_held_out == pytest.approx(alone.ladder.head_held_out, rel=1e-7)
        assert pair.null.p_value == pytest.approx(alone.null.p_value, rel=1e-6, abs=1e-300)
        assert pair.landmarks is None and pair.worst is None
    ax = report.plot("layers")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["t4", "t9"]
    assert ks.TransferReport.from_json(report.to_json()) == report


class _Counting:
    """Rows that count how often they were read."""

    def __init__(self, X):
        self.X, self.shape, self.dtype, self.rows = X, X.shape, X.dtype, 0

    def __getitem__(self, rows):
        self.rows += len(self.X[rows])
        return self.X[rows]


def test_a_grid_reads_every_layer_a_few_times_however_many_there_are():
    rng = np.random.default_rng(0)

    def reads(layers):
        teacher = {f"t{i}": _Counting(rng.standard_normal((200, 3))) for i in range(layers)}
        student = {f"s{i}": _Counting(rng.standard_normal((200, 3))) for i in range(layers)}
        ks.measure(teacher=teacher, student=student, pairs="all")
        return max(X.rows for X in (*teacher.values(), *student.values())) / 200

    few, many = reads(2), reads(8)
    assert many <= few + 6 * 1.01  # each pair looks at the first block to see whether both are equal
    assert few <= 8


def test_extreme_scales_in_one_layer_do_not_spoil_a_grid():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 3))
    report = ks.measure(teacher={"a": X, "b": 1e-90 * X}, student={"c": X @ X[:3], "d": 1e-90 * X}, pairs="all")
    assert report.sel(teacher_layer="b", student_layer="d").transfer_loss == 0
    assert report.sel(teacher_layer="a", student_layer="c").transfer_loss > 0


def test_nan_in_one_of_many_layers_is_named():
    X = np.random.default_rng(0).standard_normal((50, 3))
    bad = X.copy()
    bad[7, 1] = np.nan
    with pytest.raises(ArithmeticError, match=r"student features of layer d hold 1 NaN.*row 7"):
        ks.measure(teacher={"a": X}, student={"c": X, "d": bad}, pairs="all")


@pytest.fixture
def files(tmp_path, monkeypatch):
    X_T, X_S, y = _pair()
    for name, X in (("t", X_T), ("s", X_S), ("r", X_T[:, ::-1] + 0.1)):
        np.save(tmp_path / f"{name}.npy", X)
    np.save(tmp_path / "groups.npy", y)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_new_option_reaches_the_report(files, capsys):
    words = "measure --teacher t.npy --student s.npy --json --kernel cosine --centre --groups groups.npy"
    with pytest.raises(SystemExit) as stop:
        main([*words.split(), "--neighbours", "5", "--reference", "again=r.npy", "--reference", "r.npy"])
    assert stop.value.code == 0
    pair = json.loads(capsys.readouterr().out)["pairs"][0]
    assert pair["kernel"] == "cosine" and pair["neighbours"]["k"] == 5
    assert [level["name"] for level in pair["references"]] == ["again", "r.npy"]
    assert any("5 whole groups" in note for note in pair["notes"])


@pytest.mark.parametrize(
    ("option", "code"),
    [("--kernel nope", 2), ("--reference missing.npy", 3), ("--neighbours 150", 4), ("--groups t.npy", 4)],
)
def test_a_bad_new_option_is_one_line(files, capsys, option, code):
    with pytest.raises(SystemExit) as stop:
        main(["measure", "--teacher", "t.npy", "--student", "s.npy", *option.split()])
    error = capsys.readouterr().err
    assert (stop.value.code, error.count("\n")) == (code, 1)


def test_a_report_saved_before_neighbours_still_opens(tmp_path):
    X_T, X_S, y = _pair()
    document = ks.measure(teacher=X_T, student=X_S, labels=y).to_dict()
    del document["comparisons"]
    for name in ("neighbours", "outputs", "references"):
        del document["pairs"][0][name]
    assert ks.TransferReport.from_dict(document).neighbours is None
    del document["pairs"][0]["cka"]
    with pytest.raises(UnreadableInput, match="cka"):
        ks.TransferReport.from_dict(document)
