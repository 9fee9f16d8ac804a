"""Atomic writes, locks and disk-space checks, and what a failing disk means: the one door to the disk.

A file appears under its own name only when it is complete: written beside it, synced, renamed. No reader meets a
half-written file under the final name, and neither a crash nor a full disk leaves one.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import shutil
import socket
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from kernelscope.errors import KernelscopeError, ResourceError, UnreadableInput, UsageError, in_bytes, one_line, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: errors that free space cures: the disk, a quota, or a limit on the size of files
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: errors of the system and not of a file: it has no more descriptors, memory or locks to give
SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOLCK)


def not_read(path: object, error: Exception, fix: str = "check the disk and its permissions") -> KernelscopeError:
    """What a file that cannot be read is told as: unreadable, or lacking what the system should give."""
    if isinstance(error, KernelscopeError):
        return error
    if isinstance(error, MemoryError):
        return ResourceError(f"{shown(path)} needs more memory than there is; free some")
    if isinstance(error, OSError) and error.errno in SCARCE:
        return _lacking(path, error)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
    return UnreadableInput(f"{shown(path)} cannot be read ({one_line(reason, 70)}); {fix}")


def not_written(path: object, error: OSError) -> KernelscopeError:
    """What a failed write is told as: a full disk, a folder in the file's place, or another fault of the disk."""
    if isinstance(error, KernelscopeError):
        return error
    if error.errno in NO_SPACE:
        return ResourceError(f"disk full while writing {shown(path)}; free some space and run again")
    if error.errno == errno.EISDIR or is_folder(str(path)):
        return UsageError(f"{shown(path)} is a folder; name a file")
    if error.errno in SCARCE:
        return _lacking(path, error)
    reason = one_line(error.strerror or str(error), 70)
    return ResourceError(f"{shown(path)} cannot be written ({reason}); choose another place, or check the disk")


def _lacking(path: object, error: OSError) -> ResourceError:
    return ResourceError(f"{shown(path)} cannot be opened ({error.strerror}); close other programs, or raise the limit")


@contextlib.contextmanager
def reading(path: object) -> Iterator[None]:
    """Errors of the disk, and a lack of memory, while ``path`` is read.

    Raises:
        UnreadableInput: it cannot be read. ResourceError: the system has no more descriptors or memory.
    """
    try:
        yield
    except (OSError, MemoryError) as error:
        raise not_read(path, error) from error


@contextlib.contextmanager
def writing(path: object) -> Iterator[None]:
    """Errors of the disk while ``path`` is written.

    Raises:
        ResourceError: the disk is full, read-only, out of reach or broken. UsageError: ``path`` is a folder.
    """
    try:
        yield
    except OSError as error:
        raise not_written(path, error) from error


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it becomes ``path`` in one step.

    Raises:
        ResourceError, UsageError: as :func:`writing`. ``path`` is then what it was, and the temporary is removed.
    """
    path = Path(path)
    temporary = path.with_name(f".kernelscope-{os.urandom(8).hex()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            sync(temporary)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all; lone surrogates, which no encoding has, by their numbers."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def write_by(path: str | os.PathLike[str], write: Callable[[Any], object]) -> None:
    """Write what ``write(stream)`` writes, whole or not at all; errors of the disk that it hides are told as well."""
    with atomic_write(path) as temporary, temporary.open("wb") as stream:
        recorded = _Recorded(stream)
        try:
            write(recorded)
        except Exception as error:
            raise (recorded.failed or error) from error


class _Recorded:
    """A stream that remembers the error of the disk it met: torch's writer makes another of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.failed: OSError | None = None

    def write(self, content: bytes) -> int:
        try:
            return self._stream.write(content)
        except OSError as error:
            self.failed = error
            raise

    def flush(self) -> None:
        """The stream is flushed when it is closed."""


