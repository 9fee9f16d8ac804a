"""Gates pass on the worse end of an interval or not at all."""

import json
import signal

import numpy as np
import pytest

from kernelscope.cli.main import main


@pytest.fixture
def gate(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 8))
    np.save("t.npy", X)
    np.save("s.npy", np.sqrt(1.25) * X)  # loss 1/4 exactly, up to rounding
    handler = signal.getsignal(signal.SIGTERM)

    def call(*words):
        with pytest.raises(SystemExit) as stop:
            main(["gate", "--teacher", "t.npy", "--student", "s.npy", *words])
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    yield call
    signal.signal(signal.SIGTERM, handler)


def test_a_gate_that_holds_passes(gate):
    code, out, err = gate("--max", "transfer_loss=0.26", "--min", "cka=0.99", "--max", "ladder.scaled=1e-6")
    assert (code, err) == (0, "")
    assert "passed: 3 gates on 1 pairs" in out


def test_failed_gates_stand_on_stdout_with_exit_code_6(gate):
    code, out, err = gate("--max", "transfer_loss=0.2", "--max", "ladder.scaled=0.1", "--min", "scale_ratio=2")
    assert code == 6
    assert [line.split()[1] for line in out.splitlines()] == ["transfer_loss", "scale_ratio"]
    assert "2 of 3 gates failed" in err


def test_the_worse_end_of_the_interval_decides(gate):
    code, out, _ = gate("--max", "transfer_loss=0.25", "--route", "gram")
    assert code == 6  # the truth is 1/4 to the last digit, but no interval proves that it is not above
    assert "in [" in out or "0.25" in out


def test_sampling_judges_by_the_sampling_interval(gate):
    np.save("s.npy", np.load("t.npy") + 0.3 * np.random.default_rng(1).standard_normal((400, 8)))
    loss = json.loads(gate("--max", "transfer_loss=9", "--json")[1])["pairs"][0]
    middle = (loss["transfer_loss"] + loss["sampling_interval"][1]) / 2
    assert gate("--max", f"transfer_loss={middle}")[0] == 0
    assert gate("--max", f"transfer_loss={middle}", "--sampling")[0] == 6


def test_an_unknown_field_names_the_nearest(gate):
    code, _, err = gate("--max", "transfer_los=0.3")
    assert code == 2
    assert "transfer_loss" in err


def test_a_field_that_was_not_measured_fails(gate):
    code, _, _ = gate("--max", "paper.theorem2.bound=1", "--landmarks", "uniform:10")
    assert code in (2, 6)  # never a silent pass


def test_synthetic_gate_passes_here_and_names_every_check(capsys):
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop:
        main(["gate", "--synthetic", "--seed", "3"])
    signal.signal(signal.SIGTERM, handler)
    out = capsys.readouterr().out
    assert stop.value.code == 0, out
    assert "FAILED" not in out
    for route in ("gram", "pair", "tsqr", "blocked"):
        assert f"route {route}" in out
    assert "corrected bounds" in out
