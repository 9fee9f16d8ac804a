"""``match``: planted correspondences are found, unrelated layers are not, and the lead is that of dense kernels."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import kernelscope as ks
from kernelscope.errors import Mismatch, UsageError
from kernelscope.kernels.statistics.jackknife import estimated
from kernelscope.report.matching import Paired

N = 150


def layers(rng, n=N, widths=(8, 9, 10, 11)):
    return {f"t{i}": rng.standard_normal((n, d)) for i, d in enumerate(widths)}


def planted(rng, teacher, of, d=6, noise=0.5):
    """Student layers that are maps of the named teacher layers, of another width, and noise."""
    found = {}
    for i, name in enumerate(of):
        X = teacher[name]
        found[f"s{i}"] = X @ rng.standard_normal((X.shape[1], d)) / 3 + noise * rng.standard_normal((len(X), d))
    return found


def pairs(found):
    return [(each.teacher_layer, each.student_layer) for each in found.recommended]


def dense(S, T):
    """Debiased CKA by U-centred kernels."""
    found = []
    for X in (S, T):
        K = X @ X.T
        np.fill_diagonal(K, 0)
        m, k = len(K), K.sum(axis=1)
        U = K - (k[:, None] + k) / (m - 2) + k.sum() / ((m - 1) * (m - 2))
        np.fill_diagonal(U, 0)
        found.append(U)
    U, V = found
    return (U * V).sum() / np.sqrt((U * U).sum() * (V * V).sum())


@pytest.mark.parametrize("seed", range(4))
def test_planted_layers_are_found_whatever_their_widths(seed):
    rng = np.random.default_rng(seed)
    teacher = layers(rng)
    of = ["t0", "t1", "t1", "t3"]
    found = ks.match(teacher=teacher, student=planted(rng, teacher, of))
    assert pairs(found) == [(t, f"s{i}") for i, t in enumerate(of)]
    first = [each.teacher_layer for each in found.candidates if each.rank == 1]
    assert first == of


def test_candidates_above_chance_are_ranked_by_their_agreement():
    rng = np.random.default_rng(3)
    base = rng.standard_normal((N, 5))
    teacher = {f"t{noise}": base + noise * rng.standard_normal((N, 5)) for noise in (0.6, 0.2, 0.4)}
    found = ks.match(teacher=teacher | {"other": rng.standard_normal((N, 5))}, student=base)
    assert [each.teacher_layer for each in found.candidates] == ["t0.2", "t0.4", "t0.6", "other"]
    assert [each.rank for each in found.candidates] == [1, 2, 3, 4]


@pytest.mark.parametrize("by", ["agreement", "head"])
def test_both_criteria_find_what_was_planted(by):
    rng = np.random.default_rng(9)
    teacher = layers(rng, 400)
    found = ks.match(teacher=teacher, student=planted(rng, teacher, ["t0", "t2"], d=12), by=by)
    assert pairs(found) == [("t0", "s0"), ("t2", "s1")]
    assert found.lead is None  # nothing else is above chance


def test_the_width_alone_prefers_the_layer_that_fits_it():
    rng = np.random.default_rng(1)
    wide = rng.standard_normal((N, 20))
    thin = wide[:, :6] + 0.01 * rng.standard_normal((N, 6))
    found = ks.match(teacher={"wide": wide, "thin": thin}, student={"s": wide[:, :6]}, by="width")
    assert pairs(found) == [("thin", "s")]
    for each in found.candidates:
        X = {"wide": wide, "thin": thin}[each.teacher_layer]
        eigenvalues = np.linalg.svd(X, compute_uv=False) ** 2
        assert each.width_floor == pytest.approx(
            np.linalg.norm(eigenvalues[6:]) / np.linalg.norm(eigenvalues), abs=1e-6
        )


def test_unrelated_layers_are_said_to_have_nothing_above_chance():
    alarms = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        found = ks.match(teacher=layers(rng, 60), student={"a": rng.standard_normal((60, 5)), "b": rng.random((60, 3))})
        alarms += bool(found.recommended)
        if not found.recommended:
            assert "no layers agree above chance, corrected for 8 pairs" in found.verdict
            assert found.runner_up == () and found.lead is None
    assert alarms <= 3  # 5 % of 12 is less than one; more than 3 has p = .0003


def test_pairs_never_go_back_in_depth():
    rng = np.random.default_rng(2)
    teacher = layers(rng)
    found = ks.match(teacher=teacher, student=planted(rng, teacher, ["t3", "t0"]))
    assert len(found.recommended) == 1  # the two cross: the stronger one alone stays
    names = list(teacher)
    for pairing in (found.recommended, found.runner_up):
        depths = [names.index(each.teacher_layer) for each in pairing]
        assert depths == sorted(depths)


def test_agreement_and_the_lead_are_those_of_dense_kernels():
    rng = np.random.default_rng(4)
    base = rng.standard_normal((40, 6))
    teacher = {f"t{i}": base + noise * rng.standard_normal((40, 6)) for i, noise in enumerate((0.5, 1.2))}
    student = {"s": base + 0.4 * rng.standard_normal((40, 6))}
    found = ks.match(teacher=teacher, student=student)
    for each in found.candidates:
        assert each.agreement == pytest.approx(dense(student["s"], teacher[each.teacher_layer]), rel=1e-9)
    assert found.runner_up == (Paired("t1", "s"),)

    def lead(rows):
        return dense(student["s"][rows], teacher["t0"][rows]) - dense(student["s"][rows], teacher["t1"][rows])

    everyone = np.arange(40)
    expected = estimated(lead(everyone), np.array([lead(np.delete(everyone, i)) for i in everyone]))
    assert found.lead.value == pytest.approx(expected.value, rel=1e-8)
    assert found.lead.interval == pytest.approx(expected.interval, rel=1e-8)
    assert found.lead.real and "a real difference" in found.verdict


def told_apart(layers, draws):
    """How often the best of so many equally good layers was called really better."""
    real = 0
    for seed in range(1000, 1000 + draws):
        rng = np.random.default_rng(seed)
        base = rng.standard_normal((80, 5))
        teacher = {f"t{i}": base + rng.standard_normal((80, 5)) for i in range(layers)}
        real += ks.match(teacher=teacher, student=base + 0.5 * rng.standard_normal((80, 5))).lead.real
    return real


def test_layers_that_are_as_good_are_seldom_told_apart():
    assert told_apart(3, 20) <= 4  # at 5 %, more than 4 of 20 has p = .003


@pytest.mark.long
@pytest.mark.parametrize("layers", [2, 3, 8])
def test_the_best_of_many_equal_layers_is_seldom_called_better(layers):
    assert told_apart(layers, 200) <= 10  # 3, 1 and 0


def test_rows_of_one_group_count_once_in_the_interval():
    rng = np.random.default_rng(5)
    teacher = layers(rng, 90, (6,))
    teacher["t1"] = teacher["t0"] + 0.5 * rng.standard_normal((90, 6))
    found = ks.match(teacher=teacher, student={"s": teacher["t0"][:, :4]}, groups=np.repeat(np.arange(30), 3))
    assert found.lead.examples == 30
    assert "the difference is over 30 drawn examples" in found.notes


def test_one_layer_on_either_side_has_no_runner_up():
    X = np.random.default_rng(6).standard_normal((50, 5))
    found = ks.match(teacher={"a": X}, student={"b": X[:, :3]})
    assert pairs(found) == [("a", "b")]
    assert "no other pairing is above chance" in found.verdict


def test_layers_of_other_numbers_of_rows_are_refused_in_one_line():
    rng = np.random.default_rng(7)
    with pytest.raises(Mismatch, match=r"20.*30|30.*20") as refusal:
        ks.match(teacher={"a": rng.random((30, 4))}, student={"b": rng.random((20, 4))})
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) <= 200


def test_a_constant_layer_is_a_candidate_that_is_never_recommended():
    rng = np.random.default_rng(8)
    teacher = layers(rng, 60, (5,)) | {"constant": np.ones((60, 3))}
    found = ks.match(teacher=teacher, student={"s": teacher["t0"][:, :4], "still": np.ones((60, 2))})
    assert pairs(found) == [("t0", "s")]
    assert {each.rank for each in found.candidates} == {1, 2}


def test_the_map_frames_what_is_recommended_and_leaves_chance_grey():
    rng = np.random.default_rng(0)
    teacher = layers(rng)
    found = ks.match(teacher=teacher, student=planted(rng, teacher, ["t1", "t3"]))
    axes = found.plot()
    assert [patch.get_xy() for patch in axes.patches] == [(0.5, -0.5), (2.5, 0.5)]
    shown = axes.images[0].get_array()
    assert np.argwhere(~np.ma.getmaskarray(shown)).tolist() == [[0, 1], [1, 3]]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(teacher)


class Looped(nn.Module):
    """One block that runs twice with another in between, and one that does not run."""

    def __init__(self):
        super().__init__()
        twice, once, idle = (nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(3))
        self.blocks, self.idle, self.fc = nn.ModuleList([twice, once, twice]), nn.ModuleList([idle]), nn.Linear(6, 3)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.fc(x)


def test_a_block_that_runs_twice_stands_where_it_ran_last():
    torch.manual_seed(0)
    net = Looped().eval()
    found = ks.match(teacher=net, student=net, data=(torch.randn(80, 6), torch.zeros(80, dtype=torch.long)))
    assert found.teacher_layers == found.student_layers == ("blocks.1", "blocks.0")
    assert pairs(found) == [("blocks.1", "blocks.1"), ("blocks.0", "blocks.0")]


def test_a_network_is_compared_with_a_file_of_features():
    torch.manual_seed(0)
    x = torch.randn(80, 6)
    found = ks.match(
        teacher=network(16, 2, 0), student={"raw": x[:, :4].numpy()}, data=(x, torch.zeros(80, dtype=torch.long))
    )
    assert found.teacher_layers == ("0", "1", "2") and pairs(found) == [("0", "raw")]


def test_an_unknown_criterion_is_refused():
    X = np.random.default_rng(0).random((20, 3))
    with pytest.raises(UsageError, match="choose one of agreement, head, width"):
        ks.match(teacher=X, student=X, by="magic")


def network(width, depth, seed):
    torch.manual_seed(seed)
    blocks = [nn.Sequential(nn.Linear(width if i else 6, width), nn.ReLU()) for i in range(depth)]
    return nn.Sequential(*blocks, nn.Sequential(nn.Linear(width, 3))).eval()


def test_blocks_of_networks_are_compared_in_the_order_in_which_they_run():
    data = (torch.randn(120, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(120, dtype=torch.long))
    teacher = network(16, 4, 0)
    found = ks.match(teacher=teacher, student=network(8, 2, 1), data=data)
    assert {each.teacher_layer for each in found.candidates} == {"0", "1", "2", "3", "4"}
    assert list(dict.fromkeys(each.student_layer for each in found.candidates)) == ["0", "1", "2"]
    assert found.state.startswith("as given; nothing states whether it was trained, top-1 0.")
    itself = ks.match(teacher=teacher, student=teacher, data=data)
    assert pairs(itself) == [(str(i), str(i)) for i in range(5)]
    assert all(
        each.agreement == pytest.approx(1) for each in itself.candidates if each.teacher_layer == each.student_layer
    )


def test_the_command_says_how_the_student_was_trained_and_writes_json(little, run, tmp_path):
    code, out, err = run(
        "match",
        "--teacher",
        little / "teacher.pt",
        "--student",
        little / "student.pt",
        "--save",
        "m.json",
        "--quiet",
        "--figure",
        "m.png",
    )
    assert code == 0, err
    assert "trained for 2 epochs by its file" in " ".join(out.split())
    assert "this did not predict at which layers training gives the better student" in " ".join(out.split())
    assert (tmp_path / "m.png").read_bytes()[:4] == b"\x89PNG"
    saved = json.loads((tmp_path / "m.json").read_text())
    assert saved["format"] == "kernelscope.match"
    assert [each["student_layer"] for each in saved["recommended"]] == ["layer1.0", "layer2.0", "layer3.0"]
    assert set(saved["recommended"][0]) == {"teacher_layer", "student_layer"}


def test_the_command_takes_feature_files_and_globs(run, tmp_path):
    rng = np.random.default_rng(3)
    teacher = layers(rng, 60)
    np.savez(tmp_path / "t.npz", **teacher)
    np.savez(tmp_path / "s.npz", **planted(rng, teacher, ["t1", "t2"]))
    words = ("match", "--teacher", "t.npz", "--student", "s.npz", "--json")
    code, out, err = run(*words)
    assert code == 0, err
    assert json.loads(out)["recommended"] == [
        {"teacher_layer": "t1", "student_layer": "s0"},
        {"teacher_layer": "t2", "student_layer": "s1"},
    ]
    code, out, _ = run(*words, "--teacher-layers", "t2,t3")
    assert {each["teacher_layer"] for each in json.loads(out)["candidates"]} == {"t2", "t3"}
    code, _, err = run(*words, "--teacher-layers", "x9")
    assert code == 2 and err.count("\n") == 1
