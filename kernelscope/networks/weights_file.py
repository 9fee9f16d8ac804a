"""Reading a file of weights without running its code: what is checked before ``torch.load``, and what it may raise."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from kernelscope import files
from kernelscope.errors import ResourceError, UnreadableInput

MEND = "give a checkpoint saved by torch.save"


def read(path: str | os.PathLike[str]) -> Any:
    """The plain data and tensors in a ``torch.save`` file, on the CPU, ``weights_only=True``.

    torch does not check the archive's checksums, so one flipped byte would load silently: they are checked here.

    Raises:
        UnreadableInput: for whatever is wrong with the file, in one line.
        ResourceError: not enough memory.
    """
    path = files.require_readable(path)
    _refuse_other_kinds(path)
    try:
        _check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnreadableInput:
        raise
    except MemoryError as error:
        raise ResourceError(f"{path} needs more memory than there is; free some or use a larger machine") from error
    except pickle.UnpicklingError as error:
        raise UnreadableInput(f"{path} holds objects that need code to load; save its state_dict alone") from error
    except Exception as error:  # the door to a stranger's file: torch raises a dozen kinds, all mean the same
        raise UnreadableInput(f"{path} is truncated or damaged ({type(error).__name__}); {MEND}") from error


def _refuse_other_kinds(path: Path) -> None:
    """Tell the usual mistakes by their first bytes."""
    with path.open("rb") as stream:
        head = stream.read(256)
    if head.startswith(b"version https://git-lfs"):
        raise UnreadableInput(f"{path} is a git-lfs pointer, not a checkpoint; run git lfs pull")
    if head.lstrip()[:15].lower().startswith((b"<!doctype", b"<html")):
        raise UnreadableInput(f"{path} is an HTML page, not a checkpoint; download the file itself")
    if head.startswith(b"\x89HDF"):
        raise UnreadableInput(f"{path} is an HDF5 file, not a checkpoint; {MEND}")
    if head.startswith(b"\x93NUMPY"):
        raise UnreadableInput(f"{path} is a NumPy array, not a checkpoint; {MEND}")


def _check_archive(path: Path) -> None:
    """Members stored as they are, within the file, with the right checksums; programs and NumPy archives refused."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if any(name.endswith(".npy") for name in names):
            raise UnreadableInput(f"{path} is a NumPy .npz archive, not a checkpoint; {MEND}")
        if any("/code/" in name or name.endswith("constants.pkl") for name in names):
            raise UnreadableInput(f"{path} is a TorchScript program; save its state_dict instead")
        if sum(member.file_size for member in members) > path.stat().st_size or len(members) > 100_000:
            raise UnreadableInput(f"{path} would unpack to more than it holds; {MEND}")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise UnreadableInput(f"{path} is a compressed archive, which torch.save never writes; {MEND}")
        broken = archive.testzip()
        if broken is not None:
            raise UnreadableInput(
                f"{path} is corrupt: {Path(broken).name} fails its checksum; copy or download it again"
            )
