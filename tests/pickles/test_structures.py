"""A short pickle ends soon, whatever it is made of: in a CIFAR file, and in a checkpoint of either kind."""

import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from kernelscope.checkpoints import weights_file
from kernelscope.datasets.cifar_pickle import read_pickle
from kernelscope.errors import KernelscopeError, UnreadableInput
from tests.checkpoints.hostile_files import saved, with_pickle
from tests.pickles.structures import STRUCTURES

SOON, SMALL = 5, 2**19  #: seconds of the processor, and kilobytes of memory
OLD = saved({"w": 1}, _use_new_zipfile_serialization=False)
#: what an old file's object begins with; three small pickles stand before it, and one after it
OBJECT = OLD.index(b"}q\x00X\x01\x00\x00\x00w") - 2


def read(path):
    with weights_file.opened(path):
        pass


def as_object(program):
    return OLD[:OBJECT] + program + b"\x80\x02]."


def as_protocol(program):
    at = OLD.index(b"\x80\x02M\xe9\x03.")
    return OLD[:at] + program + OLD[at + 6 :]


def as_keys(program):
    return OLD[: OLD.rindex(b"\x80\x02]")] + program


READERS = {
    "CIFAR": (read_pickle, lambda program: program),
    "torch": (read, with_pickle),
    "old torch": (read, as_object),
    "old torch, protocol": (read, as_protocol),
    "old torch, keys": (read, as_keys),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_short_program_ends_soon(structure, reader, tmp_path):
    door, wrapped = READERS[reader]
    path = tmp_path / "f"
    path.write_bytes(wrapped(STRUCTURES[structure]))
    started, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        door(path)
    except KernelscopeError as error:
        assert error.exit_code == 3 and str(error).isprintable() and len(str(error).replace(str(path), "")) < 200
    else:  # nothing is done with these by torch's reader, but kept
        assert reader != "CIFAR" and structure in HARMLESS
    assert time.process_time() - started < SOON
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < SMALL


#: in a file whose objects are not looked through
HARMLESS = {
    "lists in depth", "dicts in depth", "names that double", "a memo of 2 billion", "a shape of long numbers",
    "a shape of many sides",
}  # fmt: skip


def test_what_comes_up_to_a_limit_is_read(tmp_path):
    names = [f"layer{i}.weight" for i in range(5000)]
    path = tmp_path / "t.pt"
    path.write_bytes(saved({name: i for i, name in enumerate(names)} | dict.fromkeys(range(5000), 0)))
    with weights_file.opened(path) as contents:
        assert len(contents.document) == 10_000


def test_a_program_of_more_operations_than_any_file_has_is_refused(tmp_path):
    (tmp_path / "f").write_bytes(b"\x80\x02}(" + b"U\x01aK\x01" * 260_000 + b"u.")
    with pytest.raises(UnreadableInput, match="more than 500,000 pickle operations, which no CIFAR file does"):
        read_pickle(tmp_path / "f")


def test_what_python_2_wrote_in_protocol_0_is_read(tmp_path):
    """``batches.meta`` was published so."""
    meta = (
        b"(dp1\nS'num_cases_per_batch'\np2\nI10000\nsS'label_names'\np3\n(lp4\nS'airplane'\np5\naS'auto\\xe9'\np6\nas"
        b"S'num_vis'\np7\nL3072L\ns."
    )
    (tmp_path / "batches.meta").write_bytes(meta)
    assert read_pickle(tmp_path / "batches.meta") == {
        "num_cases_per_batch": 10_000,
        "label_names": [b"airplane", b"auto\xe9"],
        "num_vis": 3072,
    }


def test_what_python_2_wrote_in_protocol_2_is_read(tmp_path):
    """Texts, numbers and the array as ``data_batch_1`` has them, memo and all."""
    x = np.arange(2 * 3072, dtype=np.uint32).astype(np.uint8).reshape(2, 3072)
    content = (
        b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05(K\x06K\te"
        b"U\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85q\tU\x01bq\n\x87Rq\x0b"
        b"(K\x01K\x02M\x00\x0c\x86q\x0ccnumpy\ndtype\nq\rU\x02u1q\x0eK\x00K\x01\x87Rq\x0f(K\x03U\x01|q\x10NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x11b\x89T\x00\x18\x00\x00" + x.tobytes() + b"tq\x12b"
        b"U\tfilenamesq\x13]q\x14(U\x05a.pngq\x15U\x05b.pngq\x16eu."
    )
    (tmp_path / "data_batch_1").write_bytes(content)
    found = read_pickle(tmp_path / "data_batch_1")
    np.testing.assert_array_equal(found["data"], x)
    assert found["labels"] == [6, 9] and found["filenames"] == [b"a.png", b"b.png"]


def test_a_signal_ends_the_reading_of_a_long_program(tmp_path):
    (tmp_path / "f").write_bytes(b"\x80\x02}(" + b"U\x01aK\x01" * 240_000 + b"u.")
    script = """
        import signal, sys
        from pathlib import Path
        from kernelscope.datasets.cifar_pickle import read_pickle
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
        print("ready", flush=True)
        while True:
            read_pickle(Path(sys.argv[1]))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "f")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as child:
        child.stdout.readline()
        time.sleep(0.3)
        child.send_signal(signal.SIGTERM)
        assert child.wait(5) == 143


def test_names_that_are_no_text_are_refused(tmp_path):
    from kernelscope.datasets import cifar

    version = cifar.VERSIONS["cifar10"][1]
    (tmp_path / "batches.meta").write_bytes(b"\x80\x02}U\x0blabel_names](" + b"K\x01" * 10 + b"es.")
    with pytest.raises(UnreadableInput, match="has 0 class names, expected 10"):
        cifar._class_names(tmp_path, version, 10)
