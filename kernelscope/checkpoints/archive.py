"""The zip archive around a checkpoint: checked against itself before anything in it is believed."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

from kernelscope.checkpoints.other_kinds import EXPORTED, KERAS, SCRIPTED
from kernelscope.errors import UnreadableInput, one_line

FIX = "give a checkpoint saved by torch.save"
COPY = "copy or download it again"
MAX_MEMBERS = 50_000
#: end record of a zip; its 64-bit twin with the pointer to it stand right before
_END, _POINTER, _END64 = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"


def checked_pickle(path: Path, content: bytes) -> bytes:
    """The pickle in an archive of one root, its members stored as they are, within the file, with the right checksums.

    torch does not check the archive's checksums, so one flipped byte would load silently: they are checked here.

    Raises:
        UnreadableInput: naming another kind of archive, or what is wrong with this one.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        _refuse_other_archives(path, [member.filename for member in members])
        if sum(member.file_size for member in members) > len(content) or len(members) > MAX_MEMBERS:
            raise UnreadableInput(f"{path} would unpack to more than it holds; {FIX}")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise UnreadableInput(f"{path} is a compressed archive, which torch.save never writes; {FIX}")
        if any(member.flag_bits & 1 for member in members):
            raise UnreadableInput(f"{path} is an encrypted archive, which torch.save never writes; {FIX}")
        if any(member.external_attr & 0x10 or member.is_dir() for member in members):
            # torch reads a member that is marked as a folder as whatever lay in memory
            raise UnreadableInput(f"{path} is corrupt: a tensor is marked as a folder; {COPY}")
        _require_one_reading(path, content, members)
        broken = archive.testzip()
        if broken is not None:
            raise UnreadableInput(f"{path} is corrupt: {one_line(Path(broken).name, 40)} fails its checksum; {COPY}")
        return archive.read(_pickle_in(archive.namelist()))


def _pickle_in(names: list[str]) -> str:
    """The member that torch loads: it stands right in the root, which the first member's name begins with."""
    return f"{names[0].partition('/')[0]}/data.pkl" if names else ""


def _refuse_other_archives(path: Path, names: list[str]) -> None:
    if any(name.endswith(".npy") for name in names):
        raise UnreadableInput(f"{path} is a NumPy .npz archive, not a checkpoint; {FIX}")
    if "model.weights.h5" in names:
        raise UnreadableInput(f"{path} is a Keras file; {KERAS}")
    if any("/code/" in name or name.endswith("constants.pkl") for name in names):
        raise UnreadableInput(f"{path} is a TorchScript program; {SCRIPTED}")
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        raise UnreadableInput(f"{path} is a torch.export program; {EXPORTED}")
    if _pickle_in(names) not in names:
        raise UnreadableInput(f"{path} is a zip archive without a checkpoint in it; {FIX}")


def _require_one_reading(path: Path, content: bytes, members: list[zipfile.ZipInfo]) -> None:
    """Two readers find the same members: checked by one and loaded by another, a file must not be two files.

    torch's reader takes names in any case, follows the pointer to the 64-bit end record, and skips what stands
    before or behind; Python's takes the last of equal names and looks for that record by its place.
    """
    names = [member.filename for member in members]
    plain = (
        len({name.casefold() for name in names}) == len(names)
        and len({name.partition("/")[0] for name in names}) == 1
        and not any(".." in name.split("/") for name in names)
        and all(member.filename == member.orig_filename for member in members)
        and min(member.header_offset for member in members) == 0
    )
    if not plain or not _ends_plainly(content):
        raise UnreadableInput(f"{path} is damaged, or an archive that can be read in two ways; {FIX}")


def _ends_plainly(content: bytes) -> bool:
    """The end record stands at the very end, and its 64-bit twin, if there is one, where its pointer points."""
    size, tail = len(content), content[-98:]
    if tail[-22:-18] != _END or tail[-2:] != b"\0\0":
        return False
    if tail[-42:-38] != _POINTER:
        return True
    return tail[:4] == _END64 and struct.unpack("<Q", tail[-34:-26])[0] == size - 98
