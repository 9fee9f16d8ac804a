"""Atomic writes, locks and disk-space checks, for everything the package writes.

A file appears under its own name only when it is complete: written beside it, synced, renamed. No reader meets a
half-written file under the final name, and neither a crash nor a full disk leaves one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from kernelscope.errors import ResourceError, UnreadableInput, UsageError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

#: errors that free space cures: the disk, a quota, or a limit on the size of files
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it becomes ``path`` in one step.

    Raises:
        ResourceError: if the disk is full. ``path`` is then what it was before, and the temporary is removed.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            raise ResourceError(f"disk full while writing {path}; free some space and run again") from error
        raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def append_line(path: str | os.PathLike[str], line: str) -> None:
    """Append one line of text, whole or not at all: a line written in part is cut off again.

    Raises:
        ResourceError: it cannot be written.
    """
    content = line.encode() + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            before = os.fstat(descriptor).st_size
            try:
                if os.write(descriptor, content) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ResourceError(
            f"{path} cannot be written ({error.strerror}); free some space or choose another path"
        ) from error


def sync(path: Path) -> None:
    """Flush a file's bytes to the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename survives a power cut; a no-op where folders cannot be opened."""
    with contextlib.suppress(OSError):
        sync(folder)


def require_readable(path: str | os.PathLike[str]) -> Path:
    """The path, if it is a non-empty regular file.

    Raises:
        UnreadableInput: missing, out of reach, a folder, a device or pipe, or empty.
    """
    path = Path(path)
    try:
        exists = path.exists()
    except OSError as error:
        raise UnreadableInput(f"{str(path)[:80]} cannot be reached ({error.strerror}); check the path") from error
    if not exists:
        raise UnreadableInput(f"{path} does not exist; check the path")
    if not path.is_file():
        raise UnreadableInput(f"{path} is not a regular file; give a checkpoint or a feature file")
    if path.stat().st_size == 0:
        raise UnreadableInput(f"{path} is empty (0 bytes); write or download it again")
    return path


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether there is a folder; False as well for paths that the system refuses."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def refuse_existing(*paths: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Stop before any work if an output exists already.

    Raises:
        UsageError: naming the first that exists.
    """
    for path in paths:
        if not overwrite and Path(path).exists():
            raise UsageError(f"{path} exists; pass --overwrite to replace it or choose another name")


def require_space(folder: str | os.PathLike[str], needed_bytes: int) -> None:
    """Stop before any work if ``folder``'s disk cannot take ``needed_bytes`` and five per cent.

    Raises:
        ResourceError: with what is needed and what is free.
    """
    folder = Path(folder)
    while not folder.exists():
        folder = folder.parent
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes * 1.05:
        raise ResourceError(
            f"{folder} has {free_bytes / 1e6:,.0f} MB free, {needed_bytes * 1.05 / 1e6:,.0f} MB needed; free some space"
        )


@contextlib.contextmanager
def lock(path: str | os.PathLike[str]) -> Iterator[None]:
    """Hold ``path`` as a lock file, against other processes and other threads alike; it is removed in the end.

    The lock is the operating system's: it ends with the process that holds it, however that ends.

    Raises:
        ResourceError: somebody else holds it.
    """
    from filelock import FileLock, Timeout  # takes a tenth of a second, which only writers should wait

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = FileLock(path, thread_local=False)
    try:
        holder.acquire(blocking=False)
    except Timeout as error:
        raise ResourceError(f"{path} is held by {_note_in(path)}; wait for it, or choose another output") from error
    native = isinstance(holder, FileLock)  # it changes its class on a disk without locks, and keeps a file of its own
    try:
        if native:
            with contextlib.suppress(OSError):  # for the message alone: a full disk must not cost the lock
                path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        if native:
            # Removed while held: whoever opened the file before gets a lock on a file without a name, sees that and
            # tries again. Removed after the release, it could be the next holder's file.
            with contextlib.suppress(OSError):
                path.unlink()
        holder.release()


def _note_in(path: Path) -> str:
    """The holder as it named itself; it may not have come to that yet."""
    try:
        return one_line(path.read_text(encoding="utf-8"), 100) or "another process"
    except (OSError, ValueError):
        return "another process"
