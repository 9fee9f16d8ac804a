"""What is fuzzed: a reader each, with the files that it starts from, all made here.

A target takes any bytes and reads them, or refuses them by an error of ours that is no lack of memory.
"""

import dataclasses
import importlib.util
import io
import json
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import safetensors.torch
import torch

import kernelscope
from kernelscope import isolated
from kernelscope.checkpoints import checkpoint, containers, weights_file
from kernelscope.datasets import hdf5_inputs, hdf5_outline
from kernelscope.datasets.arrays import TEXT_NAMES
from kernelscope.datasets.cifar_pickle import read_pickle
from kernelscope.datasets.image_files import decoded
from kernelscope.datasets.sources import load
from kernelscope.errors import UnreadableInput
from kernelscope.features import opening, outline, pinned, sums_file
from kernelscope.features.kinds import features_in, open_features
from kernelscope.features.store import FeatureStore
from kernelscope.measurement import from_sums
from kernelscope.measurement.given_labels import per_example
from kernelscope.measurement.pair_numbers import PairSettings
from kernelscope.plain_file import OpenFile
from kernelscope.report.report import TransferReport
from tests.checkpoints.hostile_files import saved
from tests.datasets.foreign_layouts import python2_pickle
from tests.datasets.test_hdf5_inputs import LIES, X, told
from tests.datasets.test_whole_images import GOOD, MISSING, PACKED
from tests.features.test_hostile_stores import D, N, features, write
from tests.forked import in_a_child
from tests.pickles.structures import STRUCTURES
from tests.report.sample_reports import bare_report, full_report

SMALL = {"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.zeros(2)}
LONGEST = 20_000  #: bytes of a seed: a fuzzer learns little from long ones


@dataclass(frozen=True)
class Target:
    """``read`` takes the path of a file that holds ``wrapped`` bytes; ``suffix`` is that of its name."""

    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    suffix: str = ""
    wrapped: Callable[[bytes], bytes] = bytes


def _saved_arrays(save: Callable, *arrays: object, **named: object) -> bytes:
    stream = io.BytesIO()
    save(stream, *arrays, **named)
    return stream.getvalue()


def _members() -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(saved(SMALL))) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


MEMBERS = _members()
PICKLE = next(body for name, body in MEMBERS if name.endswith("data.pkl"))


