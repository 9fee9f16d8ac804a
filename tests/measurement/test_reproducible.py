"""Reproducible measurements: one report for any order of rows, shards, processes and threads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import kernelscope as ks
from kernelscope import isolated
from kernelscope.errors import Mismatch, UsageError
from kernelscope.networks import zoo
from tests import forked

N = 700
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 4, N)
T = (RNG.standard_normal((N, 6)) + 2 * RNG.standard_normal((4, 6))[Y]).astype(np.float32)
S = (T[:, :4] @ RNG.standard_normal((4, 5)) + 0.3 * RNG.standard_normal((N, 5))).astype(np.float32)
IDS = RNG.integers(0, 256, (N, 16)).astype(np.uint8)


@pytest.fixture(autouse=True)
def files_looked_into_at_once(monkeypatch):
    monkeypatch.setattr(isolated, "ask", forked.ask)


def numbers(report):
    """Everything that was measured, without names of files, the order of examples and their count of shards."""
    found = report.to_dict()["pairs"]
    return [
        {k: v for k, v in pair.items() if k not in ("teacher", "student", "order_sha256", "notes")} for pair in found
    ]


def files(folder, name, rows):
    for side, X in (("t", T), ("s", S)):
        np.savez(folder / f"{side}{name}.npz", features=X[rows], labels=Y[rows], ids=IDS[rows])
    return {"teacher": folder / f"t{name}.npz", "student": folder / f"s{name}.npz"}


def test_any_order_of_rows_has_one_report_in_every_number(tmp_path):
    reports = []
    for seed in range(3):
        rows = np.random.default_rng(seed).permutation(N)
        reports.append(ks.measure(**files(tmp_path, seed, rows), reproducible=True))
    assert numbers(reports[0]) == numbers(reports[1]) == numbers(reports[2])
    (pair,) = reports[0]
    assert pair.rounding_certified and pair.anova is not None and pair.cka_debiased is not None
    assert pair.ladder.head_held_out is not None and pair.within_class_cka is not None
    assert any("the same bits in any order" in note for note in pair.notes)


def test_a_reproducible_report_holds_the_loss_of_the_rows_as_they_are():
    rows = ks.measure(teacher=T, student=S, labels=Y)
    found = ks.measure(teacher=T, student=S, labels=Y, reproducible=True)
    low, high = found.rounding_interval
    assert low <= rows.rounding_interval[1] and rows.rounding_interval[0] <= high
    assert high - low < 1e-5 * found.transfer_loss
    for field in ("cka", "alignment", "norm_teacher", "optimal_scale", "cka_debiased"):
        assert getattr(found, field) == pytest.approx(getattr(rows, field), rel=1e-6)
    for name in ("scaled", "centred", "head"):
        assert getattr(found.ladder, name) == pytest.approx(getattr(rows.ladder, name), rel=1e-5)
    assert found.nystrom.partial_norm == pytest.approx(rows.nystrom.partial_norm, rel=1e-6)
    assert found.ladder.head_held_out is None  # no ids, so halves that no order changes are not known


def test_shards_on_one_grid_have_the_report_of_all_rows_in_any_order(tmp_path):
    whole = ks.measure(**files(tmp_path, "all", np.arange(N)), reproducible=True)
    shards = np.split(np.random.default_rng(1).permutation(N), [300])
    for number, rows in enumerate(shards):
        given = files(tmp_path, number, rows)
        ks.measure(**given, reproducible=True, sums_out=tmp_path / f"own{number}.kss")
    for number in range(2):
        given = {side: tmp_path / f"{side[0]}{number}.npz" for side in ("teacher", "student")}
        ks.measure(**given, reproducible=True, grid=tmp_path / "own*.kss", sums_out=tmp_path / f"p{number}.kss")
    assert numbers(ks.measure(sums=[tmp_path / "p0.kss", tmp_path / "p1.kss"], expect=N)) == numbers(whole)
    again = ks.measure(
        sums=tmp_path / "p1.kss", reproducible=True,
        teacher=tmp_path / "t0.npz", student=tmp_path / "s0.npz", sums_out=tmp_path / "sum.kss",
    )  # fmt: skip
    assert numbers(again) == numbers(whole) == numbers(ks.measure(sums=tmp_path / "sum.kss"))
    with pytest.raises(Mismatch, match="was rounded on two grids"):
        ks.measure(sums=tmp_path / "own*.kss")


def test_sums_on_a_grid_and_on_none_do_not_mix(tmp_path):
    ks.measure(teacher=T[:300], student=S[:300], sums_out=tmp_path / "plain.kss")
    rest = {"teacher": T[300:], "student": S[300:]}
    with pytest.raises(Mismatch, match=r"plain\.kss was summed without reproducible=True and has no grid"):
        ks.measure(**rest, sums=tmp_path / "plain.kss", reproducible=True)
    with pytest.raises(Mismatch, match="has no grid"):
        ks.measure(**rest, grid=tmp_path / "plain.kss", reproducible=True)
    ks.measure(**rest, reproducible=True, sums_out=tmp_path / "grid.kss")
    with pytest.raises(Mismatch, match="one part was summed on a grid and one was not"):
        ks.measure(sums=tmp_path / "*.kss")
    with pytest.raises(Mismatch, match=r"grid\.kss has the grid of other layers"):
        ks.measure(teacher=T, student=S[:, :3], reproducible=True, grid=tmp_path / "grid.kss")
    with pytest.raises(Mismatch, match=r"has entries beyond the grid of the sums; .*, by grid="):
        ks.measure(teacher=8 * T, student=S, reproducible=True, grid=tmp_path / "grid.kss")
    with pytest.raises(UsageError, match="grid= is about sums that are reproducible; pass reproducible=True too"):
        ks.measure(teacher=T, student=S, grid=tmp_path / "grid.kss")
    with pytest.raises(UsageError, match="neighbours cannot be had from sums"):
        ks.measure(teacher=T, student=S, reproducible=True, neighbours=3)


def test_several_students_are_measured_reproducibly():
    report = ks.measure(teacher=T, student=[S, T[:, :3]], names=["one", "two"], reproducible=True)
    assert [pair.student for pair in report] == ["one", "two"] and len(report.networks) == 3
    assert numbers(report)[0] == numbers(ks.measure(teacher=T, student=S, reproducible=True))[0]


def test_networks_run_twice_and_have_the_report_of_their_features(tmp_path):
    torch.manual_seed(0)
    given = {
        "teacher": zoo.build("mlp", in_features=64, hidden=8),
        "student": zoo.build("mlp", in_features=64, hidden=6),
    }
    given |= {"data": "digits", "limit": 300, "reproducible": True}
    streamed, kept = ks.measure(**given, features=False), ks.measure(**given, cache=False)
    assert numbers(streamed) == numbers(kept)


WORKER = """
import json, sys
import numpy as np
import kernelscope as ks
from kernelscope.kernels.one_thread import one_thread
rng = np.random.default_rng(0)
T = np.maximum(rng.standard_normal((1500, 130)), 0)
S = T[:, :110] + 0.1 * rng.standard_normal((1500, 110))
def work():
    return ks.measure(teacher=T, student=S, labels=np.arange(1500) % 7, reproducible=True).to_dict()["pairs"]
