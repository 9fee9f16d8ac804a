"""An option is honoured or refused, never ignored: whatever is asked for, the number is that of a dense oracle."""

import contextlib
import json

import numpy as np
import pytest
import torch

import kernelscope as ks
from kernelscope.activations.layer_names import among
from kernelscope.errors import KernelscopeError
from kernelscope.report.report import TransferReport
from tests.features.test_store import write

N, D_T, D_S = 40, 6, 4
CLASSES = np.arange(N) % 4
TEACHER = np.random.default_rng(0).standard_normal((N, D_T)) + CLASSES[:, None]
STUDENT = TEACHER[:, :D_S] + 0.3 * np.random.default_rng(1).standard_normal((N, D_S))
LAYERS = {
    "a": (TEACHER, STUDENT),
    "b": (TEACHER[:, ::2] ** 2, STUDENT[:, ::2] ** 2),
    "only_teacher": (TEACHER[:, :1] + 1, None),
}


def layers_of(side):
    return {name: both[side] for name, both in LAYERS.items() if both[side] is not None}


class Network(torch.nn.Module):
    """Linear layers that give the rows above from the identity."""

    def __init__(self, side):
        super().__init__()
        for name, rows in layers_of(side).items():
            layer = torch.nn.Linear(N, rows.shape[1], bias=False)
            layer.weight.data = torch.tensor(rows, dtype=torch.float32).T.contiguous()
            setattr(self, name, layer)

    def forward(self, x):
        return [layer(x) for layer in reversed(list(self.children()))][-1]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """``(teacher, student, layers of each, extra options)`` of every kind of input."""
    folder = tmp_path_factory.mktemp("kinds")
    for role, side in (("t", 0), ("s", 1)):
        np.save(folder / f"{role}.npy", LAYERS["a"][side])
        np.savez(folder / f"{role}.npz", **layers_of(side), labels=CLASSES)
        write(folder / f"{role}.h5", LAYERS["a"][side].astype(np.float32))
    for name, values in (("y", CLASSES), ("short", CLASSES[:-1]), ("rows", np.arange(N))):
        np.save(folder / f"{name}.npy", values)
    stored = [{"embedding": LAYERS["a"][side], "a/../b": 2 * LAYERS["a"][side]} for side in (0, 1)]
    one = ({"features": TEACHER}, {"features": STUDENT})
    many = (layers_of(0), layers_of(1))
    return {
        "arrays": (TEACHER, STUDENT, one, {}),
        "tensors": (torch.tensor(TEACHER), torch.tensor(STUDENT), one, {}),
        "by layer": (layers_of(0), layers_of(1), many, {}),
        "npy": (folder / "t.npy", str(folder / "s.npy"), one, {}),
        "npz": (folder / "t.npz", folder / "s.npz", many, {}),
        "h5": (folder / "t.h5", folder / "s.h5", stored, {}),
        "mixed": (TEACHER, folder / "s.npy", one, {}),
        "networks": (Network(0), Network(1), many, {"data": np.eye(N, dtype=np.float32), "layers": "a,b"}),
    }


#: values of each option, some of which mean nothing for some inputs or fit no other option
OPTIONS = {
    "limit": [1, 3, 17, 500],
    "n": [5, 30, 41],
    "split": ["validation", "all"],
    "layers": ["a", "features", "a,b", "*", "nonsense", ["b"], "only_teacher"],
    "pairs": ["a=b", "features=features", "a=a,b=b", "all", "a=nonsense", "only_teacher=a"],
    "pool": ["cls", "mean", "flatten"],
    "preprocess": [[{"op": "scale", "by": 2}], []],
    "data": ["digits"],
    "dtype": ["float16"],
    "skip_unreadable": [True],
    "teacher_arch": ["resnet20"],
    "student_arch_kwargs": [{"num_classes": 3}],
    "labels": [CLASSES, CLASSES[:-1], CLASSES.tolist()],
    "groups": [CLASSES, np.arange(N)],
    "align": ["ids"],
    "landmarks": ["uniform:5", "kmeans:3", "class-means", "leverage:2"],
    "kernel": ["cosine", "rbf:0.1", "poly:2", "ridge:0.1"],
    "centre": [True],
    "normalize": [True],
    "neighbours": [0, 3, 100],
    "dims": [(1, 2), (99,)],
    "references": [{"again": TEACHER}],
    "untrained": [True],
    "route": ["gram", "pair", "tsqr", "blocked"],
    "rtol": [1e-2],
    "features": [False],
    "batch_size": [7],
    "seed": [3],
    "cache": [False],
    "memory_bytes": [2**33],
}


def oracle(T, S, asked):
    """The loss of a dense kernel over these rows; None for kernels whose scale is chosen from the rows."""
    kernel = asked.get("kernel", "linear")
    if kernel.startswith(("poly", "ridge")):
        return None
    kernels = []
    for X in (np.asarray(T, np.float64), np.asarray(S, np.float64)):
        if asked.get("centre"):
            X = X - X.mean(0)
        if asked.get("normalize") or kernel == "cosine":
            X = X / np.linalg.norm(X, axis=1, keepdims=True)
        squares = (X * X).sum(1)
        rbf = np.exp(-0.1 * np.maximum(0, squares[:, None] + squares - 2 * X @ X.T))
        kernels.append(rbf if kernel.startswith("rbf") else X @ X.T)
    return np.linalg.norm(kernels[1] - kernels[0]) / np.linalg.norm(kernels[0])


