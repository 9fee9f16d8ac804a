"""The entrance for files of weights: checked, then loaded without running any of their code, or refused in one line.

A file is read once. What is checked, hashed and loaded are those same bytes, so it cannot be one file to the checks and
another to torch; memory holds them beside the tensors until they are loaded.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import pickle
import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from kernelscope import files, memory
from kernelscope.checkpoints import archive, other_kinds, stubs, tensor_files, torch_program
from kernelscope.checkpoints.archive import COPY, FIX
from kernelscope.errors import KernelscopeError, ResourceError, UnreadableInput, one_line
from kernelscope.pickles.things import UnsafeProgram

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    from kernelscope.pickles.things import Survey

ZIP_MAGIC = b"PK\x03\x04"
HEAD_BYTES = 512  #: by which a kind of file is recognised
PROGRAM_BYTES = 2**26  #: in which an old file's pickles end; its tensors come after them
#: a file from before torch 1.6 begins with magic number, protocol and system; its storages' keys follow the object
LEGACY = {"before": 3, "after": 1}
SMALLER = "free some or use a larger machine"
UNCHECKED = "carries no checksums: damage to its numbers cannot be seen"
_NOT_ALLOCATED = re.compile(r"you tried to allocate (\d+) bytes")


@dataclass(frozen=True, eq=False)
class Contents:
    """What was read: plain data, tensors on the CPU and stubs.

    Attributes:
        document: what the file holds.
        kind: which kind of file it is, in words.
        sha256: of the file's bytes; of a folder over its files' names and digests.
        paths: the files themselves; several where a folder is read.
        stubbed: classes it names that were not imported; their objects are stubs in ``document``.
        remarks: what a reader of numbers made from it should know.
    """

    document: object
    kind: str
    sha256: str
    paths: tuple[Path, ...]
    stubbed: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Contents]:
    """The plain data and tensors in a file that ``torch.save`` or safetensors wrote, or in a Hugging Face folder.

    What the file made may be as hostile as the file, so the block that looks through it is guarded as well.

    Raises:
        UnreadableInput: for whatever is wrong with the file, in one line.
        ResourceError: not enough memory.
    """
    with as_unreadable(path):
        if tensor_files.is_weights_folder(Path(path)):
            yield _folder(Path(path))
        else:
            contents = _file(files.require_readable(path))
            if isinstance(contents.document, dict):
                other_kinds.refuse_adapter(contents.paths[0], list(contents.document))
            yield contents


@contextlib.contextmanager
def as_unreadable(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn any exception raised while an untrusted file is read or looked through into one that names the file.

    Raises:
        UnreadableInput, ResourceError: in one line, for any exception that is not ours.
    """
    try:
        yield
    except KernelscopeError:
        raise
    except MemoryError as error:
        raise _too_large(path) from error
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused is None:
            raise UnreadableInput(f"{path} is damaged or not a torch file; {FIX}") from error
        raise _needs_code(path, refused[1], "save its state_dict alone") from error
    except UnsafeProgram as error:
        raise UnreadableInput(
            f"{path} holds {error}, which is not read; save its dense state_dict by torch.save"
        ) from error
    except PermissionError as error:
        raise UnreadableInput(f"{path} may not be read by this user; change its permissions") from error
    except Exception as error:  # torch raises a dozen kinds, all mean the same
        if _lacks_memory(error, path):
            raise _too_large(path) from error
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # of the disk, not of the content
            raise files.not_read(path, error) from error
        kind = type(error).__name__
        raise UnreadableInput(f"{one_line(str(path))} is truncated or damaged ({kind}); {FIX}") from error


def _lacks_memory(error: Exception, path: str | os.PathLike[str]) -> bool:
    """Whether the machine is too small for what the file holds; a file may also claim what it does not hold."""
    asked = _NOT_ALLOCATED.search(str(error))
    if asked is not None:
        return int(asked[1]) <= 2 * Path(path).stat().st_size
    return isinstance(error, OSError) and error.errno == errno.ENOMEM


def _file(path: Path) -> Contents:
    with path.open("rb") as stream:
        size, start = path.stat().st_size, stream.read(HEAD_BYTES)
        _refuse_other_kinds(path, start, size)
        program = None
        if _may_be_pickle(start, size) and not zipfile.is_zipfile(stream):
            stream.seek(len(start))
            start += stream.read(PROGRAM_BYTES)  # followed before the rest is read: that may be gigabytes of nothing
            program = torch_program.survey(io.BytesIO(start), len(start), **LEGACY)
        memory.require(2 * size, path, SMALLER)  # the bytes, and the tensors that they become
        stream.seek(len(start))
        content = start + stream.read()
    if tensor_files.is_safetensors(content, size):
        tensors = tensor_files.read_safetensors(path, content)
        return Contents(tensors, "safetensors file", _sha256(content), (path,), remarks=(UNCHECKED,))
    if zipfile.is_zipfile(io.BytesIO(content)):
        return _zipped(path, content, archive.checked_pickle(path, content))
    if content.startswith(ZIP_MAGIC):  # its directory stands at the end: without one no checksum could be checked
        raise UnreadableInput(f"{path} is truncated after {size:,} bytes; {COPY}")
    if program is None or content[257:262] == b"ustar":
        raise UnreadableInput(f"{path} is not a torch file; {FIX}, or features by numpy.save")
    return _legacy(path, content, program)


