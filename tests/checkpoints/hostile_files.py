"""Files of weights that are broken, hostile or something else: each with its exit code and a piece of the refusal."""

import collections
import io
import os
import pickle
import struct
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tests.checkpoints.foreign_files import network, weights

UNREADABLE, MISMATCH, NUMERICAL = 3, 4, 5
KINDS = {}


@dataclass
class Hostile:
    """How to write a file, and how reading it has to end."""

    make: object
    code: int
    piece: str

    def write(self, folder):
        made = self.make(folder)
        if isinstance(made, Path):
            return made
        path = folder / "t.pt"
        path.write_bytes(made) if isinstance(made, bytes) else torch.save(made, path)
        return path


def plain(name, make, piece, code=UNREADABLE):
    """Register what needs no statements: bytes are written, anything else is saved by torch."""
    KINDS[name] = Hostile(lambda folder: make(), code, piece)


def kind(name, piece, code=UNREADABLE):
    """Register a function from a folder to a path, bytes or what torch shall save."""

    def register(make):
        KINDS[name] = Hostile(make, code, piece)
        return make

    return register


def saved(content=None, **options):
    stream = io.BytesIO()
    torch.save(weights() if content is None else content, stream, **options)
    return stream.getvalue()


def rewritten(change, content=None, compression=zipfile.ZIP_STORED):
    """The archive of a good checkpoint with ``change`` applied to its list of (name, bytes)."""
    with zipfile.ZipFile(io.BytesIO(saved(content))) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, body in change(members):
            archive.writestr(name, body)
    return stream.getvalue()


def with_pickle(program, content=None):
    """The whole archive of ``content``, but its pickle is ``program``."""
    return rewritten(lambda members: [(n, program if n.endswith("data.pkl") else body) for n, body in members], content)


def pickle_of(content):
    """The pickle in the archive of ``content``."""
    with zipfile.ZipFile(io.BytesIO(saved(content))) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


# ---- something else ----
plain("empty", lambda: b"", "is empty (0 bytes)")
plain("words", lambda: b"epoch,loss\n1,0.3\n", "is not a torch file")
plain("noise", lambda: np.random.default_rng(0).bytes(4000), "is not a torch file")
plain("git-lfs", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "run git lfs pull")
plain("a web page", lambda: b"\n<!DOCTYPE html><html>Sign in</html>", "is an HTML page")
plain("JSON", lambda: b'{"error": "Repository not found"}', "is JSON text")
plain("gzip", lambda: b"\x1f\x8b\x08" + bytes(50), "is a gzip file, not a checkpoint; unpack it first")
plain("an image", lambda: b"\x89PNG\r\n\x1a\n" + bytes(50), "is a PNG image")
plain("a program", lambda: b"\x7fELF" + bytes(50), "is a program")
plain("HDF5", lambda: b"\x89HDF\r\n\x1a\n" + bytes(90), "is an HDF5 file")
plain("a pickle", lambda: pickle.dumps({"w": [1.0]}, protocol=5), "is a pickle of protocol 5, which may run code")
plain("an old pickle", lambda: pickle.dumps({"w": [1.0]}, protocol=2), "damaged")
plain("a list", lambda: [1, 2], "holds a list, not weights")
plain("a tensor", lambda: torch.zeros(3), "holds a Tensor, not weights")
plain("no weights", lambda: {"epoch": 3}, "holds no weights")
plain("an optimizer alone", lambda: torch.optim.SGD(network().parameters(), 0.1).state_dict(), "holds no weights")
plain("arrays", lambda: {key: value.numpy() for key, value in weights().items()}, "holds no weights")
plain("an empty zip", lambda: b"PK\x05\x06" + bytes(18), "without a checkpoint in it")


@kind("missing", "does not exist")
def _missing(folder):
    return folder / "no.pt"


@kind("a name too long for the system", "cannot be read (File name too long)")
def _long_name(folder):
    return folder / ("x" * 300)


@kind("a folder", "is not a regular file")
def _folder(folder):
    return folder


@kind("a pipe", "is not a regular file")
def _pipe(folder):
    os.mkfifo(folder / "t.pt")
    return folder / "t.pt"


@kind("npz", "is a NumPy .npz archive")
def _npz(folder):
    with (folder / "t.pt").open("wb") as stream:
        np.savez(stream, a=np.zeros(3))
    return folder / "t.pt"


