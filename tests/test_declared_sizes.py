"""A few bytes that declare much are a lie of the file: exit 3, soon, in little memory; in every reader."""

import io
import json
import os
import resource
import signal
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from kernelscope.checkpoints import weights_file
from kernelscope.datasets.image_files import decoded
from kernelscope.datasets.sources import load
from kernelscope.errors import KernelscopeError
from kernelscope.features.kinds import open_features
from kernelscope.features.pinned import read_pinned
from kernelscope.features.sums_file import read_sums
from kernelscope.numpy_files import load_npy
from kernelscope.report.report import TransferReport
from tests.checkpoints.hostile_files import saved

ROOM, SECONDS = 600 << 20, 20
ROWS = [10**6, 10**12, 2**62, 2**70]


def header(shape, descr="<f8"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def zipped(members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def named(name, content):
    return lambda folder: (folder / name, (folder / name).write_bytes(content))[0]


def shard(name, content):
    """The file, and beside it one that is sound, as one side."""

    def write(folder):
        np.save(folder / "a.npy", np.zeros((5, 8)))
        return Path(f"shards:{named(name, content)(folder).parent}/*.npy")

    return write


def npz_that_lies(rows):
    """The directory agrees with the header; the packed bytes do not."""
    content = zipped([("x.npy", header((1000, 8)) + bytes(64_000))], zipfile.ZIP_DEFLATED)
    size = struct.pack("<I", len(header((1000, 8))) + 64_000)
    return content.replace(size, struct.pack("<I", 2**32 - 2 if rows > 2**32 else 10**9))


def h5(make):
    def write(folder):
        with h5py.File(folder / "x.h5", "w") as file:
            make(file)
        return folder / "x.h5"

    return write


def safetensors(rows):
    described = json.dumps({"w": {"dtype": "F32", "shape": [rows, 8], "data_offsets": [0, 32]}}).encode()
    return struct.pack("<Q", len(described)) + described + bytes(32)


def png(width, height, kind=2, extra=b""):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + start + extra + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def image(kind, side):
    if kind == "png":
        return png(side, side)
    if kind == "bmp":
        return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, *[0] * 6)
    if kind == "ppm":
        return b"P6 %d %d 255 abc" % (side, side)
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), (1, 2, 3)).save(stream, kind)
    content = stream.getvalue()
    if kind == "jpeg":
        at = content.index(b"\xff\xc0") + 5
        return content[:at] + struct.pack(">HH", min(side, 65535), min(side, 65535)) + content[at + 4 :]
    if kind == "tiff":
        found = next(c for c in (struct.pack("<HHII", 257, width, 1, 16) for width in (3, 4)) if c in content)
        return content.replace(found, struct.pack("<HHII", 257, 4, 1, side))
    return content


def read_image(path):
    decoded(path.read_bytes(), path)


def read_weights(path):
    with weights_file.opened(path):
        pass


def pinned(rows):
    """Pinned rows whose outline is whole, of which none is written."""

    def make(file):
        file.attrs["format"] = "kernelscope.reference"
        layer = {"name": "a", "width": 8, "pool": None, "scale": 1.0, "floor": 0.0, "limit": 0.1}
        outline = {"format_version": 1, "dtype": "float32", "n": rows, "layers": [layer], "crc32": {"rows0000": 0}}
        text = np.frombuffer(json.dumps(outline).encode(), "u1")
        file["outline"], file["outline_crc32"] = text, np.array([zlib.crc32(text)], "<u4")
        file.create_dataset("rows0000", (rows, 8), "f4")

    return h5(make)


def sums(rows):
    """A file of sums whose outline is whole, and whose Gram is of ``rows`` rows, of which none is written."""

    def make(file):
        file.attrs["format"] = "kernelscope.sums"
        layer = {"role": "teacher", "name": "a", "width": rows, "dtype": "float32", "pool": None, "constant": False}
        text = np.frombuffer(json.dumps({"format_version": 1, "kernel": "linear", "layers": [layer]}).encode(), "u1")
        file["outline"], file["outline_crc32"] = text, np.array([zlib.crc32(text)], "<u4")
        file.create_dataset("own0000", (rows, 8), "f8")

    return h5(make)


def read_inputs(path):
    found = load(str(path))
    found.batch(0, found.n)


def old_torch(rows):
    program = saved(torch.zeros(7), _use_new_zipfile_serialization=False)
    at = program.index(b"K\x07", program.index(b"cpu"))
    number = rows.to_bytes(10, "little")
    return program[:at] + b"\x8a\x0a" + number + program[at + 2 :]