def archived(program: bytes) -> bytes:
    """A checkpoint whose pickle is ``program``, its checksums right."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, body in MEMBERS:
            archive.writestr(name, program if name.endswith("data.pkl") else body)
    return stream.getvalue()


def read_weights(path: Path) -> None:
    with weights_file.opened(path) as contents:
        checkpoint.checkpoint_in(contents, path)
        containers.places(contents.document, str(path))


def read_inputs(path: Path) -> None:
    whole = load(str(path))
    whole.batch(0, min(whole.n, 300))


def read_arrays(path: Path) -> None:
    if (found := features_in(path)) is None:
        raise UnreadableInput("no features")
    for layer in found.layers:
        np.asarray(found.features(layer)[:300])


def read_shards(path: Path) -> None:
    """The bytes are one of two files that are one side."""
    (path.parent / "shards").mkdir(exist_ok=True)
    np.savez(path.parent / "shards/a.npz", x=np.zeros((3, 2), np.float32), labels=np.arange(3))
    (path.parent / "shards/b.npz").write_bytes(path.read_bytes())
    found = open_features(path.parent / "shards")
    for layer in found.layers:
        np.asarray(found.features(layer)[:300])


def read_parquet(path: Path) -> None:
    from kernelscope.features.parquet_rows import open_parquet

    found = open_parquet(path, None)
    for rows in (*map(found.features, found.layers), found.ids):
        if rows is not None:
            np.asarray(rows[:300])


def read_store(path: Path) -> None:
    answer = in_a_child(lambda: outline.read_outline(path))
    FeatureStore(path, opening.with_places(path, opening.answered(path, *answer))).verify()


def read_sums(path: Path) -> None:
    answer = in_a_child(lambda: hdf5_outline.outline(str(path), set()))
    stated = isolated.answered("outline", path, *answer, fix="save it again")
    sums = sums_file.sums_in_arrays(path, hdf5_inputs.arrays_of(path, OpenFile(path), stated, sums_file.FORMAT))
    from_sums.report_of(sums, PairSettings(None, "auto", 1e-6, None, "cpu", 0))


def read_reference(path: Path) -> None:
    answer = in_a_child(lambda: hdf5_outline.outline(str(path), set()))
    stated = isolated.answered("outline", path, *answer, fix="save it again")
    found = pinned.pinned_in_arrays(path, hdf5_inputs.arrays_of(path, OpenFile(path), stated, pinned.FORMAT))
    kernelscope.drift(pinned=found, student={layer.name: found.features(layer) for layer in found.layers})


def read_hdf5(path: Path) -> None:
    answer = in_a_child(lambda: hdf5_outline.outline(str(path), set(TEXT_NAMES)))
    _rows_of(path, isolated.answered("outline", path, *answer, fix="save it again"))


def read_told(path: Path) -> None:
    """The bytes are what a child tells of the file."""
    stated = isolated.answered("outline", path, 0, path.read_bytes(), b"", fix="save it again")
    with path.open("r+b") as stream:
        stream.truncate(4096)
    _rows_of(path, stated)


def _rows_of(path: Path, stated: object) -> None:
    for rows in hdf5_inputs.arrays_of(path, OpenFile(path), stated).values():
        if getattr(rows, "ndim", 0) and len(rows) and rows.nbytes // len(rows) < 2**20:
            np.asarray(rows[:300])


def read_labels(path: Path) -> None:
    per_example(path, 30, "labels")


def read_report(path: Path) -> None:
    TransferReport.load(path)


def _hdf5(**options: object) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.create_dataset("x", data=X[:9], **options)
        file["labels"] = [b"dog", b"cat", b"dog"] * 3
    return stream.getvalue()


def _stores() -> list[bytes]:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"seed-{os.getpid()}.h5"
    write(path, features(N, D))
    content = path.read_bytes()
    path.unlink()
    return [content]


def _sums() -> list[bytes]:
    folder = Path(tempfile.mkdtemp())
    X, y = np.arange(24.0).reshape(8, 3) - 7, np.arange(8) % 2
    found = []
    for name, options in (("p", {}), ("g", {"reproducible": True})):
        kernelscope.measure(teacher=X, student=X[:, :2], labels=y, sums_out=folder / f"{name}.kss", **options)
        found.append((folder / f"{name}.kss").read_bytes())
    shutil.rmtree(folder)
    return found


def _outline(content: bytes) -> bytes:
    with h5py.File(io.BytesIO(content)) as file:
        return file["outline"][:].tobytes()


def around_outline(text: bytes) -> bytes:
    """A file of sums with this outline, whose checksum is right."""
    return _with_outline(SUMS[-1], text)


def around_outline_of_reference(text: bytes) -> bytes:
    """The same of pinned rows."""
    return _with_outline(PINNED[0], text)


def _with_outline(whole: bytes, text: bytes) -> bytes:
    stream = io.BytesIO()
    with h5py.File(io.BytesIO(whole)) as given, h5py.File(stream, "w") as file:
        file.attrs["format"] = given.attrs["format"]
        for name in given.keys() - {"outline", "outline_crc32"}:
            file[name] = given[name][:]
        file["outline"] = np.frombuffer(text, np.uint8)
        file["outline_crc32"] = np.array([zlib.crc32(text)], "<u4")
    return stream.getvalue()


def _pinned() -> list[bytes]:
    X = np.random.default_rng(0).standard_normal((30, 2))
    with tempfile.TemporaryDirectory() as folder:
        kernelscope.pin({"a": X, "b": X}, at_most=["change=0.1"], out=f"{folder}/r.ksref")
        return [Path(folder, "r.ksref").read_bytes()]


def _arrays() -> list[bytes]:
    x, y = np.arange(60, dtype=np.float32).reshape(30, 2), np.arange(30) % 3
    packed = _saved_arrays(np.savez_compressed, x=x, labels=y)
    return [
        _saved_arrays(np.save, x), _saved_arrays(np.save, y), _saved_arrays(np.save, np.array(["a", "b"] * 15)),
        _saved_arrays(np.savez, x=x, labels=y), packed, _saved_arrays(np.savez, input_ids=y[:, None]),
    ]  # fmt: skip


def _parquet() -> list[bytes]:
    import pyarrow as pa
    from pyarrow import parquet

    x, found = np.arange(60, dtype=np.float32), []
    kinds = (
        pa.FixedSizeListArray.from_arrays(pa.array(x), 2),
        pa.array(x.reshape(30, 2).tolist(), pa.list_(pa.float32())),
    )
    for vectors in kinds:
        for compression in ("snappy", "none"):
            stream = io.BytesIO()
            content = pa.table({"x": vectors, "id": np.arange(30), "label": ["a", "b"] * 15})
            parquet.write_table(content, stream, row_group_size=11, compression=compression)
            found.append(stream.getvalue())
    return found


def _tensors() -> list[bytes]:
    content = {"features": torch.arange(60.0).reshape(30, 2), "labels": torch.arange(30) % 3}
    return [safetensors.torch.save(content), saved(content), saved(content["features"].bfloat16())]


def _programs() -> list[bytes]:
    return [body for body in STRUCTURES.values() if len(body) < LONGEST]


def _reports() -> list[bytes]:
    full = full_report()
    one = dataclasses.replace(full, pairs=full.pairs[:1], comparisons=(), networks=full.networks[:1])
    return [one.to_json().encode(), bare_report().to_json().encode(), b"[" * 5000, b'{"format": "kernelscope.report"}']


def _told() -> Iterator[dict]:
    yield told([[i, 8 * i, 8, 0] for i in range(4)])
    yield told([[i, 8 * i, 8, 0] for i in range(4)], filters=[[2, [4]], [1, [4]], [3, []]])
    yield told([[i, 8 * i, 8, 0] for i in range(4)], filters=[[32000, []]])
    yield from LIES.values()


SUMS = _sums()
PINNED = _pinned()
TARGETS = {
    "checkpoint": Target(
        lambda: [saved(SMALL), saved(SMALL, _use_new_zipfile_serialization=False), archived(b"\x80\x02}.")],
        read_weights,
    ),
    "checkpoint_pickle": Target(lambda: [PICKLE, *_programs()], read_weights, wrapped=archived),
    "safetensors": Target(lambda: [safetensors.torch.save(SMALL)], read_weights),
    "cifar_pickle": Target(
        lambda: [python2_pickle({"data": np.zeros((2, 9), np.uint8), "labels": [1, 2]}), *_programs()], read_pickle
    ),
    "feature_arrays": Target(_arrays, read_arrays, ".npz"),
    "feature_tensors": Target(_tensors, read_arrays, ".pt"),
    "feature_text": Target(
        lambda: [b"a,b,label\n1,2,x\n3,4e5,y\n", b"1 2\n3 4\n", b",0,1\n0,.5,2\n"], read_arrays, ".csv"
    ),
    "feature_shards": Target(_arrays, read_shards),
    "feature_vectors": Target(lambda: [struct.pack("<II", 3, 2) + bytes(24)], read_arrays, ".fbin"),
    "input_npy": Target(_arrays, read_inputs, ".npy"),
    "input_npz": Target(_arrays, read_inputs, ".npz"),
    "feature_store": Target(_stores, read_store, ".h5"),
    "sums": Target(lambda: SUMS, read_sums, ".kss"),
    "reference": Target(lambda: PINNED, read_reference, ".ksref"),
    "outline_of_reference": Target(
        lambda: [_outline(seed) for seed in PINNED], read_reference, ".ksref", around_outline_of_reference
    ),
    "outline_of_sums": Target(lambda: [_outline(seed) for seed in SUMS], read_sums, ".kss", around_outline),
    "input_hdf5": Target(
        lambda: [
            _hdf5(),
            _hdf5(chunks=(4, 3, 7, 5), compression="gzip"),
            _hdf5(chunks=(2, 3, 7, 5), compression="lzf"),
        ],
        read_hdf5,
        ".h5",
    ),
    "told_of_hdf5": Target(lambda: [json.dumps({"outline": each}).encode() for each in _told()], read_told, ".h5"),
    "image": Target(
        lambda: [*GOOD.values(), *PACKED.values(), *MISSING.values()], lambda path: decoded(path.read_bytes(), path)
    ),
    "report": Target(_reports, read_report, ".json"),
    "labels": Target(_arrays, read_labels, ".npy"),
}
if importlib.util.find_spec("pyarrow"):
    TARGETS["feature_parquet"] = Target(_parquet, read_parquet, ".parquet")
