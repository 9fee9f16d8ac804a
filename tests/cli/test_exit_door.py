"""How the command line ends as a process: its streams, its encoding, its surroundings, signals."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from kernelscope.cli.streams import PLAIN

ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
MEASURE = ("measure", "--teacher", "t.npy", "--student", "s.npy")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two arrays, one of them under two other names as well, one of which is no text."""
    place = tmp_path_factory.mktemp("door")
    rng = np.random.default_rng(0)
    np.save(place / "t.npy", X := rng.standard_normal((50, 4)))
    np.save(place / "s.npy", X + rng.standard_normal((50, 4)))
    for name in ("hüm.npy", "h\udcffm.npy"):
        (place / name).write_bytes((place / "s.npy").read_bytes())
    return place


@pytest.fixture
def kernelscope(folder):
    """Run the command line as a process; gives what :mod:`subprocess` gives, its output as bytes."""

    def call(*words, env=None, **options):
        command = [sys.executable, "-m", "kernelscope", *words]
        settings = {"KERNELSCOPE_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 120, **options}
        return subprocess.run(command, cwd=folder, env={**os.environ, **settings, **(env or {})}, **options)

    return call


def one_line(err):
    text = err.decode()
    assert text.startswith("kernelscope: error: ") and text.count("\n") == 1 and len(text) <= 201, text
    return text


# ---- encodings and names ----


@pytest.mark.parametrize("setting", [ASCII, {"PYTHONIOENCODING": "cp1252"}], ids=["ascii", "cp1252"])
def test_a_stream_with_few_letters_gets_the_table_in_those_it_has(kernelscope, setting):
    done = kernelscope(*MEASURE, "--explain", env=setting)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode("ascii" if setting is ASCII else "cp1252")
    assert "||K_S - K_T|| / ||K_T||" in text


def test_a_json_document_is_the_same_on_every_stream(kernelscope):
    words = ("measure", "--teacher", "t.npy", "--student", "hüm.npy", "--json")
    plain, ascii_only = kernelscope(*words), kernelscope(*words, env=ASCII)
    assert ascii_only.stdout.isascii() and not plain.stdout.isascii()
    found = [json.loads(done.stdout)["pairs"] for done in (plain, ascii_only)]
    assert found[0] == found[1]


def test_a_name_that_is_no_text_is_measured_saved_and_shown_again(kernelscope, folder):
    words = ("measure", "--teacher", "t.npy", "--student", b"h\xffm.npy", "--overwrite")
    for setting in ({}, ASCII):
        done = kernelscope(*words, "--save", "r.json", "--csv", "r.csv", env=setting)
        assert (done.returncode, done.stderr) == (0, b"")
        assert json.loads((folder / "r.json").read_bytes())["pairs"][0]["student"] == r"h\xffm.npy"
        assert kernelscope("report", "r.json", "--json", env=setting).returncode == 0


def test_a_name_that_is_no_text_is_named_in_an_error(kernelscope):
    done = kernelscope("inspect", b"n\xffne.pt")
    assert done.returncode == 3
    assert r"n\xffne.pt does not exist" in one_line(done.stderr)


def test_every_sign_that_is_replaced_has_ascii_in_its_place():
    assert all(not sign.isascii() and text.isascii() for sign, text in PLAIN.items())


# ---- streams ----


def test_a_reader_that_has_had_enough_is_no_error(kernelscope):
    read, write = os.pipe()
    os.close(read)
    done = kernelscope("inspect", "t.npy", stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_failed_gate_is_told_though_nobody_reads_its_stdout(kernelscope):
    read, write = os.pipe()
    os.close(read)
    done = kernelscope("gate", *MEASURE[1:], "--max", "transfer_loss=1e-9", stdout=write)
    os.close(write)
    assert done.returncode == 6


@pytest.mark.parametrize("words", [MEASURE, (*MEASURE, "--json"), ("inspect", "t.npy"), ("measure", "--help")])
def test_a_stdout_that_takes_nothing_is_exit_code_7(kernelscope, words):
    with Path("/dev/full").open("w") as full:
        done = kernelscope(*words, stdout=full)
    assert done.returncode == 7
    assert "<stdout>" in one_line(done.stderr)


def test_closed_streams_get_into_no_file(kernelscope, folder):
    """The first file that a process opens would take the number of a stream that was closed."""
    shell = f"exec {sys.executable} -m kernelscope {' '.join(MEASURE)} --csv closed.csv --overwrite >&- 2>&-"
    done = subprocess.run(["sh", "-c", shell], cwd=folder, timeout=120)
    assert done.returncode == 0
    assert len((folder / "closed.csv").read_text().splitlines()) == 2


# ---- surroundings ----


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become nobody")
def test_a_user_without_name_and_home_can_measure_and_make_a_page(folder):
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    with tempfile.TemporaryDirectory() as place:
        for name in ("t.npy", "s.npy"):
            shutil.copy(folder / name, place)
        os.chown(place, 54321, 54321)
        command = [sys.executable, "-m", "kernelscope", *MEASURE, "--html", "page.html"]
        try:
            done = subprocess.run(
                command, cwd=place, env=kept, user=54321, group=54321, extra_groups=[], capture_output=True, timeout=120
            )
        except PermissionError:
            pytest.skip("nobody may run this Python")
    if b"No module named" in done.stderr:
        pytest.skip("nobody may read this checkout")
    assert (done.returncode, done.stderr) == (0, b"")


def test_no_more_open_files_than_a_few_are_needed(kernelscope):
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (6, 6))

    done = kernelscope(*MEASURE, preexec_fn=few)
    assert done.returncode in (0, 7), done.stderr
    assert done.returncode == 0 or "Too many open files" in one_line(done.stderr)


def test_a_machine_without_memory_for_libraries_is_exit_code_7(kernelscope):
    def little():
        resource.setrlimit(resource.RLIMIT_AS, (244 << 20, 244 << 20))

    done = kernelscope("extract", "t.npy", "--out", "f.h5", preexec_fn=little)
    assert done.returncode == 7, done.stderr
    assert "memory" in one_line(done.stderr)


def test_what_libraries_warn_of_is_not_told_to_a_user(folder):
    for settings, told in (({}, False), ({"PYTHONWARNINGS": "always"}, True)):
        command, env = [sys.executable, "-c", WARNING], {**os.environ, **settings}
        done = subprocess.run(command, capture_output=True, cwd=folder, env=env, timeout=60)
        assert done.returncode == 0 and (b"deprecated" in done.stderr) == told, done.stderr


#: a verb that calls a library which has something to say
WARNING = """
import logging, warnings
from kernelscope.__main__ import main
from kernelscope.cli import main as command_line
def warn(arguments):
    warnings.warn("this is deprecated")
    logging.getLogger("library").warning("this is deprecated")
command_line._run = warn
main()
"""


# ---- signals ----


def test_a_ctrl_c_while_the_program_starts_is_one_line(kernelscope, folder):
    """At any moment from when Python itself has started."""
    for delay in (0.05, 0.1, 0.2, 0.4):
        command = [sys.executable, "-X", "importtime", "-m", "kernelscope", *MEASURE]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            for line in process.stderr:
                if b"kernelscope.version" in line:
                    break
            time.sleep(delay)
            process.send_signal(signal.SIGINT)
            said = [line for line in process.stderr.read().splitlines(True) if not line.startswith(b"import time:")]
            process.wait()
        if process.returncode not in (0, -signal.SIGINT) or said:  # it may have been done by then, and leaving
            assert process.returncode == 130
            assert "interrupted" in one_line(b"".join(said))


@pytest.mark.parametrize(
    ("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated"), (signal.SIGHUP, "hung up")]
)
def test_a_signal_is_one_line_and_its_exit_code(number, word, folder):
    command = [sys.executable, "-c", WAITING, "0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        err = process.stderr.read()
    assert process.returncode == 128 + number
    assert f"{word}; what was finished stays" in one_line(err)


def test_a_signal_that_is_ignored_stays_so(folder):
    command = [sys.executable, "-c", WAITING, "1"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == b"done\n"


#: a verb that takes a while, begun as by ``nohup`` where its argument is 1
WAITING = """
import signal, sys, time
from kernelscope.cli import main
if sys.argv.pop() == "1":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
def wait(arguments):
    print("ready", flush=True)
    for _ in range(10 if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else 600):
        time.sleep(0.05)
    print("done", flush=True)
main._run = wait
main.main([])
"""