CASES = {}
for rows in ROWS:
    CASES |= {
        f"features .npy {rows}": (open_features, named("x.npy", header((rows, 8)) + bytes(640))),
        f"shards .npy {rows}": (open_features, shard("x.npy", header((rows, 8)) + bytes(640))),
        f"features .npz {rows}": (open_features, named("x.npz", zipped([("x.npy", header((rows, 8)) + bytes(64))]))),
        f"inputs .npy {rows}": (read_inputs, named("x.npy", header((rows, 8)) + bytes(640))),
        f"inputs .npy of nothing {rows}": (read_inputs, named("x.npy", header((rows, 0)))),
        f"inputs .npz {rows}": (read_inputs, named("x.npz", zipped([("x.npy", header((rows, 8)) + bytes(64))]))),
        f"inputs .npz of nothing {rows}": (read_inputs, named("x.npz", zipped([("x.npy", header((rows, 0)))]))),
        f"inputs .npz whose directory lies {rows}": (read_inputs, named("x.npz", npz_that_lies(rows))),
        f"features .safetensors {rows}": (
            open_features,
            named("x.safetensors", safetensors(rows).replace(b'"w"', b'"z"')),
        ),
        f"features .pt {rows}": (open_features, named("x.pt", old_torch(rows))),
        f"features .fbin {rows}": (open_features, named("x.fbin", struct.pack("<II", rows % 2**32, 2**31) + bytes(64))),
        f"landmarks {rows}": (load_npy, named("x.npy", header((rows,), "<i8") + bytes(640))),
        f"safetensors {rows}": (read_weights, named("t.safetensors", safetensors(rows))),
        f"old torch {rows}": (read_weights, named("t.pt", old_torch(rows))),
    }
for rows in (10**6, 10**12, 2**62):
    CASES |= {
        f"inputs .h5 {rows}": (read_inputs, h5(lambda file, n=rows: file.create_dataset("x", (n, 8), "u1"))),
        f"inputs .h5 of nothing {rows}": (read_inputs, h5(lambda file, n=rows: file.create_dataset("x", (n, 0), "u1"))),
        f"inputs .h5 in chunks {rows}": (
            read_inputs,
            h5(lambda file, n=rows: file.create_dataset("x", (n, 8), "u1", chunks=(4096, 8), compression="gzip")),
        ),
        f"inputs .h5 in one row {rows}": (
            read_inputs,
            h5(lambda file, n=rows: file.create_dataset("x", (2, n), "u1", chunks=(1, 4096), compression="gzip")),
        ),
        f"sums .kss {rows}": (read_sums, sums(rows)),
        f"pinned .ksref {rows}": (read_pinned, pinned(rows)),
        f"features .h5 {rows}": (open_features, h5(lambda file, n=rows: file.create_dataset("x", (n, 8), "f4"))),
        f"features .h5 in chunks {rows}": (
            open_features,
            h5(lambda file, n=rows: file.create_dataset("a/x", (n, 8), "f4", chunks=(4096, 8), compression="gzip")),
        ),
    }
CASES |= {
    f"{kind} {side}": (read_image, named(f"x.{kind}", image(kind, side)))
    for kind in ("png", "bmp", "ppm", "jpeg", "tiff")
    for side in (3_000, 9_000, 60_000, 2**31 - 1)
}
ZEROS = bytes(10**8)
CASES |= {
    "inputs .npz, a bomb": (
        read_inputs,
        named("x.npz", zipped([("x.npy", header((10**8, 1), "|u1") + ZEROS)], zipfile.ZIP_DEFLATED)),
    ),
    "features .npz, a bomb": (
        open_features,
        named("x.npz", zipped([("x.npy", header((10**8 // 8, 1)) + ZEROS)], zipfile.ZIP_DEFLATED)),
    ),
    "inputs .npz, bzip2": (
        read_inputs,
        named("x.npz", zipped([("x.npy", header((10**7, 1), "|u1") + ZEROS[: 10**7])], zipfile.ZIP_BZIP2)),
    ),
    "inputs .npz, many members": (
        read_inputs,
        named("x.npz", zipped([(f"{i}.npy", b"") for i in range(10_001)])),
    ),
    "inputs .npz, a header without end": (
        read_inputs,
        named("x.npz", zipped([("x.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000)])),
    ),
    "features .csv, a cell without end": (open_features, named("x.csv", b"1,2\n1," + b"9" * 10**6)),
    "features .csv, many columns": (open_features, named("x.csv", b"1," * 10**6)),
    "features .csv, another width": (open_features, named("x.csv", b"1,2\n" * 10**5 + b"1\n")),
    "features .safetensors, deep": (
        open_features,
        named("x.safetensors", struct.pack("<Q", 10**5) + b'{"a":' * 20_000),
    ),
    "report, deep": (TransferReport.load, named("r.json", b"[" * 10**6)),
    "report, a number without end": (
        TransferReport.load,
        named("r.json", b'{"format": "kernelscope.report", "format_version": 1, "meta": %s}' % (b"9" * 5000)),
    ),
    "safetensors, deep": (read_weights, named("t.safetensors", struct.pack("<Q", 10**5) + b'{"a":' * 20_000)),
}  # fmt: skip


def ends(read, path, writing):
    """In a child with little room and time: the exit code that reading ends with, and its message."""
    room = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    try:
        read(path)
        answer = [0, "it was read"]
    except KernelscopeError as error:
        answer = [error.exit_code, str(error)]
    except BaseException as error:
        answer = [1, repr(error)]
    os.write(writing, json.dumps(answer).encode()[:60_000])
    os._exit(0)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a child")
@pytest.mark.parametrize("case", CASES)
def test_what_a_file_cannot_hold_is_refused_soon_in_little_memory(case, tmp_path):
    read, write = CASES[case]
    path = write(tmp_path)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        ends(read, path, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        answer = stream.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, case
    code, message = json.loads(answer)
    assert code == 3, message
    assert message.isprintable() and len(message.replace(str(path.parent).removeprefix("shards:"), "")) <= 200
