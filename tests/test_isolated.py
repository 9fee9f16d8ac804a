"""A child looks into a stranger's file: whatever the file does to it, the parent says one line, and no child stays."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from kernelscope import isolated
from kernelscope.errors import UnreadableInput


def script(folder, deed):
    """A child that does ``deed`` instead of looking."""
    path = folder / "child.py"
    path.write_text(
        "import os, sys, time, ctypes\nfrom pathlib import Path\nfrom kernelscope.isolated import Refused, answer\n"
        f"def look():\n    {deed}\nanswer('found', look, kind='file', cpu_seconds=1)\n"
    )
    return str(path)


def found(folder, deed):
    path = folder / "file"
    return isolated.answered("found", path, *isolated.ask(script(folder, deed), path, fix="mend it"), fix="mend it")


@pytest.mark.parametrize(
    ("deed", "piece"),
    [
        ("while True: pass", "makes the HDF5 library crash or hang; mend it"),
        ("ctypes.string_at(0)", "makes the HDF5 library crash or hang; mend it"),
        ("os.abort()", "makes the HDF5 library crash or hang; mend it"),
        ("return bytearray(1 << 40)", "is no readable file (MemoryError); mend it"),
        ("Path('written').write_text('x')", "is no readable file (OSError); mend it"),
        ("raise Refused('is odd')", "is odd; mend it"),
        ("os._exit(0)", "cannot be looked into (no answer); mend it"),
        ("os.write(1, b'[]'); os._exit(0)", "cannot be looked into"),
        ("os.write(1, b'[' * 100000); os._exit(0)", "cannot be looked into"),
    ],
)
def test_whatever_a_child_comes_to_is_one_line(deed, piece, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnreadableInput) as caught:
        found(tmp_path, deed)
    assert piece in str(caught.value) and str(caught.value).isprintable()
    assert not (tmp_path / "written").exists() or not (tmp_path / "written").stat().st_size


def test_a_child_knows_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("HDF5_PLUGIN_PATH", str(tmp_path))
    descriptor = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    try:
        names, open_files = found(tmp_path, "return sorted(os.environ), len(os.listdir('/proc/self/fd'))")
    finally:
        os.close(descriptor)
    assert not {"AWS_SECRET_ACCESS_KEY", "HDF5_PLUGIN_PATH", "HOME"} & set(names)
    assert open_files == 4  # its three streams, and the folder that was listed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_no_child_outlives_its_parent(number, tmp_path):
    deed = f"Path({str(tmp_path / 'pid')!r}).touch(); time.sleep(50)"
    child = script(tmp_path, deed).replace(str(tmp_path), str(tmp_path))
    parent = """
        import signal, sys
        from pathlib import Path
        from kernelscope import isolated
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
        isolated.ask(sys.argv[1], Path("x"), fix="")
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(parent), child], env=environment, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 20
    while not (children := children_of(process.pid)) or not asleep(children[0]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    process.wait(10)
    while Path(f"/proc/{children[0]}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children_of(pid):
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def asleep(pid):
    """Whether the child has come to its deed, which its system call tells."""
    try:
        return "nanosleep" in Path(f"/proc/{pid}/wchan").read_text()
    except OSError:
        return False
