"""A disk that fails at the Nth call of a kind: what Python asks of files below one folder, and nothing else."""

import builtins
import contextlib
import errno
import io
import os
from pathlib import Path

#: every errno that a disk, or the system, answers with
ERRNOS = {
    name: getattr(errno, name)
    for name in (
        "EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EMFILE", "ENFILE", "ESTALE", "EISDIR", "ENAMETOOLONG", "ENOMEM",
    )
}  # fmt: skip
KINDS = ("open", "read", "write", "fsync", "rename", "mkdir", "truncate", "close")


class Disk:
    """Counts calls below ``folder`` and lets the Nth of one kind fail; ``hit`` names the file that it was about."""

    def __init__(self, folder, kind, at, number):
        self.folder, self.kind, self.left, self.number = folder, kind, at, number
        self.hit = None
        self.names = {}

    def meets(self, kind, path):
        """Raise, if this is the call that fails."""
        path = self.names.get(path) if isinstance(path, int) else os.fspath(path)
        if path is None or kind != self.kind or not Path(os.fsdecode(path)).absolute().is_relative_to(self.folder):
            return
        self.left -= 1
        if self.left == 0:
            self.hit = Path(os.fsdecode(path))
            raise OSError(self.number, os.strerror(self.number), path)


class Stream:
    """An open file that fails as its disk does; of what it should write, half is written."""

    def __init__(self, disk, stream, path):
        self._disk, self._stream, self._path = disk, stream, path

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def __iter__(self):
        return iter(self._stream)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def read(self, *arguments):
        self._disk.meets("read", self._path)
        return self._stream.read(*arguments)

    def write(self, content):
        try:
            self._disk.meets("write", self._path)
        except OSError:
            self._stream.write(content[: len(content) // 2])
            raise
        return self._stream.write(content)

    def close(self):
        closed = self._stream.closed
        self._stream.close()
        if not closed:
            self._disk.meets("close", self._path)


@contextlib.contextmanager
def failing(folder, kind, at, number):
    """The ``at``-th call of that kind below ``folder`` fails with errno ``number``; yields the :class:`Disk`."""
    disk = Disk(folder, kind, at, number)
    before = {(owner, name): getattr(owner, name) for owner, name in PATCHED}
    real = {name: value for (owner, name), value in before.items() if owner is os}
    opened = io.open

    def open_stream(file, mode="r", *arguments, **options):
        if isinstance(file, int):
            return opened(file, mode, *arguments, **options)
        disk.meets("open", file)
        return Stream(disk, opened(file, mode, *arguments, **options), file)

    def open_number(path, *arguments, **options):
        disk.meets("open", path)
        number = real["open"](path, *arguments, **options)
        disk.names[number] = os.fspath(path)
        return number

    def asked(name, kind):
        def call(first, *arguments, **options):
            disk.meets(kind, first)
            return real[name](first, *arguments, **options)

        return call

    def close(number):
        real["close"](number)
        try:
            disk.meets("close", number)
        finally:
            disk.names.pop(number, None)

    builtins.open = io.open = open_stream
    os.open, os.close = open_number, close
    for (owner, name), called in PATCHED.items():
        if called:
            setattr(owner, name, asked(name, called))
    try:
        yield disk
    finally:
        for (owner, name), value in before.items():
            setattr(owner, name, value)


#: what is put in another's place, and of which kind it is; None for those that need more than a count
PATCHED = {
    (builtins, "open"): None,
    (io, "open"): None,
    (os, "open"): None,
    (os, "close"): None,
    (os, "read"): "read",
    (os, "pread"): "read",
    (os, "preadv"): "read",
    (os, "write"): "write",
    (os, "pwrite"): "write",
    (os, "fsync"): "fsync",
    (os, "replace"): "rename",
    (os, "rename"): "rename",
    (os, "mkdir"): "mkdir",
    (os, "ftruncate"): "truncate",
    (os, "posix_fallocate"): "truncate",
}
