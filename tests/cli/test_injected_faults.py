"""Every verb that writes, on a disk that fails at its first call, its second, …: one line, nothing half-written."""

import contextlib
import itertools
import json
import tempfile

import numpy as np
import pytest

from kernelscope import isolated
from kernelscope.checkpoints.checkpoint import load_checkpoint
from kernelscope.features import join, pair
from kernelscope.features.store import FeatureStore
from kernelscope.features.sums_file import read_sums
from kernelscope.report.report import TransferReport
from tests import forked
from tests.cli.faults import ERRNOS, KINDS, failing
from tests.small_disk import fill

MLP = ("--arch", "mlp", "--arch-kwargs", json.dumps({"hidden": 8, "in_features": 192}))
DATA = "shapes(size=8,classes=4,n=40,difficulty=0)"
ARRAYS = ("--teacher", "t.npy", "--student", "s.npy", "--labels", "y.npy")


def whole_csv(path):
    assert len(path.read_text().splitlines()) == 2


def whole_audit(path):
    assert json.loads(path.read_text())["format"] == "kernelscope.audit"


def whole_features(path):
    with FeatureStore.open(path) as store:
        store.verify()


#: words of each verb, and what holds an output of it against half of one
VERBS = {
    "measure": (
        ("measure", *ARRAYS, "--save", "r.json", "--csv", "r.csv"),
        {"r.json": TransferReport.load, "r.csv": whole_csv},
    ),
    "networks": (
        ("measure", "--teacher", "a.pt", "--student", "b.pt", "--save", "n.json"),
        {"n.json": TransferReport.load},
    ),
    "sums": (
        ("measure", *ARRAYS, "--sums", "old.kss", "--sums-out", "n.kss"),
        {"n.kss": read_sums},
    ),
    "join": (
        ("measure", "--teacher", "k.npz", "--student", "shards:j*.npz", "--join", "inner", "--save", "n.json"),
        {"n.json": TransferReport.load},
    ),
    "audit": (("audit", *ARRAYS, "--save", "a.json"), {"a.json": whole_audit}),
    "gate": (("gate", *ARRAYS, "--max", "transfer_loss=9", "--save", "g.json"), {"g.json": TransferReport.load}),
    "report": (
        ("report", "old.json", "--save", "p.json", "--csv", "p.csv"),
        {"p.json": TransferReport.load, "p.csv": whole_csv},
    ),
    "extract": (("extract", "a.pt", "--out", "f.h5", "--quiet"), {"f.h5": whole_features}),
    "train": (
        ("train", "--data", DATA, *MLP, "--epochs", 2, "--quiet", "--out", "deep/x.pt", "--best", "deep/b.pt"),
        {"deep/x.pt": load_checkpoint, "deep/b.pt": load_checkpoint},
    ),
}
INPUTS = {"t.npy", "s.npy", "y.npy", "a.pt", "b.pt", "old.json", "old.kss", "k.npz", "j0.npz", "j1.npz"}
EVERY = [(verb, kind) for verb in VERBS for kind in KINDS]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Two arrays with labels, two networks and a report, made once."""
    import kernelscope as ks

    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    np.save(folder / "t.npy", X := rng.standard_normal((40, 4)))
    np.save(folder / "s.npy", X + rng.standard_normal((40, 4)))
    np.save(folder / "y.npy", y := np.arange(40) % 4)
    other = {"teacher": X.astype("float64") + 1, "student": rng.standard_normal((40, 4)), "labels": y}
    ks.measure(**other, sums_out=folder / "old.kss")
    order = rng.permutation(40)
    for name, rows in {"k": slice(40), "j0": order[:30], "j1": order[30:39]}.items():
        np.savez(folder / f"{name}.npz", x=X[rows], ids=np.arange(40)[rows])
    for name in ("a", "b"):
        recipe = ks.recipe(arch="mlp", arch_kwargs={"hidden": 8, "in_features": 192}, epochs=1, seed=ord(name))
        ks.train(recipe, data=DATA).save(folder / f"{name}.pt")
    ks.measure(teacher=folder / "t.npy", student=folder / "s.npy").save(folder / "old.json")
    return folder


@pytest.fixture
def place(inputs, tmp_path, monkeypatch):
    """A folder with the inputs, in which everything is looked for, temporary files too."""
    for name in INPUTS:
        (tmp_path / name).write_bytes((inputs / name).read_bytes())
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(join, "PART_IDS", 30)  # so that a join writes to the disk
    monkeypatch.setattr(pair, "HELD_BYTES", 0)
    monkeypatch.setattr(isolated, "ask", forked.ask)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


def left_in(place):
    """Files that nobody asked for: temporary ones and locks."""
    found = [path.relative_to(place) for path in place.rglob("*") if path.is_file()]
    return [str(path) for path in found if path.suffix in (".tmp", ".lock") or path.name.startswith(".")]


def survives(run, place, verb, kind, at, name, *, existing):
    """One run on a disk that fails, and one on a sound one; whether the fault was met at all."""
    words, outputs = VERBS[verb]
    for output in outputs:
        (place / output).unlink(missing_ok=True)
        if existing:
            (place / output).parent.mkdir(exist_ok=True)
            (place / output).write_bytes(b"old")
    case = f"{verb}, {kind} {at} fails with {name}"
    with failing(place, kind, at, ERRNOS[name]) as disk:
        code, _, err = run(*words, *(["--overwrite"] if existing else []))
    case = f"{case} at {disk.hit}: {code}, {err}"
    if code == 0:
        assert err == "", case
    else:
        assert code in allowed(disk.hit, name), case
        assert err.startswith("kernelscope: error: ") and err.count("\n") == 1 and len(err) <= 201, case
    for output, require_whole in outputs.items():
        path = place / output
        if path.exists() and path.read_bytes() != b"old":
            require_whole(path)
        else:
            assert code != 0 and path.exists() == existing, f"{case}: {output}"
    assert left_in(place) == [], case
    if code:
        code, _, err = run(*words, "--overwrite")
        assert code == 0, f"{case}; again: {err}"
    return disk.hit is not None


def allowed(hit, name):
    """The codes that tell of a fault at this file."""
    if name in ("EMFILE", "ENFILE", "ENOMEM"):
        return {7}
    if hit.name in INPUTS:
        return {3}
    return {2, 7} if name == "EISDIR" else {7}


@pytest.mark.parametrize(("verb", "kind"), EVERY, ids=map("-".join, EVERY))
def test_a_disk_that_fails_costs_one_line_and_nothing_else(verb, kind, run, place):
    """One errno after another, at calls that lie further and further apart."""
    at, names = 1, itertools.cycle(ERRNOS)
    for existing in itertools.cycle((True, False)):
        if not survives(run, place, verb, kind, at, next(names), existing=existing):
            return
        at += 1 + at // 2


@pytest.mark.long
@pytest.mark.parametrize("name", ERRNOS)
@pytest.mark.parametrize(("verb", "kind"), EVERY, ids=map("-".join, EVERY))
def test_a_disk_may_fail_at_any_call(verb, kind, name, run, place):
    for at, existing in zip(itertools.count(1), itertools.cycle((True, False))):
        if not survives(run, place, verb, kind, at, name, existing=existing):
            return


@pytest.mark.parametrize("verb", VERBS)
def test_a_disk_that_is_full_costs_one_line_and_nothing_else(verb, run, place, disk, monkeypatch):
    """A real one, with 0, 1, 4, 16, … pages left for outputs and for the cache."""
    words, outputs = VERBS[verb]
    monkeypatch.setenv("KERNELSCOPE_CACHE", str(disk / "cache"))
    for name in INPUTS:
        (disk / name).symlink_to(place / name)
    for pages in (0, 1, 4, 16, 256):
        for output in outputs:
            (disk / output).unlink(missing_ok=True)
        fill(disk, leaving=4096 * pages)
        with contextlib.chdir(disk):
            code, _, err = run(*words)
        (disk / "ballast").unlink()
        assert (code == 0 and err == "") or (code == 7 and err.count("\n") == 1 and "free some space" in err), err
        assert left_in(disk) == []
        for output, require_whole in outputs.items():
            if (disk / output).exists():
                require_whole(disk / output)
        if code == 7:
            with contextlib.chdir(disk):
                assert run(*words, "--overwrite")[0] == 0
    assert code == 0, "it was never given space enough"
