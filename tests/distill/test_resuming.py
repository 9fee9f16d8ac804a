"""A run that is interrupted anywhere and taken up again ends in the same bits."""

import dataclasses
import os
import signal

import pytest
import torch

from kernelscope.distill import resuming
from kernelscope.distill.batches import EpochBatches
from kernelscope.distill.interruption import SIGNALS
from kernelscope.distill.losses import LOSSES
from kernelscope.distill.recipe import Recipe
from kernelscope.distill.training import train, train_cohort
from kernelscope.errors import Mismatch, Stopped, UnreadableInput, UsageError

SMALL = Recipe(arch="resnet8x0.25", epochs=3, batch_size=32, lr_warm_up=1)
UNDISTURBED = {}  #: what a run that nothing interrupts ends in, by its method
BATCHES = 4  #: an epoch of 129 examples in batches of 32, the last joined by the one left over


def send_signal(monkeypatch, step, number=signal.SIGINT):
    """This process gets a signal while its step-th batch is drawn."""
    drawn, left = EpochBatches.draw, [step]

    def draw(batches, n):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), number)
        return drawn(batches, n)

    monkeypatch.setattr(EpochBatches, "draw", draw)


def outcome(trained):
    """Everything that may not differ; seconds may."""
    history = [{k: v for k, v in record.items() if k != "seconds"} for record in trained.last.training["history"]]
    return (
        {key: value.numpy().tobytes() for key, value in trained.last.state_dict.items()},
        {key: value.numpy().tobytes() for key, value in trained.best.state_dict.items()},
        history,
        trained.last.training["trajectory"],
        trained.last.metrics,
    )


METHODS = ["ce", *LOSSES, "kda@logits+full_kernel", "kda(landmarks=running)+kd(weight=auto)"]
PLACES = [2, BATCHES, BATCHES + 3, 2 * BATCHES + 1]


@pytest.mark.parametrize(
    ("method", "step"),
    [
        # every method at two places; at the other two in the long run
        pytest.param(method, step, marks=[] if (i + j) % 2 else pytest.mark.long)
        for i, method in enumerate(METHODS)
        for j, step in enumerate(PLACES)
    ],
)
def test_a_resumed_run_is_bit_equal(method, step, few_digits, few_digits_teacher, tmp_path, monkeypatch):
    recipe = dataclasses.replace(SMALL, method=method)
    if method not in UNDISTURBED:
        UNDISTURBED[method] = outcome(train(recipe, data=few_digits, teacher=few_digits_teacher))
    with monkeypatch.context() as patch:
        send_signal(patch, step)
        with pytest.raises(Stopped, match="pass --resume"):
            train(recipe, data=few_digits, teacher=few_digits_teacher, state=tmp_path / "s")
    resumed = train(recipe, data=few_digits, teacher=few_digits_teacher, state=tmp_path / "s", resume=True)
    assert outcome(resumed) == UNDISTURBED[method]


def test_a_resumed_cohort_is_bit_equal_after_three_interruptions(few_digits, few_digits_teacher, tmp_path, monkeypatch):
    recipes = [dataclasses.replace(SMALL, method=m, init_seed=s) for m in ("ce", "kda", "kd") for s in (0, 1)]
    whole = train_cohort(recipes, data=few_digits, teacher=few_digits_teacher)
    for resume, number in ((False, signal.SIGTERM), (True, signal.SIGINT), (True, signal.SIGHUP)):
        with monkeypatch.context() as patch:
            send_signal(patch, 2, number)
            with pytest.raises(Stopped) as stopped:
                train_cohort(recipes, data=few_digits, teacher=few_digits_teacher, state=tmp_path / "s", resume=resume)
        assert stopped.value.exit_code == 128 + number
    resumed = train_cohort(recipes, data=few_digits, teacher=few_digits_teacher, state=tmp_path / "s", resume=True)
    assert [outcome(student) for student in resumed] == [outcome(student) for student in whole]


