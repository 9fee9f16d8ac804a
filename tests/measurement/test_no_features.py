"""Straight from the networks: the same numbers as by way of a file, and no file."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

import kernelscope as ks
from kernelscope.cli.main import main
from kernelscope.datasets.sources import load
from kernelscope.errors import Mismatch, UsageError
from kernelscope.networks import zoo

LAYERS = "layer*,embedding,logits"


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return zoo.build("resnet8", in_channels=1), zoo.build("resnet8x0.5", in_channels=1)


@pytest.fixture(scope="module")
def data():
    return load("digits", "test")


@pytest.mark.parametrize("pairs", [None, "all", "layer3=layer2,embedding=layer3"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_number_that_one_pass_gives_is_the_number_by_way_of_a_file(networks, data, pairs, dtype, tmp_path):
    given = {"teacher": networks[0], "student": networks[1], "data": data, "pairs": pairs, "dtype": dtype}
    given |= {"layers": None if pairs and "=" in pairs else LAYERS, "batch_size": 100}
    filed, streamed = ks.measure(**given, cache=False), ks.measure(**given, features=False)
    assert len(filed) == len(streamed) == {None: 5, "all": 25}.get(pairs, 2)
    for a, b in zip(filed, streamed):
        assert (a.teacher_layer, a.student_layer) == (b.teacher_layer, b.student_layer)
        assert abs(a.transfer_loss - b.transfer_loss) <= 1e-12
        for field in ("scaled", "centred", "head", "head_held_out", "width_floor"):
            assert getattr(a.ladder, field) == pytest.approx(getattr(b.ladder, field), abs=1e-12)
        for field in ("cka", "alignment", "norm_teacher", "norm_student", "optimal_scale", "storage_floor"):
            assert getattr(a, field) == pytest.approx(getattr(b, field), rel=1e-12)
        assert b.order_sha256 == a.order_sha256 and b.n == a.n and b.resolved
        assert b.sampling_interval is None and b.neighbours is None and b.null.p_value is None
        assert any("one pass" in note for note in b.notes)
    assert [n.top1 for n in filed.networks] == [n.top1 for n in streamed.networks]


def test_pairs_alone_say_which_layers_to_listen_to(networks, data):
    report = ks.measure(
        teacher=networks[0], student=networks[1], data=data, pairs="layer3=layer2.0.conv1", cache=False, neighbours=0
    )
    assert report.d_teacher == 64 and report.d_student == 16


class Watched:
    """Examples that count how often each is read."""

    def __init__(self, examples):
        self.examples, self.read = examples, np.zeros(examples.n, int)

    def __getattr__(self, name):
        return getattr(self.examples, name)

    def batch(self, start, stop, preprocess=None):
        self.read[start:stop] += 1
        return self.examples.batch(start, stop, preprocess)


def test_every_example_runs_once_through_each_network_and_nothing_is_written(networks, monkeypatch, tmp_path):
    from kernelscope.measurement import inputs

    watched = Watched(load("digits", "train"))
    monkeypatch.setattr(inputs, "examples_for", lambda *_, **__: watched)
    monkeypatch.setenv("KERNELSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    ks.measure(teacher=networks[0], student=networks[1], data="digits", layers=LAYERS, pairs="all", features=False)
    assert (watched.read == 2).all()
    assert [str(path) for path in tmp_path.rglob("*") if path.is_file()] == []


class Stream:
    """An iterable of images that can only be read forwards; counts how often it is begun and how far it is read."""

    begun = given = 0

    def __init__(self, n):
        self.n = n

    def __iter__(self):
        Stream.begun += 1
        rng = np.random.default_rng(0)
        for number in range(self.n):
            Stream.given += 1
            yield torch.from_numpy(rng.standard_normal((1, 8, 8)).astype(np.float32)), number % 3

    def __len__(self):
        return self.n


def test_an_iterable_is_read_forwards_once_for_both_networks(networks):
    Stream.begun = Stream.given = 0
    n = 5000  # more than a block
    report = ks.measure(teacher=networks[0], student=networks[1], data=Stream(n), features=False, batch_size=64)
    assert len(report) == 2 and report.pairs[0].n == n
    assert Stream.given <= 3 * n  # once for identities, once for the first batch and its memory, once for the sums


@pytest.mark.parametrize(
    "asked",
    [
        {"kernel": "cosine"},
        {"centre": True},
        {"route": "pair"},
        {"landmarks": "kmeans:5"},
        {"neighbours": 3},
        {"untrained": True},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_what_needs_another_pass_is_refused_not_left_out_in_silence(networks, data, asked):
    with pytest.raises(UsageError, match="cannot come from one pass; leave out features=False"):
        ks.measure(teacher=networks[0], student=networks[1], data=data, features=False, **asked)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    from kernelscope.checkpoints.checkpoint import save_checkpoint
    from kernelscope.distill.recipe import Recipe

    path = tmp_path_factory.mktemp("networks") / "t.pt"
    trained = ks.train(Recipe(arch="mlp", epochs=1)).last
    save_checkpoint(path, trained)
    save_checkpoint(path.with_name("liar.pt"), dataclasses.replace(trained, metrics={**trained.metrics, "top1": 0.02}))
    return path


def test_the_command_line_streams(checkpoint, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["measure", "--teacher", str(checkpoint), "--student", str(checkpoint), "--no-features"])
    assert ended.value.code == 0
    assert "the student has the teacher's kernel exactly" in capsys.readouterr().out


def test_a_network_that_does_not_score_what_it_states_is_refused_here_too(checkpoint):
    with pytest.raises(Mismatch, match="states 2"):
        ks.measure(teacher=checkpoint, student=checkpoint.with_name("liar.pt"), features=False)


def small(**given):
    torch.manual_seed(0)
    wide, narrow = zoo.build("mlp", in_features=64, hidden=8), zoo.build("mlp", in_features=64, hidden=6)
    return ks.measure(teacher=wide, student=narrow, data="digits", limit=400, neighbours=0, **given)


def test_class_means_come_from_the_one_pass_through_the_networks():
    for a, b in zip(small(cache=False), small(features=False), strict=True):
        assert b.landmarks.strategy == "class-means" and b.paper.theorem2 is None
        assert b.nystrom.partial_norm == pytest.approx(a.nystrom.partial_norm, rel=1e-9)
        assert b.anova.mean_within == pytest.approx(a.anova.mean_within, rel=1e-9)
        assert b.within_class_cka.value == pytest.approx(a.within_class_cka.value, rel=1e-9)
        assert b.cka_debiased == pytest.approx(a.cka_debiased, rel=1e-9)
        assert b.gulp.value == pytest.approx(a.gulp.value, rel=1e-6)
        assert any("straight from the networks in one pass" in note for note in b.notes)


def test_labels_given_beside_networks_make_the_class_means_of_one_pass(tmp_path):
    np.save(tmp_path / "y.npy", np.arange(400) % 3)
    a, b = (small(labels=tmp_path / "y.npy", **how) for how in ({"cache": False}, {"features": False}))
    assert a.pairs[0].landmarks.m == b.pairs[0].landmarks.m == 3
    assert b.pairs[0].nystrom.partial_norm == pytest.approx(a.pairs[0].nystrom.partial_norm, rel=1e-9)


@pytest.mark.parametrize("landmarks", ["uniform:12", "FILE"])
def test_rows_known_before_are_caught_as_landmarks_as_they_pass(landmarks, tmp_path):
    np.save(tmp_path / "rows.npy", np.array([3, 399, 77, 3]))
    asked = {"landmarks": str(tmp_path / "rows.npy") if landmarks == "FILE" else landmarks}
    for a, b in zip(small(cache=False, **asked), small(features=False, **asked), strict=True):
        assert a.landmarks == b.landmarks
        for field in ("partial_norm", "partial_ratio", "residual_teacher", "tail_student"):
            assert getattr(a.nystrom, field) == pytest.approx(getattr(b.nystrom, field), rel=1e-7), field
        assert b.landmark_spectrum.teacher.eigenvalues == pytest.approx(a.landmark_spectrum.teacher.eigenvalues)
        for name in ("corollary1", "corollary2", "corollary1_paper", "nystrom_exact"):
            assert b.paper.bounds[name].value == pytest.approx(a.paper.bounds[name].value, rel=1e-7)
        assert b.anova is None and b.within_class_cka is not None


def test_networks_that_are_nearly_equal_are_summed_sharply_enough():
    torch.manual_seed(0)
    wide = zoo.build("mlp", in_features=64, hidden=8)
    near = copy.deepcopy(wide)
    with torch.no_grad():
        for weights in near.parameters():
            weights += 1e-5 * torch.randn_like(weights)
    report = ks.measure(teacher=wide, student=near, data="digits", limit=600, features=False)
    assert all(pair.resolved and 0 < pair.transfer_loss < 1e-3 for pair in report)


def test_rows_that_come_nearer_than_the_first_run_once_more(monkeypatch):
    from kernelscope.measurement import streamed

    summed = []
    whole = streamed.sums_of
    monkeypatch.setattr(streamed, "sums_of", lambda *given, **how: summed.append(how["once"]) or whole(*given, **how))
    X = np.random.default_rng(0).standard_normal((9000, 64)).astype(np.float32)
    X[600:] *= 1000  # beside these the first rows are nothing

    class Late(torch.nn.Module):
        def __init__(self, off):
            super().__init__()
            self.fc = torch.nn.Linear(64, 5, bias=False)
            self.off = off

        def forward(self, x):
            x = x.flatten(1)
            return self.fc(x + self.off * (x.abs().amax(1, keepdim=True) < 10) * x.flip(1))

    torch.manual_seed(0)
    one, two = Late(0.0), Late(0.5)
    two.load_state_dict(one.state_dict())
    report = ks.measure(teacher=one, student=two, data=(X, np.zeros(9000, int)), layers="logits", features=False)
    assert summed == [False, True] and report.resolved and report.transfer_loss < 1e-3