def _may_be_pickle(head: bytes, size: int) -> bool:
    """Whether a file begins as a pickle does; so does every thirty-second of safetensors, by the length it states."""
    return head.startswith(b"\x80") and not tensor_files.is_safetensors(head, size)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _zipped(path: Path, content: bytes, pickled: bytes) -> Contents:
    """An archive: refused classes become stubs."""
    program = torch_program.survey(io.BytesIO(pickled), len(pickled))
    refused = set(torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content)))
    attack = stubs.harmful(refused | program.globals)
    if attack is not None:
        raise _needs_code(path, attack, "do not unpickle it")
    document = _quietly(lambda: stubs.load(io.BytesIO(content), refused, program))
    return Contents(document, "torch file", _sha256(content), (path,), stubbed=tuple(sorted(refused)))


def _legacy(path: Path, content: bytes, program: Survey) -> Contents:
    """A file from before torch 1.6, whose classes cannot be listed: refused unless it is plain."""
    attack = stubs.harmful(program.globals)
    if attack is not None:
        raise _needs_code(path, attack, "do not unpickle it")
    document = _quietly(lambda: torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    return Contents(document, "torch file of the old kind", _sha256(content), (path,), remarks=(UNCHECKED,))


def _quietly(load: Callable[[], object]) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own remarks on old or odd files; what matters is raised
        return load()


def _folder(folder: Path) -> Contents:
    """All tensors of a Hugging Face folder, one dict over its shards."""
    shards, names = tensor_files.shards_of(folder)
    memory.require(sum(shard.stat().st_size for shard in shards), folder, SMALLER)
    tensors: dict[object, object] = {}
    digests: list[tuple[str, str]] = []
    stubbed: set[str] = set()
    remarks: set[str] = set()
    for shard in shards:
        found = _file(shard)
        if not isinstance(found.document, dict):
            raise UnreadableInput(f"{shard} holds a {type(found.document).__name__}, not weights by name; {FIX}")
        tensor_files.require_indexed(shard, set(found.document), names)
        tensors |= found.document
        digests.append((shard.name, found.sha256))
        stubbed |= set(found.stubbed)
        remarks |= set(found.remarks)
    sha256 = tensor_files.folder_sha256(digests)
    return Contents(
        tensors, "Hugging Face folder", sha256, tuple(shards), tuple(sorted(stubbed)), tuple(sorted(remarks))
    )


def _too_large(path: str | os.PathLike[str]) -> ResourceError:
    return ResourceError(f"{path} needs more memory than there is; {SMALLER}")


def _needs_code(path: str | os.PathLike[str], name: str, fix: str) -> UnreadableInput:
    return UnreadableInput(f"{path} holds objects that need code to load ({one_line(name, 60)}); {fix}")


def _refuse_other_kinds(path: Path, head: bytes, size: int) -> None:
    """Tell the usual mistakes by their first bytes."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"version https://git-lfs"):
        raise UnreadableInput(f"{path} is a git-lfs pointer, not a checkpoint; run git lfs pull")
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise UnreadableInput(f"{path} is an HTML page, not a checkpoint; download the file itself")
    other_kinds.refuse_file(path, head)
    for magic, what, fix in _OTHERS:
        if head.startswith(magic):
            raise UnreadableInput(f"{path} is {what}, not a checkpoint; {fix}")
    if head[257:262] == b"ustar":
        raise UnreadableInput(f"{path} is a tar archive; unpack it, or save its state_dict by a newer torch")
    if text.startswith((b"{", b"[")) and not tensor_files.is_safetensors(head, size):
        raise UnreadableInput(f"{path} is JSON text, not a checkpoint; {FIX}")
    if _may_be_pickle(head, size) and len(head) > 1 and head[1] > 2:
        raise UnreadableInput(
            f"{path} is a pickle of protocol {head[1]}, which may run code; save weights by torch.save, "
            "features by numpy.save"
        )


_OTHERS: Sequence[tuple[bytes, str, str]] = (
    (b"\x89HDF", "an HDF5 file", FIX),
    (b"\x93NUMPY", "a NumPy array", FIX),
    (b"\x1f\x8b", "a gzip file", "unpack it first"),
    (b"BZh", "a bzip2 file", "unpack it first"),
    (b"\xfd7zXZ", "an xz file", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstandard file", "unpack it first"),
    (b"7z\xbc\xaf", "a 7-zip archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"%PDF", "a PDF page", "download the file itself"),
    (b"\x89PNG", "a PNG image", FIX),
    (b"\x7fELF", "a program", FIX),
    (b"MZ", "a program", FIX),
)
