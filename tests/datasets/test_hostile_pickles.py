"""A pickle in the place of a CIFAR file runs nothing, imports nothing and makes nothing large."""

import codecs
import copyreg
import os
import pickle
import resource
import sys
import time

import numpy as np
import pytest

from kernelscope.datasets.cifar_pickle import read_pickle
from kernelscope.errors import ResourceError, UnreadableInput

codecs.lookup("raw_unicode_escape")  # Python imports this one when a pickle's text first needs it


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def global_(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


ARRAY = global_("numpy.core.multiarray", "_reconstruct") + global_("numpy", "ndarray")
DTYPE = global_("numpy", "dtype")
ENCODE = global_("_codecs", "encode")


def hostile(mark: str) -> dict[str, bytes]:
    """Files by name; those that run anything leave ``mark``."""
    touch = f"touch {mark}"
    return {
        "os.system": pickle.dumps(Calls(os.system, touch)),
        "eval": pickle.dumps(Calls(eval, f"open({mark!r}, 'w')")),
        "exec protocol 0": pickle.dumps(Calls(exec, f"open({mark!r}, 'w')"), protocol=0),
        "open": pickle.dumps(Calls(open, mark, "w")),
        "getattr": pickle.dumps(Calls(getattr, np.ndarray, "tofile")),
        "codecs.open": pickle.dumps(Calls(codecs.open, mark, "w")),
        "numpy.load": pickle.dumps(Calls(np.load, mark)),
        "numpy.fromfile": pickle.dumps(Calls(np.fromfile, "/etc/passwd")),
        "inside a dict": pickle.dumps({"data": Calls(os.system, touch)}),
        "inside a key": pickle.dumps({"data": 1, (Calls(os.system, touch),): 2}),
        "dotted": b"\x80\x04\x8c\x07_codecs\x8c\x12encode.__globals__\x93.",
        "dotted attribute": b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.tofile\x93.",
        "inst": b"(S'" + touch.encode() + b"'\nios\nsystem\n.",
        "obj": b"(" + global_("os", "system") + b"S'" + touch.encode() + b"'\no.",
        "newobj": b"\x80\x02" + global_("subprocess", "Popen") + b"(]S'touch'\na" + b"t\x81.",
        "persistent id": b"Pmodule\n.",
        "binary persistent id": b"\x80\x02K\x01Q.",
        "extension": b"\x80\x02\x82\x01.",
        "build on a stand-in": b"\x80\x02" + DTYPE + b"}S'__setstate__'\n" + ENCODE + b"sb.",
        "attributes of a stand-in": b"\x80\x02" + ENCODE + b"N}S'__code__'\nK\x01s\x86b.",
        "another module's encode": pickle.dumps(Calls(codecs.lookup, "latin1")),
        "an encoding with a hook": ENCODE + b"(V1\nVrot13\ntR.",
        "encode bytes": ENCODE + b"(C\x011Vlatin1\ntR.",
        "objects as an array": pickle.dumps({"data": np.array([Calls(os.system, touch)], dtype=object)}),
        "a shape of its own": b"\x80\x02}U\x04data" + ARRAY + b"(J\xff\xff\xff\x7ftU\x01btRs.",
        "more than its bytes": (
            b"\x80\x02}U\x04data" + ARRAY + b"(K\x00tU\x01btR(K\x01J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"
            + DTYPE + b"(U\x02u1K\x00K\x01tR\x89U\x01atbs."
        ),
        "negative": (
            b"\x80\x02}U\x04data" + ARRAY + b"(K\x00tU\x01btR(K\x01J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86"
            + DTYPE + b"(U\x02u1K\x00K\x01tR\x89U\x01atbs."
        ),
        "a memo of 2 billion": b"\x80\x02}r\xff\xff\xff\x7f.",
        "a memo by text": b"}p2000000000\n.",
        "two million lists": b"\x80\x02" + b"]0" * 1_100_000 + b"}.",
        "deep": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
        "no dict": pickle.dumps([1, 2]),
        "no stop": b"\x80\x02}",
        "a stack below 0": b"\x80\x02000.",
        "protocol 9": b"\x80\x09}.",
        "nothing": b"\0",
        "huge long": b"\x80\x02\x8b\xff\xff\xff\x7f.",
        "huge frame": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f}.",
        "huge text": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
    }  # fmt: skip


@pytest.mark.parametrize("name", hostile(""))
def test_a_hostile_pickle_is_refused_in_one_line_and_runs_nothing(name, tmp_path):
    mark = tmp_path / "ran"
    path = tmp_path / "data_batch_1"
    path.write_bytes(hostile(str(mark))[name])
    copyreg.add_extension("os", "system", 1)
    seen = []
    try:
        with watched(seen):
            before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
            with pytest.raises((UnreadableInput, ResourceError)) as caught:
                read_pickle(path)
    finally:
        copyreg.remove_extension("os", "system", 1)
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 300
    assert not mark.exists() and seen == []
    assert time.process_time() - started < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


class watched:
    """Collects what the reader does to the machine beside opening the file."""

    current: list | None = None
    hooked = False

    def __init__(self, seen):
        self.seen = seen

    def __enter__(self):
        if not watched.hooked:
            sys.addaudithook(watched.hook)
            watched.hooked = True
        watched.current = self.seen

    def __exit__(self, *exception):
        watched.current = None

    @staticmethod
    def hook(event, arguments):
        if watched.current is None:
            return
        harmful = event.startswith(("os.system", "os.exec", "subprocess", "socket", "pickle.find_class", "exec"))
        if harmful or event == "import" or (event == "open" and "w" in str(arguments[1])):
            watched.current.append((event, str(arguments)[:80]))
