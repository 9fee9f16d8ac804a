"""Running command lines in this process."""

import signal

import pytest

from kernelscope.cli.main import main


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run a command line in ``tmp_path``; gives (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERNELSCOPE_CACHE", str(tmp_path / "cache"))
    handler = signal.getsignal(signal.SIGTERM)

    def call(*words):
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    yield call
    signal.signal(signal.SIGTERM, handler)
