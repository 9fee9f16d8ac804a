"""Files appear whole or not at all; of everybody who wants a lock, one has it."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kernelscope import files
from kernelscope.errors import ResourceError, UnreadableInput

RACE = """
import os, sys, threading, time
from kernelscope import files
from kernelscope.errors import ResourceError

lock, witness, until = sys.argv[1], sys.argv[2], time.time() + float(sys.argv[3])
counts = {"inside": 0, "refused": 0, "together": 0}

def race():
    while time.time() < until:
        try:
            with files.lock(lock):
                try:
                    with open(witness, "x"):
                        pass
                except FileExistsError:  # somebody else is inside
                    counts["together"] += 1
                else:
                    counts["inside"] += 1
                    os.unlink(witness)
        except ResourceError:
            counts["refused"] += 1

threads = [threading.Thread(target=race) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(*counts.values())
"""

HOLD = """
import sys, time
from kernelscope import files

with files.lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def started(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_of_many_threads_in_many_processes_one_at_a_time_holds_a_lock(tmp_path):
    racers = [started(RACE, tmp_path / "f.lock", tmp_path / "witness", 1.5) for _ in range(4)]
    done = [racer.communicate(timeout=60) for racer in racers]
    assert [error for _, error in done] == [""] * 4
    inside, refused, together = (sum(column) for column in zip(*(map(int, out.split()) for out, _ in done)))
    assert together == 0
    assert inside > 20 and refused > 20, "they did not meet"


def test_who_holds_a_lock_is_named_at_once(tmp_path):
    with files.lock(tmp_path / "new" / "f.lock"):
        began = time.monotonic()
        named = rf"f\.lock is held by process {os.getpid()} on \S+; wait for it"
        with pytest.raises(ResourceError, match=named), files.lock(tmp_path / "new" / "f.lock"):
            pass
        assert time.monotonic() - began < 1


def test_a_lock_is_held_against_other_threads(tmp_path):
    refused = []

    def other():
        try:
            with files.lock(tmp_path / "f.lock"):
                pass
        except ResourceError as error:
            refused.append(error)

    with files.lock(tmp_path / "f.lock"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_a_killed_process_frees_its_lock(tmp_path):
    with started(HOLD, tmp_path / "f.lock") as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ResourceError, match=f"held by process {holder.pid} "), files.lock(tmp_path / "f.lock"):
            pass
        holder.send_signal(signal.SIGKILL)
    assert (tmp_path / "f.lock").exists()
    with files.lock(tmp_path / "f.lock"):
        pass


def test_the_lock_file_is_gone_in_the_end(tmp_path):
    with files.lock(tmp_path / "f.lock"):
        assert (tmp_path / "f.lock").exists()
    with pytest.raises(KeyError), files.lock(tmp_path / "f.lock"):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced_in_one_step_or_stays_as_it_was(tmp_path):
    path = tmp_path / "folder" / "f.txt"
    files.write_text(path, "old")
    with pytest.raises(KeyError), files.atomic_write(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        raise KeyError
    assert path.read_text() == "old"
    files.write_text(path, "new")
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["f.txt"]


def test_a_line_that_does_not_fit_is_cut_off_again(tmp_path, monkeypatch):
    path = tmp_path / "log"
    files.append_line(path, "first")
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:3]))
    with pytest.raises(ResourceError, match=r"disk full while writing .*log; free some space"):
        files.append_line(path, "second")
    assert path.read_text() == "first\n"


@pytest.mark.parametrize(
    ("make", "piece"),
    [
        (lambda path: None, "does not exist; check the path"),
        (lambda path: path.mkdir(), "is not a regular file"),
        (lambda path: path.touch(), r"is empty \(0 bytes\)"),
    ],
)
def test_what_cannot_be_read_is_refused_before_it_is_opened(tmp_path, make, piece):
    make(tmp_path / "f")
    with pytest.raises(UnreadableInput, match=piece):
        files.require_readable(tmp_path / "f")


def test_two_threads_that_write_one_path_leave_one_whole_file(tmp_path):
    path, both = tmp_path / "f.txt", threading.Barrier(2, timeout=30)

    def write(letter):
        with files.atomic_write(path) as temporary:
            temporary.write_text(1000 * letter)
            both.wait()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write, letter) for letter in "ab"]:
            done.result()
    assert path.read_text() in (1000 * "a", 1000 * "b")
    assert [each.name for each in tmp_path.iterdir()] == ["f.txt"]
