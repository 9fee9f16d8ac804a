"""Reading a file of weights without running its code: what is checked before ``torch.load``, and what it may raise."""

from __future__ import annotations

import os
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from kernelscope import files
from kernelscope.errors import KernelscopeError, ResourceError, UnreadableInput, one_line

MEND = "give a checkpoint saved by torch.save"
ZIP_MAGIC = b"PK\x03\x04"


def read(path: str | os.PathLike[str]) -> Any:
    """The plain data and tensors in a ``torch.save`` file, on the CPU, ``weights_only=True``.

    torch does not check the archive's checksums, so one flipped byte would load silently: they are checked here.

    Raises:
        UnreadableInput: for whatever is wrong with the file, in one line.
        ResourceError: not enough memory.
    """
    try:
        path = files.require_readable(path)
        _refuse_other_kinds(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own remarks on old or odd files; what matters is raised
            return torch.load(path, map_location="cpu", weights_only=True)
    except KernelscopeError:
        raise
    except MemoryError as error:
        raise ResourceError(f"{path} needs more memory than there is; free some or use a larger machine") from error
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused is None:
            raise UnreadableInput(f"{path} is damaged or not a torch file; {MEND}") from error
        raise UnreadableInput(
            f"{path} holds objects that need code to load ({one_line(refused[1], 60)}); save its state_dict alone"
        ) from error
    except PermissionError as error:
        raise UnreadableInput(f"{path} may not be read by this user; change its permissions") from error
    except Exception as error:  # the door to a stranger's file: torch raises a dozen kinds, all mean the same
        kind = type(error).__name__
        raise UnreadableInput(f"{one_line(str(path))} is truncated or damaged ({kind}); {MEND}") from error


def require_dense(state_dict: dict[Any, Any], path: str | os.PathLike[str]) -> None:
    """Every value of a file's state dict is an ordinary tensor that the file really holds.

    A tensor may declare any shape over a few bytes (stride 0), no bytes at all (meta), or an inconsistent sparse
    layout on which the next product crashes the process.

    Raises:
        UnreadableInput: naming the first that is not.
    """
    for key, value in state_dict.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise UnreadableInput(
                f"{path} holds a {type(value).__name__} as {one_line(str(key), 60)!r} among its weights; "
                "save tensors by name only"
            )
        kind = None
        if value.device.type != "cpu":
            kind = f"on device {value.device.type}"
        elif value.layout != torch.strided:
            kind = str(value.layout).removeprefix("torch.")
        elif value.is_quantized:
            kind = "quantized"
        elif value.untyped_storage().nbytes() < value.numel() * value.element_size():
            kind = f"of {value.numel():,} values over {value.untyped_storage().nbytes():,} bytes"
        if kind is not None:
            raise UnreadableInput(f"{path} holds {one_line(key, 60)} {kind}, expected a dense tensor; save it dense")


def _refuse_other_kinds(path: Path) -> None:
    """Tell the usual mistakes by their first bytes, and check archives."""
    with path.open("rb") as stream:
        head = stream.read(256)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"version https://git-lfs"):
        raise UnreadableInput(f"{path} is a git-lfs pointer, not a checkpoint; run git lfs pull")
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise UnreadableInput(f"{path} is an HTML page, not a checkpoint; download the file itself")
    if head.startswith(b"\x89HDF"):
        raise UnreadableInput(f"{path} is an HDF5 file, not a checkpoint; {MEND}")
    if head.startswith(b"\x93NUMPY"):
        raise UnreadableInput(f"{path} is a NumPy array, not a checkpoint; {MEND}")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        raise UnreadableInput(f"{path} is a safetensors file, which is not read here; {MEND}")
    if zipfile.is_zipfile(path):
        _check_archive(path)
    elif head.startswith(ZIP_MAGIC):  # its directory stands at the end: without one no checksum could be checked
        raise UnreadableInput(f"{path} is truncated after {path.stat().st_size:,} bytes; copy or download it again")
    elif not head.startswith(b"\x80") and head[257:262] != b"ustar":  # a pickle, as torch wrote before 1.6
        raise UnreadableInput(f"{path} is not a torch file; {MEND}")


def _check_archive(path: Path) -> None:
    """Members stored as they are, within the file, with the right checksums; programs and NumPy archives refused."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if any(name.endswith(".npy") for name in names):
            raise UnreadableInput(f"{path} is a NumPy .npz archive, not a checkpoint; {MEND}")
        if any("/code/" in name or name.endswith("constants.pkl") for name in names):
            raise UnreadableInput(f"{path} is a TorchScript program; save its state_dict instead")
        if any(name.endswith("archive_format") for name in names):
            raise UnreadableInput(f"{path} is a torch.export program; save its state_dict instead")
        if not any(name.endswith("/data.pkl") for name in names):
            raise UnreadableInput(f"{path} is a zip archive without a checkpoint in it; {MEND}")
        if sum(member.file_size for member in members) > path.stat().st_size or len(members) > 100_000:
            raise UnreadableInput(f"{path} would unpack to more than it holds; {MEND}")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise UnreadableInput(f"{path} is a compressed archive, which torch.save never writes; {MEND}")
        if any(member.external_attr & 0x10 or member.is_dir() for member in members):
            # torch reads a member that is marked as a folder as whatever lay in memory
            raise UnreadableInput(f"{path} is corrupt: a tensor is marked as a folder; copy or download it again")
        broken = archive.testzip()
        if broken is not None:
            raise UnreadableInput(
                f"{path} is corrupt: {one_line(Path(broken).name, 40)} fails its checksum; copy or download it again"
            )