@kind("a tar archive", "is a tar archive; unpack it")
def _tar(folder):
    with tarfile.open(folder / "t.tar", "w") as archive:
        archive.add(__file__, "t.pt")
    return folder / "t.tar"


@kind(
    "TorchScript", "is a TorchScript program; save its weights: torch.save(torch.jit.load(FILE).state_dict(), 't.pt')"
)
def _torchscript(folder):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), folder / "t.pt")
    return folder / "t.pt"


@kind(
    "torch.export",
    "is a torch.export program; save its weights: torch.save(torch.export.load(FILE).state_dict, 't.pt')",
)
def _exported(folder):
    program = torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(program, folder / "t.pt2")
    return folder / "t.pt2"


# ---- damage ----
plain("half of it", lambda: saved()[: len(saved()) // 2], "is truncated after")
plain("all but the end", lambda: saved()[:-1], "truncated")
plain("without its head", lambda: saved()[40:], "damaged")
plain("something behind it", lambda: saved() + b"more", "can be read in two ways")
plain("something before it", lambda: b"\x80\x02" + saved(), "can be read in two ways")
plain("a flipped bit", lambda: flipped(saved(), saved().index(weights()["fc.weight"].numpy().tobytes())), "checksum")
plain("old and cut", lambda: saved(_use_new_zipfile_serialization=False)[:-100], "truncated or damaged")


def flipped(content, at, bit=0):
    """``content`` with one bit of one byte changed."""
    return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]


# ---- archives with an intention ----
plain("a bomb", lambda: rewritten(lambda m: [*m, ("a/data/99", bytes(10**8))], None, zipfile.ZIP_DEFLATED), "unpack")
plain("compressed", lambda: rewritten(lambda m: [*m, ("a/x", os.urandom(10**5))], None, zipfile.ZIP_DEFLATED), "compr")
plain("two roots", lambda: rewritten(lambda m: [*m, ("other/data.pkl", b"N.")]), "read in two ways")
plain("the same name in capitals", lambda: rewritten(lambda m: [*m, (m[0][0].upper(), b"N.")]), "read in two ways")
plain("two pickles", lambda: rewritten(_two_pickles), "without end")
plain(
    "a name that ends early",
    lambda: rewritten(lambda m: [*m, ("archive/zz", b"")]).replace(b"archive/zz", b"archive/z\0"),
    "read in two ways",
)
plain("a way out", lambda: rewritten(lambda m: [*m, (f"{m[0][0][:7]}/../../x", b"")]), "read in two ways")
plain("a missing tensor", lambda: rewritten(lambda m: [x for x in m if not x[0].endswith("/data/0")]), "damaged")
plain("a short tensor", lambda: rewritten(lambda m: [(n, b[:4] if n.endswith("/data/0") else b) for n, b in m]), "dam")


def _two_pickles(members):
    """A harmless one deeper in, before the one that torch loads."""
    root = members[0][0].partition("/")[0]
    rest = [(name, body) for name, body in members if not name.endswith("/data.pkl")]
    return [(f"{root}/x/data.pkl", b"\x80\x02}."), *rest, (f"{root}/data.pkl", HASH_BOMB)]


@kind("two ends", "can be read in two ways")
def _two_ends(folder):
    """The pointer leads to another directory than the one that stands before it."""
    good = saved()
    at = good.rindex(b"PK\x06\x07")
    return good[: at + 8] + struct.pack("<Q", 0) + good[at + 16 :]


@kind("encrypted", "is an encrypted archive")
def _encrypted(folder):
    content = bytearray(rewritten(lambda members: members))
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1
    return bytes(content)


# ---- pickles with an intention ----
HASH_BOMB = b"\x80\x02}K\x01" + b"\x85q\x00h\x00\x86" * 60 + b"K\x01s."


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


plain("a shell", lambda: {"x": Call(os.system, "touch ran"), **weights()}, "need code to load (posix.system)")
plain("eval", lambda: {"x": Call(eval, "open('ran', 'w')"), **weights()}, "need code to load (builtins.eval)")
plain("a shell, old", lambda: saved({"x": Call(os.system, "true")}, _use_new_zipfile_serialization=False), "posix.sy")
plain("a network, old", lambda: saved(nn.Linear(2, 2), _use_new_zipfile_serialization=False), "need code to load (to")
plain("tuples to hash", lambda: with_pickle(HASH_BOMB), "without end")
plain("tuples in depth", lambda: with_pickle(b"\x80\x02}K\x01" + b"\x85" * 10**6 + b"K\x01s."), "without end")
plain(
    "many long numbers",
    lambda: with_pickle(b"\x80\x02](" + (b"\x8a\x0a" + bytes(9) + b"\x01") * 9000 + b"e."),
    "beyond 64",
)
plain("a bytearray of gigabytes", lambda: with_pickle(call("builtins bytearray", 2**32)), "on something else than text")
plain("bytes that double", lambda: with_pickle(call("_codecs encode", "a", "hex")), "on something else than text")
plain("a set of a terabyte", lambda: {"a": Call(set, torch.ones(1).expand(10**12))}, "of builtins.set on an object")
plain("a list of bytes by an old name", lambda: with_pickle(call("__builtin__ bytearray", 2**32)), "else than text")
plain("a count by an old name", lambda: with_pickle(OLD_NAME), "Counter on an object")
plain("a tensor of a number", lambda: with_pickle(call("torch FloatTensor", 10**9)), "a call of torch.FloatTensor")
plain("a call in disguise", lambda: with_pickle(DISGUISED), "a tensor made by builtins.bytearray")
plain("a call without a tuple", lambda: with_pickle(b"\x80\x02cbuiltins\nset\n]R."), "without a tuple")
plain("a thousand over the same bytes", lambda: tied(1000), "many large tensors over the same bytes")
plain("text of an exabyte", lambda: with_pickle(b"\x80\x02\x8d" + bytes(7) + b"\x10."), "is damaged")
plain("an unknown operation", lambda: with_pickle(b"\x80\x02K\x010."), "pickle operation POP")
plain("a newer protocol", lambda: saved(pickle_protocol=4), "pickle operation")
plain("nothing on the stack", lambda: with_pickle(b"\x80\x02R."), "is damaged")
plain("a memo without a note", lambda: with_pickle(b"\x80\x02h\x07."), "is damaged")
plain("a pickle without end", lambda: with_pickle(b"\x80\x02}"), "is damaged")
plain("lists that double", lambda: {"a": doubled(), "epoch": 3}, "holds no weights")


def call(name, *arguments):
    """A pickle that calls one function."""
    return b"\x80\x02c" + name.replace(" ", "\n").encode() + b"\n" + pickle.dumps(arguments, 2)[2:-1] + b"R."


DISGUISED = b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cbuiltins\nbytearray\nctorch\nTensor\nK\x08\x85}tR."