def require_honoured(report, asked, of_teacher, of_student):
    """Every option that was accepted shows in the report, and the loss is the oracle's."""
    rows = min(asked.get("limit", N), asked.get("n", N), N)
    tolerance = 2e-3 if asked.get("dtype") == "float16" else 1e-5
    for pair in report:
        assert pair.n == rows
        T, S = of_teacher[pair.teacher_layer][:rows], of_student[pair.student_layer][:rows]
        if (truth := oracle(T, S, asked)) is not None:
            assert pair.transfer_loss == pytest.approx(truth, rel=tolerance, abs=tolerance)
        kernel = asked.get("kernel", "linear").split(":")[0]
        assert kernel in pair.kernel
        if "landmarks" in asked:
            strategy, _, m = asked["landmarks"].partition(":")
            assert pair.landmarks.strategy.startswith(strategy)
            assert not m or pair.landmarks.m == min(int(m), rows)
        if "neighbours" in asked:
            assert (pair.neighbours.k if pair.neighbours else 0) == asked["neighbours"]
        if "dims" in asked:
            assert pair.prefixes or any("prefix" in note for note in pair.notes)
        if "references" in asked:
            assert [each.name for each in pair.references] == ["again"]
        if asked.get("route", "auto") != "auto":
            assert pair.route == asked["route"] or pair.transfer_loss == 0
        if (
            "labels" in asked
            and pair.route != "pairs-estimate"
            and not asked.get("kernel", "").startswith(("rbf", "poly"))
        ):
            assert pair.classes is not None or pair.n < 4
    found = [(pair.teacher_layer, pair.student_layer) for pair in report]
    assert found == wanted(asked, of_teacher, of_student)


def wanted(asked, of_teacher, of_student):
    """The pairs of layers that were asked for."""
    named = asked.get("layers", "re:.*")
    named = named.split(",") if isinstance(named, str) else named
    t, s = (among(named, list(names)) for names in (of_teacher, of_student))
    pairs = asked.get("pairs")
    if pairs == "all":
        return [(a, b) for a in t for b in s]
    if pairs:
        return [tuple(each.split("=")) for each in pairs.split(",")]
    return [(name, name) for name in t if name in s]


def drawn(rng):
    """Up to four options, each with one of its values."""
    chosen = rng.choice(list(OPTIONS), size=rng.integers(0, 5), replace=False).tolist()
    return {name: OPTIONS[name][rng.integers(len(OPTIONS[name]))] for name in chosen}


def try_one(rng, kinds):
    """One random combination; the exception of ours that refused it, or None."""
    teacher, student, (of_teacher, of_student), extra = kinds[rng.choice(list(kinds))]
    asked = {**extra, **drawn(rng)}
    try:
        report = ks.measure(teacher=teacher, student=student, **asked)
    except KernelscopeError as refused:
        return asked, refused
    require_honoured(report, asked, of_teacher, of_student)
    return asked, None


@pytest.mark.parametrize("count", [40, pytest.param(500, marks=pytest.mark.long)])
def test_whatever_is_asked_is_done_or_refused(count, kinds):
    rng, refused = np.random.default_rng(count), 0
    for _ in range(count):
        asked, error = try_one(rng, kinds)
        refused += error is not None
        assert error is None or (str(error) and "\n" not in str(error)), asked
    assert count // 10 < refused < count * 9 // 10, "hardly anything was refused, or accepted"


#: options whose words are not their values
WORDS = {
    "features": ["--no-features"],
    "cache": ["--no-cache"],
    "memory_bytes": ["--max-memory", "8G"],
    "references": ["--reference", "again=t.npy"],
}


def words(asked):
    """The options as a command line has them."""
    found = []
    for name, value in asked.items():
        option = f"--{name.replace('_', '-')}"
        if name in WORDS:
            found += WORDS[name]
        elif name in ("labels", "groups"):
            file = "short.npy" if len(value) < N else "y.npy" if list(value) == CLASSES.tolist() else "rows.npy"
            found += [option, file]
        elif name in ("preprocess", "student_arch_kwargs"):
            found += [option, json.dumps(value)]
        elif value is True:
            found += [option]
        else:
            found += [option, ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)]
    return found


@pytest.mark.parametrize("count", [15, pytest.param(200, marks=pytest.mark.long)])
def test_a_command_line_on_feature_files_does_what_it_asks_or_is_refused(count, kinds, run):
    rng, refused = np.random.default_rng(count), 0
    for _ in range(count):
        teacher, student, (of_teacher, of_student), _ = kinds[rng.choice(["npy", "npz", "h5"])]
        asked = drawn(rng)
        with contextlib.chdir(teacher.parent):
            code, out, err = run("measure", "--teacher", teacher, "--student", student, *words(asked), "--json")
        if code == 0:
            require_honoured(TransferReport.from_json(out), asked, of_teacher, of_student)
            assert err == "", (asked, err)
        else:
            refused += 1
            assert code in (2, 3, 4, 5, 7) and err.count("\n") == 1 and len(err) <= 201, (asked, err)
    assert 0 < refused < count
