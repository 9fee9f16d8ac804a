"""Whatever lies in a lock's place, and whatever becomes of its holder: one at a time is inside, or it is refused."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from kernelscope import files
from kernelscope.errors import ResourceError

#: one of several that wait for a moment and then try; inside, nobody else may be
ONE_TRY = """
import os, sys, time
from kernelscope import files
from kernelscope.errors import ResourceError

lock, witness, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
together = inside = 0
print("ready", flush=True)
for line in sys.stdin:
    try:
        with files.lock(lock):
            try:
                os.close(os.open(witness, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                together += 1
            else:
                inside += 1
                time.sleep(0.002)
                os.unlink(witness)
    except ResourceError:
        pass
    print(together, inside, flush=True)
"""


def rounds_over_a_dead_lock(tmp_path, rounds):
    """(how often two were inside, how often one was) with four processes that try at once, again and again."""
    lock, witness = tmp_path / "f.lock", tmp_path / "witness"
    command = [sys.executable, "-c", ONE_TRY, str(lock), str(witness), str(rounds)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen(command, **pipes) for _ in range(4)]
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for _ in range(rounds):
        lock.write_text(f"process {dead.pid} on {socket.gethostname()}")
        for racer in racers:
            racer.stdin.write("\n")
            racer.stdin.flush()
        told = [tuple(map(int, racer.stdout.readline().split())) for racer in racers]
    for racer in racers:
        racer.stdin.close()
        assert racer.wait(20) == 0
        racer.stdout.close()
    return sum(together for together, _ in told), sum(inside for _, inside in told)


@pytest.mark.parametrize("rounds", [60, pytest.param(400, marks=pytest.mark.long)])
def test_of_four_processes_over_a_dead_lock_never_two_are_inside(tmp_path, rounds):
    together, inside = rounds_over_a_dead_lock(tmp_path, rounds)
    assert together == 0 and inside >= rounds


OLD = {
    "a pid that cannot be": b"process 100000000000000000000 on here",
    "another format": b"host 12 0",
    "a pid that lives": f"process {os.getppid()} on {socket.gethostname()}".encode(),
    "our own pid": f"process {os.getpid()} on {socket.gethostname()}".encode(),
    "garbage": bytes(range(256)),
    "nothing": b"",
}


@pytest.mark.parametrize("kind", OLD)
def test_what_an_old_lock_file_says_counts_for_nothing(tmp_path, kind):
    (tmp_path / "f.lock").write_bytes(OLD[kind])
    held = pytest.raises(ResourceError, match=f"held by process {os.getpid()} ")
    with files.lock(tmp_path / "f.lock"), held, files.lock(tmp_path / "f.lock"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_huge_old_lock_file_costs_nothing(tmp_path):
    with (tmp_path / "f.lock").open("wb") as stream:
        stream.truncate(2**40)
    began = time.monotonic()
    with files.lock(tmp_path / "f.lock"):
        pass
    with (tmp_path / "f.lock").open("wb") as stream:  # held by somebody who writes no note
        stream.truncate(2**40)
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(ResourceError, match="is held by another process; wait"), files.lock(tmp_path / "f.lock"):
            pass
    assert time.monotonic() - began < 5


def link(path):
    (path.parent / "precious").write_text("precious")
    path.symlink_to(path.parent / "precious")


OTHER = {
    "a link": link,
    "a link to nothing": lambda path: path.symlink_to(path.parent / "nothing"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("kind", OTHER)
def test_what_is_no_lock_file_is_refused_and_left_alone(tmp_path, kind):
    path = tmp_path / "f.lock"
    OTHER[kind](path)
    before = sorted((each.name, each.lstat().st_mode) for each in tmp_path.iterdir())
    told = f"f.lock is {kind.removesuffix(' to nothing').removesuffix(' to itself')} where a lock file belongs; move it"
    with pytest.raises(ResourceError, match=told), files.lock(path):
        pass
    assert sorted((each.name, each.lstat().st_mode) for each in tmp_path.iterdir()) == before
    assert kind != "a link" or (tmp_path / "precious").read_text() == "precious"


#: as somebody who may not do everything
AS_NOBODY = """
import os, sys
from kernelscope import files
from kernelscope.errors import ResourceError
import filelock

if os.getuid() == 0:
    os.setgid(65534), os.setuid(65534)
try:
    with files.lock(sys.argv[1]):
        print("held")
except ResourceError as error:
    print(error)
"""


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_lock_that_may_not_be_taken_is_refused_in_one_line(tmp_path, kind):
    folder = tmp_path / "folder"
    folder.mkdir()
    if kind == "file":
        (folder / "f.lock").touch(mode=0o000)
    else:
        folder.chmod(0o555)
    for each in (tmp_path, *tmp_path.parents):
        if each.stat().st_uid == os.getuid() and str(each).startswith("/tmp/"):
            each.chmod(each.stat().st_mode | 0o011)
    done = subprocess.run([sys.executable, "-c", AS_NOBODY, folder / "f.lock"], capture_output=True, text=True)
    folder.chmod(0o755)
    assert done.stderr == ""
    assert done.stdout == f"{folder / 'f.lock'} cannot be locked (Permission denied); choose another output\n"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_disk_that_refuses_locks_is_told(tmp_path, monkeypatch, code):
    def refuse(descriptor, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(ResourceError, match=rf"cannot be locked \({os.strerror(code)}\)"), files.lock(tmp_path / "f"):
        pass


def test_on_a_disk_without_locks_a_file_is_one(tmp_path, monkeypatch, recwarn):
    def missing(descriptor, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", missing)
    with files.lock(tmp_path / "f"), pytest.raises(ResourceError, match="f is held by"), files.lock(tmp_path / "f"):
        pass
    assert not recwarn.list and not (tmp_path / "f").exists()


@pytest.mark.parametrize(
    ("name", "reason"), [("x" * 300, "File name too long"), ("file/f.lock", "File exists|Not a dir")]
)
def test_a_path_that_cannot_be_is_told(tmp_path, name, reason):
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=rf"cannot be locked \(({reason})"), files.lock(tmp_path / name):
        pass


#: a child that is forked while the lock is held, and leaves by an exception
FORKS = """
import os, sys, time
from kernelscope import files

try:
    with files.lock(sys.argv[1]):
        child = os.fork()
        if child == 0:
            raise SystemExit(0)
        os.waitpid(child, 0)
        print("held", flush=True)
        time.sleep(60)
finally:
    pass
"""


def test_a_forked_child_neither_keeps_nor_frees_the_lock(tmp_path):
    path = tmp_path / "f.lock"
    with subprocess.Popen([sys.executable, "-c", FORKS, path], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert path.exists()
        with pytest.raises(ResourceError, match=f"held by process {holder.pid} "), files.lock(path):
            pass
        holder.send_signal(signal.SIGKILL)
    with files.lock(path):
        pass


def test_an_extraction_goes_on_over_the_lock_of_one_that_was_killed(run, little, tmp_path):
    words = ("extract", little / "student.pt", "--limit", 300, "--batch-size", 64, "--quiet", "--out")
    assert run(*words, "whole.h5")[0] == 0
    (tmp_path / "s.h5.lock").write_text(f"process {os.getppid()} on {socket.gethostname()}")
    (tmp_path / "s.h5.partial").write_bytes(b"")
    code, _, err = run(*words, "s.h5")
    assert (code, err) == (0, "")
    assert (tmp_path / "s.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    (tmp_path / "t.h5.lock").symlink_to(tmp_path / "whole.h5")
    code, _, err = run(*words, "t.h5")
    assert code == 7 and err.count("\n") == 1 and "t.h5.lock is a link where a lock file belongs" in err
