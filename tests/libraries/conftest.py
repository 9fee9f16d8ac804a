"""Tests with other people's libraries: `make test-libraries` runs them in an environment of their own."""

import importlib.util
import os

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
collect_ignore_glob = [] if importlib.util.find_spec("transformers") else ["test_*.py"]


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    """Every test writes in a folder of its own, and keeps no features."""
    monkeypatch.setenv("KERNELSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path
