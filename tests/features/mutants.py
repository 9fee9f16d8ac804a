"""Damaged feature files by the thousand: ``python mutants.py FILE SEED COUNT`` opens and reads that many.

It stands for ``FeatureStore.open`` except that the child is forked from this process instead of started anew and looks
at many files, so that each takes milliseconds. A crash of this process is a crash at the reading door.
"""

import io
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from kernelscope.errors import UnreadableInput, one_line
from kernelscope.features import opening, outline
from kernelscope.features.store import FeatureStore

TOGETHER = 50  # mutants that one child looks at


def mutated(content: bytes, rng: random.Random) -> bytes:
    """``content`` with one to eight bytes changed, or a piece zeroed, doubled or cut off."""
    broken = bytearray(content)
    kind = rng.random()
    at = rng.randrange(len(content))
    if kind < 0.8:
        for _ in range(rng.choice((1, 1, 1, 2, 8))):
            broken[rng.randrange(len(content))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    elif kind < 0.9:
        broken[at : at + rng.randrange(1, 64)] = bytes(rng.randrange(1, 64))
    elif kind < 0.95:
        broken[at:at] = content[at : at + rng.randrange(1, 600)]
    else:
        del broken[at:]
    return bytes(broken)


def answers(paths: list[Path]) -> Iterator[tuple[int, bytes]]:
    """Exit code and answer of a child for each file; one child looks at many, until one of them is its end."""
    while paths:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            answer_all(paths, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            lines = stream.read().splitlines()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        yield from ((0, line) for line in lines)
        paths = paths[len(lines) :]
        if paths:
            yield code, b""
            paths = paths[1:]


def answer_all(paths: list[Path], writing: int) -> NoReturn:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    outline.CPU_SECONDS = 2
    for path in paths:
        sys.stdout = io.StringIO()
        outline.main(str(path))
        os.write(writing, sys.stdout.getvalue().encode() + b"\n")
    os._exit(0)


def everything(store: FeatureStore) -> list:
    """All that a store tells, rows included."""
    said = [store.order_sha256, store.labels.tolist(), store.classes, store.arch, store.top1, store.ids[:].tolist()]
    for layer in store.layers:
        said += [layer, store.pool(layer), store.features(layer)[:].tobytes()]
    return said


def outcome(path: Path, code: int, answer: bytes, expected: list) -> str:
    """What came of opening and reading a damaged file."""
    try:
        told = opening.with_places(path, opening.answered(path, code, answer, b""))
        if told["status"] != "complete":
            return "incomplete"
        with FeatureStore(path, told) as store:
            return "harmless" if everything(store) == expected else "WRONG"
    except EOFError:
        return "cut short"
    except UnreadableInput as error:
        if one_line(str(error)) != str(error):
            return f"LONG {error}"
        return "crashed or hung the child" if "crash or hang" in str(error) else "refused"


def main(path: str, seed: str, count: str) -> None:
    good, rng = Path(path), random.Random(int(seed))
    content = good.read_bytes()
    with FeatureStore.open(good) as store:
        expected = everything(store)
    counts: Counter[str] = Counter()
    for start in range(0, int(count), TOGETHER):
        paths = [good.with_name(f"mutant-{number}.h5") for number in range(min(TOGETHER, int(count) - start))]
        for path in paths:
            path.write_bytes(mutated(content, rng))
        for path, (code, answer) in zip(paths, answers(paths), strict=True):
            counts[outcome(path, code, answer, expected)] += 1
    print(json.dumps(counts))


if __name__ == "__main__":
    signal.alarm(600)
    main(*sys.argv[1:])