found = [work()]
with one_thread():
    found.append(work())
print(json.dumps(found))
"""


def printed(code, *words, threads):
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    command, root = [sys.executable, "-c", code, *words], Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_one_and_two_threads_give_the_same_bits():
    of_two, of_one = printed(WORKER, threads="2")
    assert of_two == of_one


JOBS = """
import json, sys
from pathlib import Path
import numpy as np
import kernelscope as ks
from tests.jobs import results
rng = np.random.default_rng(0)
folder, counts = Path(sys.argv[1]), [int(word) for word in sys.argv[2:]]
T = np.maximum(rng.standard_normal((max(counts) * 4096 + 11, 9)), 0)
S = T[:, :5] + 0.1 * rng.standard_normal((len(T), 5))
y = rng.integers(0, 7, len(T))
def work():
    order = np.random.default_rng(len(list(folder.iterdir()))).permutation(len(T))  # another in each job
    return ks.measure(teacher=T[order], student=S[order], labels=y[order], reproducible=True).to_dict()["pairs"]
print(json.dumps([work()] + [found for n in counts for found in results(folder / str(n), n, work)]))
"""


@pytest.mark.long  # of two and three processes see tests/test_exchange.py
def test_one_two_and_seven_processes_give_the_same_bits(tmp_path):
    found = printed(JOBS, str(tmp_path), "2", "7", threads="1")
    assert len(found) == 10 and all(each == found[0] for each in found)


def test_without_a_grid_orders_differ_by_less_than_the_interval():
    rng = np.random.default_rng(2)
    found = []
    for _ in range(4):
        rows = rng.permutation(N)
        found += [ks.measure(teacher=T[rows].astype(of), student=S[rows], neighbours=0) for of in ("f4", "f8")]
    ends = [report.rounding_interval for report in found]
    assert max(low for low, _ in ends) <= min(high for _, high in ends)
    assert all(low <= report.transfer_loss <= high for report in found for low, high in ends)


def test_the_command_line_measures_reproducibly(run, tmp_path):
    files(tmp_path, "", np.arange(N))
    code, out, _ = run("measure", "--teacher", "t.npz", "--student", "s.npz", "--reproducible", "--json")
    assert code == 0 and "the same bits in any order" in out
    given = ("--teacher", "t.npz", "--student", "s.npz", "--reproducible")
    code, out, _ = run("gate", *given, "--max", "transfer_loss=9", "--min", "cka=0.01")
    assert code == 0 and out.startswith("passed: 2 gates on 1 pairs")
    assert run("measure", *given, "--sums-out", "a.kss")[0] == 0
    code, _, err = run("measure", *given, "--grid", "a.kss", "--sums-out", "b.kss")
    assert (code, err) == (0, "")
    code, _, err = run("measure", "--teacher", "t.npz", "--student", "s.npz", "--grid", "a.kss")
    assert code == 2 and "--grid is about sums that are reproducible; pass --reproducible too" in err
