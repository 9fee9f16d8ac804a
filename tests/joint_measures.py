"""What one, two and three processes measure: ``python -m tests.joint_measures FOLDER`` prints it as JSON.

``{case: [one process's answer, [those of two], [those of three]]}``, the latter of some cases; an answer is a report's
pairs, or an error.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed

import kernelscope as ks
from kernelscope import exchange
from kernelscope.errors import KernelscopeError, UnreadableInput
from kernelscope.kernels.distance.blocked import blocked_norms
from kernelscope.kernels.distance.own_kernel import own_kernel
from tests.jobs import results

ROWS = 2 * 4096 + 1001
OF_THREE = (
    "classes",
    "reproducible",
    "two runs",
    "sums",
    "nearly equal",
    "grid",
    "one row",
    "fewer rows than processes",
    "NaN",
    "torn",
    "again",
)


class Torn:
    """Rows that cannot be read from row 8,192 on, which is the last process's share."""

    def __init__(self, X: np.ndarray) -> None:
        self.X, self.shape = X, X.shape

    def __getitem__(self, rows: slice) -> np.ndarray:
        if rows.indices(len(self.X))[1] > 8192:
            raise UnreadableInput("rows from 8192 on are torn; extract them again")
        return self.X[rows]


def cases() -> Iterator[tuple[str, dict[str, Any]]]:
    rng = np.random.default_rng(0)
    T = (rng.standard_normal((ROWS, 6)) + 0.1).astype(np.float32)
    S = (T[:, :4] + 0.3 * rng.standard_normal((ROWS, 4))).astype(np.float32)
    Z = T + rng.standard_normal(T.shape).astype(np.float32)
    y = np.arange(ROWS) * 7 % 6
    holes, empty = S.copy(), T.copy()
    holes[[5, 9000]] = np.nan
    empty[:4096] = 0
    no = {"neighbours": 0}
    yield "classes", {"teacher": {"logits": T}, "student": {"logits": Z}, "labels": y, "groups": y // 2 * 9, **no}
    yield "reproducible", {"teacher": {"logits": T}, "student": {"logits": Z}, "labels": y, "reproducible": True}
    yield "nearly equal", {"teacher": T, "student": T + np.float32(1e-6) * T[:, ::-1], "labels": y, **no}
    yield "equal", {"teacher": T, "student": T.copy(), **no}
    yield "far from 0", {"teacher": T + 1000, "student": S, "centre": True, "normalize": True, **no}
    yield "split classes", {"teacher": T, "student": S, "landmarks": "class-means:2", "labels": y, **no}
    yield "leverage", {"teacher": T, "student": S, "landmarks": "leverage:7", "route": "tsqr", **no}
    yield "grid", {"teacher": {"a": T, "b": T[:, :3]}, "student": {"c": S, "d": S[:, :3]}, "pairs": "all"}
    yield "empty share", {"teacher": empty, "student": S, **no}
    yield "rbf", {"teacher": T[:1101], "student": S[:1101], "kernel": "rbf", "route": "blocked"}
    yield "ridge", {"teacher": T, "student": S, "kernel": "ridge", **no}
    yield "neighbours", {"teacher": T[:5001], "student": S[:5001], "neighbours": 3}
    yield "sums", {"teacher": T, "student": S, "labels": y, "sums_out": Path(os.environ["JOINT_SUMS"]) / "sums.kss"}
    torch.manual_seed(0)
    networks = {"teacher": torch.nn.Linear(6, 5), "student": torch.nn.Linear(6, 5), "data": (T, y), "layers": "logits"}
    once = {**networks, "features": False, "batch_size": 100, "groups": np.arange(ROWS) // 3000}
    yield "one run", once
    yield "two runs", {**once, "passes": 2, "groups": np.arange(ROWS) // 30 % 200}
    yield "one row", {"teacher": T[:1], "student": S[:1]}
    yield "fewer rows than processes", {"teacher": T[:2], "student": S[:2]}
    yield "tiny", {"teacher": T * np.float64(1e-120), "student": S * np.float64(1e-120), **no}
    yield "NaN", {"teacher": T, "student": holes}
    yield "torn", {"teacher": T, "student": Torn(S)}
    yield "zero", {"teacher": np.zeros_like(T), "student": S}
    yield "again", {"teacher": T[:5000], "student": S[:5000], **no}  # after errors


def answers() -> dict[str, Any]:
    found = {}
    for name, given in cases():
        if distributed.is_initialized() and distributed.get_world_size() == 3 and name not in OF_THREE:
            continue
        try:
            found[name] = json.loads(ks.measure(**given).to_json())["pairs"]
        except KernelscopeError as error:
            found[name] = f"{type(error).__name__}: {error}"
    wide, narrow = np.random.default_rng(1).standard_normal((130, 150)), np.random.default_rng(2).normal(size=(601, 9))
    with exchange.joint():  # in blocks of a few rows
        found["kernel of wide rows"] = own_kernel(wide, memory_bytes=2**17).K[::7, ::9].tolist()
        norms = blocked_norms(teacher=narrow, student=narrow[:, :5], memory_bytes=2**18)
        found["norms by blocks"] = [norms.difference, norms.student, norms.teacher, norms.trace_teacher]
    found["shards"] = ks.measure(sums=Path(os.environ["JOINT_SUMS"]) / "sums.kss").meta["shards"]
    if distributed.is_initialized():  # as it was
        total = torch.ones(1)
        distributed.all_reduce(total)
        assert total == distributed.get_world_size()
    return found


def main(folder: str) -> None:
    os.environ["JOINT_SUMS"] = folder
    one = answers()
    many = {count: results(Path(folder) / str(count), count, answers) for count in (2, 3)}
    found = {name: [one[name]] for name in one}
    for ranks in many.values():
        for name in ranks[0]:
            found[name].append([each[name] for each in ranks])
    print(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1])