COUNT = pickle_of({"a": Call(collections.Counter, torch.ones(1).expand(10**12))})
OLD_NAME = COUNT.replace(b"ccollections\nCounter", b"cUserDict\nCounter")


def tied(count):
    """The weights of a network whose every large tensor is the same bytes."""
    one = torch.zeros(2**20)
    return {f"p{i}.{key}": one for i in range(count) for key in ("layer2.0.downsample.1.num_batches_tracked",)} | {
        key: one.expand(2, 2**20)[0] for key in weights()
    }


def doubled():
    nested = ["x"]
    for _ in range(60):
        nested = [nested, nested]
    return nested


@kind("a circle of networks", "damaged")
def _circle(folder):
    net = nn.Sequential(nn.Linear(1, 1))
    net._modules["again"] = net
    return net


@kind("many classes", "classes in")
def _many_classes(folder):
    one = b"".join(b"cstrangers\nC%d\n)\x81" % i for i in range(5000))
    return with_pickle(b"\x80\x02(" + one + b"t.")


@kind("a name of gigabytes", "is damaged")
def _endless_name(folder):
    (folder / "t.pt").write_bytes(b"\x80\x02cx\n")
    os.truncate(folder / "t.pt", 2**31)
    return folder / "t.pt"


@kind("claims of a terabyte", "truncated or damaged")
def _claims(folder):
    program = saved(torch.zeros(7), _use_new_zipfile_serialization=False)
    at = program.index(b"K\x07", program.index(b"cpu"))
    return program[:at] + b"\x8a\x06" + (10**12).to_bytes(6, "little") + program[at + 2 :]
