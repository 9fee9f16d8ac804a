"""Measures beside the loss as a report has them: within classes, GULP, ridge, answers, prefixes."""

import dataclasses
import json
import math

import numpy as np
import pytest

import kernelscope as ks
from kernelscope import metrics
from kernelscope.cli.main import main
from kernelscope.errors import UsageError
from kernelscope.kernels.similarity.within_class import WithinClass
from kernelscope.measurement.output_numbers import NO_INTERVAL, NOT_CLASSES, NOT_OF_LOGITS, NOT_OF_ROWS
from kernelscope.report.document import flat_fields
from kernelscope.report.gates import Gate
from kernelscope.report.report import TransferReport
from tests.report.sample_reports import full_report


def some_pair(n=200, d=10, noise=0.8, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 5, n)
    X_T = 2 * rng.standard_normal((5, d))[y] + rng.standard_normal((n, d))
    return X_T, X_T + noise * rng.standard_normal((n, d)), y


def of_logits(X_T, X_S, **options):
    return ks.measure(teacher={"logits": X_T}, student={"logits": X_S}, neighbours=0, **options)


def test_a_report_has_the_numbers_of_the_plain_functions():
    X_T, X_S, y = some_pair()
    report = ks.measure(teacher=X_T, student=X_S[:, :6], labels=y, neighbours=0)
    pair = report.pairs[0]
    assert pair.within_class_cka.value == pytest.approx(metrics.within_class_cka(X_S[:, :6], X_T, y), rel=1e-12)
    assert pair.procrustes == pytest.approx(metrics.procrustes(X_S[:, :6], X_T), rel=1e-12)
    assert pair.gulp.value == pytest.approx(metrics.gulp(X_S[:, :6], X_T), rel=1e-12)
    assert json.loads(report.to_json())["pairs"][0]["gulp"] == {"value": pair.gulp.value, "lambda": 0.01}
    assert pair.outputs is None and pair.prefixes is None


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_few_examples_give_a_number_or_null(n):
    X_T, X_S, _ = some_pair(n=n)
    for y in (np.zeros(n, int), np.arange(n), np.arange(n) // 2):
        pair = of_logits(X_T, X_S, labels=y, dims=(1, 10)).pairs[0]
        flat = flat_fields(pair)
        assert all(math.isfinite(value) for value in flat.values() if isinstance(value, float))
        assert (pair.within_class_cka is None) == (len(np.unique(y)) == n)
        assert (pair.procrustes is None) == (pair.gulp is None) == (n == 1)


def test_examples_alone_in_their_class_are_left_out_and_told():
    X_T, X_S, y = some_pair()
    y[:3] = [7, 8, 9]
    report = of_logits(X_T, X_S, labels=y)
    assert "3 examples are the only one of their class and left out of CKA within classes" in report.pairs[0].notes
    assert report.within_class_cka.value == pytest.approx(metrics.within_class_cka(X_S[3:], X_T[3:], y[3:]), rel=1e-9)


@pytest.mark.parametrize("rho", [1e-3, 1e-2, 5.0])
def test_the_loss_under_ridge_is_gulp_over_what_the_teacher_predicts(rho):
    X_T, X_S, y = some_pair()
    pair = of_logits(X_T, X_S, labels=y, kernel=f"ridge:{rho}").pairs[0]
    assert pair.kernel == f"ridge:{rho:g}" and not pair.rounding_certified
    assert pair.norm_difference == pytest.approx(metrics.gulp(X_S, X_T, rho), rel=1e-9)
    assert pair.transfer_loss == pytest.approx(pair.norm_difference / pair.norm_teacher, rel=1e-12)
    assert pair.rounding_interval[0] < pair.transfer_loss < pair.rounding_interval[1]
    assert pair.gulp is None and any("estimated" in note for note in pair.notes)
    same = ks.measure(teacher=X_T, student=3 * X_T + 1, kernel="ridge", neighbours=0).pairs[0]
    assert same.transfer_loss < 1e-12 and same.kernel == "ridge:0.01"


@pytest.mark.parametrize("options", [{}, {"centre": True}, {"normalize": True}, {"kernel": "ridge"}, {"kernel": "rbf"}])
def test_answers_are_those_of_the_logits_as_given_whatever_is_done_to_the_rows(options):
    X_T, X_S, y = some_pair()
    X_S = X_S + 3 * np.eye(10)[0]  # so that centring would change answers
    found = of_logits(X_T, X_S, labels=y, **options).outputs
    right_T, right_S = X_T.argmax(1) == y, X_S.argmax(1) == y
    assert found.changed == pytest.approx(np.mean(X_T.argmax(1) != X_S.argmax(1)))
    assert found.flips.right_to_wrong == np.mean(right_T & ~right_S)
    assert [each.name for each in found.flips.classes] == list("01234")
    low, high = found.flips.accuracy_interval
    assert low < right_S.mean() - right_T.mean() < high
    assert found.calibration.bins == 15 and found.top_k.k == 5


def test_answers_are_compared_and_not_marked_where_labels_say_nothing_of_them():
    X_T, X_S, y = some_pair()
    for labels, note in ((None, None), (y + 6, NOT_CLASSES), (y.astype(str), NOT_OF_LOGITS)):
        report = of_logits(X_T, X_S, labels=labels)
        found = report.outputs
        assert found.flips is None and found.calibration is None and found.changed > 0
        assert note is None or note in report.pairs[0].notes


def test_grouped_examples_have_flips_and_no_interval():
    X_T, X_S, y = some_pair()
    report = of_logits(X_T, X_S, labels=y, groups=np.arange(200) // 4)
    flips = report.outputs.flips
    assert flips.right_to_wrong > 0 and flips.accuracy_interval is None
    assert {each.interval for each in flips.classes} == {None} and NO_INTERVAL in report.pairs[0].notes


class Positions:
    """Features of a text network whose rows are tokens, three of each input, labelled by input."""

    kept = True

    def __init__(self, rows, y):
        self.path, self.layers, self.n, self.matrix = "net", ("logits",), len(rows), rows
        self.ids = np.zeros((len(rows), 16), np.uint8)
        self.ids[:, 0], self.ids[:, 12] = np.arange(len(rows)) // 3, np.arange(len(rows)) % 3
        self.labels, self.classes, self.order_sha256, self.notes = y, (), None, ()
        self.checkpoint_sha256 = self.arch = self.top1 = None

    def features(self, layer):
        return self.matrix

    def pool(self, layer):
        return "token"


def test_tokens_are_compared_by_position_and_marked_by_their_own_labels():
    X_T, X_S, y = some_pair(n=150)
    sides = {"teacher": Positions(X_T, y // 3), "student": Positions(X_S, y // 3)}
    report = ks.measure(**sides, neighbours=0)
    found = report.outputs
    assert report.unit == "token" and found.flips is None and NOT_OF_ROWS in report.pairs[0].notes
    p, q = (np.exp(Z - np.log(np.exp(Z).sum(1, keepdims=True))) for Z in (X_T, X_S))
    assert found.kl == pytest.approx(np.mean(np.sum(p * np.log(p / q), axis=1)), rel=1e-9)
    best = [set(row) for row in np.argsort(-X_T)[:, :5]], [set(row) for row in np.argsort(-X_S)[:, :5]]
    assert found.top_k.overlap == pytest.approx(np.mean([len(a & b) / 5 for a, b in zip(*best)]))
    assert ks.measure(**sides, labels=y, neighbours=0).outputs.flips.right_to_wrong > 0


def test_a_store_that_lacks_a_part_is_refused_by_its_name():
    X_T, X_S, y = some_pair(n=150)
    lacking = Positions(X_T, y)
    del lacking.notes, lacking.ids
    with pytest.raises(UsageError, match="teacher has layers but no ids, notes; give a FeatureStore or arrays"):
        ks.measure(teacher=lacking, student=X_S)


def test_prefixes_are_those_of_both_networks_in_every_kind_of_report():
    X_T, X_S, _ = some_pair()

    def unit(X):
        return X / np.linalg.norm(X, axis=1, keepdims=True)

    for options, form in (
        ({}, lambda X: X),
        ({"pairs": "all"}, lambda X: X),
        ({"kernel": "cosine"}, unit),
        ({"centre": True}, lambda X: X - X.mean(axis=0)),
    ):
        report = ks.measure(teacher=X_T, student=X_S[:, :6], dims=(2, 6, 9), neighbours=0, **options)
        for each, k in zip(report.prefixes, (2, 6, 9), strict=True):
            T, S = form(X_T)[:, :k], form(X_S[:, :6])[:, :k]
            T, S = (unit(T), unit(S)) if "kernel" in options else (T, S)
            alone = ks.transfer_loss(teacher=T, student=S)
            assert (each.dims, each.transfer_loss) == (k, pytest.approx(alone.value, rel=1e-9))
            assert each.interval[0] <= each.transfer_loss <= each.interval[1]
            assert each.cka == pytest.approx(metrics.cka(S, T), rel=1e-9)
        assert TransferReport.from_json(report.to_json()) == report


def test_a_prefix_wider_than_a_pair_is_left_out_and_than_all_refused():
    X_T, X_S, _ = some_pair()
    both = {"narrow": X_T[:, :3], "wide": X_T}
    report = ks.measure(teacher=both, student={"narrow": X_S[:, :3], "wide": X_S}, dims=(2, 8), neighbours=0)
    assert [[each.dims for each in pair.prefixes] for pair in report] == [[2], [2, 8]]
    assert any("no prefix of 8 features: neither network has more than 3" in note for note in report.pairs[0].notes)
    with pytest.raises(UsageError, match="asks for 11 features and no layer has more than 10"):
        ks.measure(teacher=both, student=both, dims=(2, 11))
    for kernel in ("rbf", "poly", "ridge"):
        with pytest.raises(UsageError, match=f"the {kernel} kernel has others"):
            ks.measure(teacher=X_T, student=X_S, dims=(2,), kernel=kernel)


def test_a_dead_prefix_is_null_with_a_note():
    X_T, X_S, _ = some_pair()
    report = ks.measure(teacher=X_T * (np.arange(10) > 1), student=X_S, dims=(2, 4), neighbours=0)
    first, second = report.prefixes
    assert dataclasses.astuple(first) == (2, None, None, None, None) and second.transfer_loss > 0
    assert any("first 2 features are all 0" in note for note in report.pairs[0].notes)
    assert "first 2: –" in str(report)


@pytest.fixture
def files(tmp_path):
    X_T, X_S, _ = some_pair()
    np.save(tmp_path / "t.npy", X_T)
    np.save(tmp_path / "s.npy", X_S)
    return ["measure", "--teacher", str(tmp_path / "t.npy"), "--student", str(tmp_path / "s.npy"), "--neighbours", "0"]


def run(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return stop.value.code, *capsys.readouterr()


def test_dims_are_lines_below_the_table_and_a_key_of_the_json(files, capsys):
    code, text, _ = run([*files, "--dims", "3,10"], capsys)
    assert code == 0 and "features, first 3: loss 0." in text and "features, first 10: loss 0." in text
    _, text, _ = run([*files, "--dims", "3, 10", "--json"], capsys)
    pair = json.loads(text)["pairs"][0]
    assert [each["dims"] for each in pair["prefixes"]] == [3, 10]
    assert set(pair["prefixes"][0]) == {"dims", "transfer_loss", "interval", "scaled", "cka"}
    assert pair["prefixes"][1]["transfer_loss"] == pytest.approx(pair["transfer_loss"])


@pytest.mark.parametrize("dims", ["0", "-3", "4,4", "8,4", "x", "4,,8", "", "2.5", "11"])
def test_dims_that_make_no_sense_end_with_two(files, dims, capsys):
    code, out, err = run([*files, "--dims", dims], capsys)
    assert (code, out) == (2, "") and len(err.splitlines()) == 1 and "dims" in err


def test_ridge_is_refused_for_features_that_are_constant(files, tmp_path, capsys):
    np.save(tmp_path / "s.npy", np.ones((200, 3)))
    code, _, err = run([*files, "--kernel", "ridge:0.1"], capsys)
    assert code == 5 and "student features are the same for all examples" in err


def test_dims_are_refused_where_rows_are_read_once(files, capsys):
    code, _, err = run([*files, "--dims", "3", "--no-features"], capsys)
    assert code == 2 and "prefixes cannot come from one pass" in err


def test_a_line_below_the_table_says_so_where_classes_hide_the_difference():
    report = full_report()
    assert "means of classes" not in str(report)
    hidden = [
        dataclasses.replace(pair, within_class_cka=WithinClass(0.31, 0.02)) if pair.student == "out/ce.pt" else pair
        for pair in report
    ]
    text = str(dataclasses.replace(report, pairs=tuple(hidden)))
    assert "CKA with the means of classes taken off: ce.pt 0.31 instead of 0.82\n" in text


def test_reports_from_before_these_numbers_are_read_with_null_in_their_place():
    document = json.loads(full_report().to_json())
    for pair in document["pairs"]:
        for key in ("within_class_cka", "procrustes", "gulp", "prefixes"):
            del pair[key]
        if pair["outputs"] is not None:
            pair["outputs"] = {"agreement": 0.9, "kl": 0.1}
    old = TransferReport.from_dict(document)
    assert old.pairs[1].gulp is None and old.pairs[1].outputs.flips is None and old.pairs[1].outputs.kl == 0.1


def test_gates_know_the_new_numbers_by_their_keys():
    X_T, X_S, y = some_pair()
    pair = of_logits(X_T, X_S, labels=y).pairs[0]
    for name in ("gulp.value", "gulp.lambda", "procrustes", "within_class_cka.value", "outputs.flips.right_to_wrong"):
        assert Gate.parse(f"{name}=100", at_most=True).judge(pair).failure is None
        assert Gate.parse(f"{name}=-1", at_most=True).judge(pair).failure is not None
    with pytest.raises(UsageError, match=r"no number 'gulp\.lambda_'"):
        Gate.parse("gulp.lambda_=1", at_most=True)
