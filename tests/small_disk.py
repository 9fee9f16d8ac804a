"""A file system of two megabytes, which root can mount, to be filled up."""

import contextlib
import os
import subprocess

import pytest

DISK_BYTES = 2 << 20


@contextlib.contextmanager
def mounted(folder):
    """A small file system at ``folder``; the test is skipped where none can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)]
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(disk, leaving=0):
    """Leave ``leaving`` bytes of the disk free."""
    with (disk / "ballast").open("wb", buffering=0) as stream:
        try:
            while stream.write(bytes(4096)):
                pass
        except OSError:
            stream.truncate(max(0, stream.tell() - leaving))
