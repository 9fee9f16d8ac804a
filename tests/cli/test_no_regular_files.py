"""What is no regular file is refused before it is opened, by every option that names one."""

import os
import signal
import socket
from pathlib import Path

import numpy as np
import pytest

FEATURES = ("measure", "--teacher", "x.npy", "--student", "x.npy")
#: by name, a command line in which FILE stands for what is no file
OPTIONS = {
    "teacher": ("measure", "--teacher", "FILE", "--student", "x.npy"),
    "student": ("measure", "--teacher", "x.npy", "--student", "FILE"),
    "reference": (*FEATURES, "--reference", "FILE"),
    "named reference": (*FEATURES, "--reference", "other=FILE"),
    "labels": (*FEATURES, "--labels", "FILE"),
    "groups": (*FEATURES, "--groups", "FILE"),
    "landmarks": (*FEATURES, "--landmarks", "FILE.npy"),
    "sums": ("measure", "--sums", "FILE"),
    "expect": (*FEATURES, "--sums-out", "o.kss", "--expect", "FILE"),
    "gate": ("gate", *FEATURES[1:], "--max", "transfer_loss=1", "--no-worse-than", "FILE"),
    "pinned": ("gate", "--pinned", "FILE", "--student", "x.npy"),
    "pin": ("pin", "FILE", "--out", "o.ksref", "--max", "change=1"),
    "audit": ("audit", "--teacher", "FILE", "--student", "x.npy"),
    "report": ("report", "FILE"),
    "inspect": ("inspect", "FILE"),
    "extract": ("extract", "FILE", "--out", "o.h5"),
    "train": ("train", "--data", "digits", "--arch", "resnet8", "--teacher", "FILE", "--method", "kd", "--out", "o.pt"),
    "data .npy": ("train", "--data", "FILE.npy", "--arch", "resnet8", "--out", "o.pt"),
    "data .npz": ("train", "--data", "FILE.npz", "--arch", "resnet8", "--out", "o.pt"),
    "data .h5": ("train", "--data", "FILE.h5", "--arch", "resnet8", "--out", "o.pt"),
    "data folder": ("train", "--data", "folder:FILE", "--arch", "resnet8", "--out", "o.pt"),
    "data cifar": ("train", "--data", "cifar10:FILE", "--arch", "resnet8", "--out", "o.pt"),
    "data tiny-imagenet": ("train", "--data", "tiny-imagenet:FILE", "--arch", "resnet8", "--out", "o.pt"),
}  # fmt: skip
SECONDS = 20


def fifo(path):
    os.mkfifo(path)


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


def folder(path):
    path.mkdir()


def dangling(path):
    path.symlink_to("nowhere")


def zeros(path):
    path.symlink_to("/dev/zero")


def terminal(path):
    path.symlink_to("/dev/tty")


def empty(path):
    path.write_bytes(b"")


KINDS = [fifo, unix_socket, folder, dangling, zeros, terminal, empty]


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("option", OPTIONS)
def test_what_is_no_regular_file_is_one_line_and_never_waited_for(option, make, run, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((40, 3)))
    words = OPTIONS[option]
    name = next(word for word in words if "FILE" in word).replace("other=", "").rpartition(":")[2].replace("FILE", "f")
    make(tmp_path / name)
    before = set(tmp_path.iterdir())
    signal.signal(signal.SIGALRM, lambda number, frame: pytest.fail("it waits"))
    signal.alarm(SECONDS)
    try:
        code, out, err = run(*(word.replace("FILE", "f") for word in words))
    finally:
        signal.alarm(0)
    assert (code, out) == (3, ""), err
    assert len(err.strip().splitlines()) == 1 and err.startswith("kernelscope: error: ") and len(err) <= 201
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
def test_a_pipe_among_the_files_of_cifar_is_not_waited_for(name, run, tmp_path):
    place = tmp_path / "cifar-10-batches-py"
    place.mkdir()
    os.mkfifo(place / name)
    signal.signal(signal.SIGALRM, lambda number, frame: pytest.fail("it waits"))
    signal.alarm(SECONDS)
    code, _, err = run("train", "--data", f"cifar10:{tmp_path}", "--arch", "resnet8", "--out", "o.pt")
    signal.alarm(0)
    assert code == 3 and len(err.strip().splitlines()) == 1 and not Path("o.pt").exists()


def test_a_pipe_in_a_folder_of_a_library_is_not_waited_for(run, tmp_path):
    (tmp_path / "hub").mkdir()
    os.mkfifo(tmp_path / "hub" / "config.json")
    signal.signal(signal.SIGALRM, lambda number, frame: pytest.fail("it waits"))
    signal.alarm(SECONDS)
    code, _, err = run("inspect", tmp_path / "hub", "--arch", f"hf:{tmp_path / 'hub'}")
    signal.alarm(0)
    assert code == 3 and len(err.strip().splitlines()) == 1