def append_line(path: str | os.PathLike[str], line: str) -> None:
    """Append one line of text, whole or not at all: a line written in part is cut off again.

    Raises:
        ResourceError, UsageError: as :func:`writing`.
    """
    content = line.encode() + b"\n"
    with writing(path):
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
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnreadableInput(f"{shown(path)} does not exist; check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte, or one that does not encode
        raise not_read(path, error, "check the path") from error
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableInput(f"{shown(path)} is not a regular file; give a checkpoint or a feature file")
    if found.st_size == 0:
        raise UnreadableInput(f"{shown(path)} is empty (0 bytes); write or download it again")
    return path


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether there is a folder; False as well for paths that the system refuses."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def refuse_existing(*paths: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Stop before any work if an output exists already, or can be seen not to be writable.

    Raises:
        UsageError: it exists, or is a folder. ResourceError: its folder cannot be reached or written.
    """
    for path in map(Path, paths):
        with writing(path):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if os.path.lexists(path):
                if not overwrite:
                    raise UsageError(f"{shown(path)} exists; pass --overwrite to replace it or choose another name")
                if path.exists() and not path.is_file():
                    raise UsageError(f"{shown(path)} is a device or a pipe, not a regular file; choose another name")
            _require_place(path)


def _require_place(path: Path) -> None:
    """Raise what would be raised in the end, so that nobody waits for it: asked are the folders that exist."""
    path.with_name(f"{path.name}.tmp").exists()  # too long a name, a loop of links
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(folder, os.W_OK | os.X_OK):
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY if hasattr(os, "statvfs") else 0
        number = errno.EROFS if read_only else errno.EACCES
        raise OSError(number, os.strerror(number))


def require_space(folder: str | os.PathLike[str], needed_bytes: int) -> None:
    """Stop before any work if ``folder``'s disk cannot take ``needed_bytes`` and five per cent.

    Raises:
        ResourceError: with what is needed and what is free.
    """
    folder = Path(folder)
    with writing(folder):
        while not folder.exists():
            folder = folder.parent
        free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes * 1.05:
        free, needed = in_bytes(free_bytes), in_bytes(math.ceil(needed_bytes * 1.05))
        raise ResourceError(f"{shown(folder)} has {free} free, {needed} needed; free some space")


@contextlib.contextmanager
def lock(path: str | os.PathLike[str]) -> Iterator[None]:
    """Hold ``path`` as a lock file, against other processes and other threads alike; it is removed in the end.

    The lock is the operating system's: it ends with the process that holds it, however that ends, and what an old lock
    file says counts for nothing. A child that is forked meanwhile does not hold it.

    Raises:
        ResourceError: somebody else holds it, something else is in its place, or the disk refuses it.
    """
    from filelock import FileLock, Timeout  # takes a tenth of a second, which only writers should wait

    warnings.filterwarnings("ignore", "flock not supported")  # on a disk without locks a file that exists is one
    path, owner = Path(path), os.getpid()
    holder = FileLock(path, thread_local=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _require_lockable(path)
        holder.acquire(blocking=False)
    except ResourceError:
        raise
    except Timeout as error:
        raise ResourceError(f"{path} is held by {_note_in(path)}; wait for it, or choose another output") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ResourceError(f"{path} cannot be locked ({reason}); choose another output") from error
    native = isinstance(holder, FileLock)  # it changes its class on a disk without locks, and keeps a file of its own
    try:
        if native:
            with contextlib.suppress(OSError):  # for the message alone: a full disk must not cost the lock
                _write_note(path)
        yield
    finally:
        if os.getpid() == owner:
            if native:
                # Removed while held: whoever opened the file before gets a lock on a file without a name, sees that
                # and tries again. Removed after the release, it could be the next holder's file.
                with contextlib.suppress(OSError):
                    path.unlink()
            holder.release()


def _require_lockable(path: Path) -> None:
    """Refuse what would be followed, waited for or destroyed in a lock's place."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(kind):
        names = ((stat.S_ISLNK, "a link"), (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"))
        what = next((name for is_kind, name in names if is_kind(kind)), "no regular file")
        raise ResourceError(f"{path} is {what} where a lock file belongs; move it away, or choose another output")


def _write_note(path: Path) -> None:
    """Who holds it, for others to read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0))
    try:
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
    finally:
        os.close(descriptor)


def _note_in(path: Path) -> str:
    """The holder as it named itself; it may not have come to that yet."""
    try:
        with path.open("rb") as stream:
            return one_line(stream.read(200).decode(), 100) or "another process"
    except (OSError, ValueError):
        return "another process"