def test_signals_are_as_they_were_afterwards(few_digits):
    before = [signal.getsignal(number) for number in SIGNALS]
    train(dataclasses.replace(SMALL, epochs=1), data=few_digits)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_signal_that_is_ignored_does_not_stop_a_run(few_digits, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        send_signal(monkeypatch, 2, signal.SIGHUP)
        assert train(SMALL, data=few_digits).last.training["epoch"] == SMALL.epochs
    finally:
        signal.signal(signal.SIGHUP, before)


def interrupted(few_digits, few_digits_teacher, path, monkeypatch, recipe=SMALL):
    with monkeypatch.context() as patch:
        send_signal(patch, 2)
        with pytest.raises(Stopped):
            train(recipe, data=few_digits, teacher=few_digits_teacher, state=path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.2}, "begun with lr 0.1, not 0.2"),
        ({"method": "kd"}, "begun with method ce, not kd"),
        ({"epochs": 5}, "begun with epochs 3, not 5"),
        ({"seed": 1}, "begun with seed 0, not 1"),
        ({"arch": "resnet8"}, "begun with arch resnet8x0.25, not resnet8"),
    ],
)
def test_another_recipe_is_refused(changes, message, few_digits, few_digits_teacher, tmp_path, monkeypatch):
    interrupted(few_digits, few_digits_teacher, tmp_path / "s", monkeypatch)
    with pytest.raises(Mismatch, match=message):
        other = dataclasses.replace(SMALL, **changes)
        train(other, data=few_digits, teacher=few_digits_teacher, state=tmp_path / "s", resume=True)


def test_other_examples_and_another_teacher_are_refused(few_digits, few_digits_teacher, tmp_path, monkeypatch):
    interrupted(few_digits, few_digits_teacher, tmp_path / "s", monkeypatch)
    with pytest.raises(Mismatch, match="another teacher"):
        train(SMALL, data=few_digits, state=tmp_path / "s", resume=True)
    fewer = (few_digits[0].head(100), *few_digits[1:])
    with pytest.raises(Mismatch, match="other examples"):
        train(SMALL, data=fewer, teacher=few_digits_teacher, state=tmp_path / "s", resume=True)
    with pytest.raises(Mismatch, match="of 1 students, not 2"):
        train_cohort([SMALL, SMALL], data=few_digits, teacher=few_digits_teacher, state=tmp_path / "s", resume=True)


def test_a_damaged_state_is_told_and_none_is_too(few_digits, few_digits_teacher, tmp_path, monkeypatch):
    path = tmp_path / "s"
    with pytest.raises(UnreadableInput, match="does not exist"):
        train(SMALL, data=few_digits, state=path, resume=True)
    interrupted(few_digits, few_digits_teacher, path, monkeypatch)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"PK" + whole[2:200], b"text"):
        path.write_bytes(damaged)
        with pytest.raises(UnreadableInput, match="delete it and train again"):
            train(SMALL, data=few_digits, teacher=few_digits_teacher, state=path, resume=True)
    torch.save({"format": "other"}, path)
    with pytest.raises(UnreadableInput):
        train(SMALL, data=few_digits, teacher=few_digits_teacher, state=path, resume=True)


def test_a_crash_costs_at_most_what_came_after_the_last_state(few_digits, few_digits_teacher, tmp_path, monkeypatch):
    monkeypatch.setattr(resuming, "SECONDS", 0)
    recipe = dataclasses.replace(SMALL, method="kda+rkd")
    whole = train(recipe, data=few_digits, teacher=few_digits_teacher)

    def crash(student, epoch, *words):
        if epoch == 3:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        train(recipe, data=few_digits, teacher=few_digits_teacher, state=tmp_path / "s", progress=crash)
    epochs = []
    options = {"state": tmp_path / "s", "resume": True, "progress": lambda student, epoch, *words: epochs.append(epoch)}
    assert outcome(train(recipe, data=few_digits, teacher=few_digits_teacher, **options)) == outcome(whole)
    assert epochs == [3]


def test_a_finished_run_can_be_had_again_until_its_state_is_removed(few_digits, tmp_path):
    first = train(SMALL, data=few_digits, state=tmp_path / "s")
    epochs = []
    options = {"state": tmp_path / "s", "resume": True, "progress": lambda *words: epochs.append(words)}
    assert outcome(train(SMALL, data=few_digits, **options)) == outcome(first)
    assert epochs == []


def test_an_interrupted_run_is_neither_lost_nor_taken_up_unasked(tmp_path):
    resuming.require_fresh(tmp_path / "s")
    (tmp_path / "s").write_text("")
    with pytest.raises(UsageError, match="pass resume=True to go on"):
        resuming.require_fresh(tmp_path / "s")
