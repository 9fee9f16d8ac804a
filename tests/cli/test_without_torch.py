"""Commands on arrays import nothing they do not use, in a process of their own."""

import json
import subprocess
import sys

import numpy as np
import pytest

SLOW = ("torch", "h5py", "matplotlib", "scipy.optimize", "scipy.stats")
PROGRAM = f"""
import json, sys
from kernelscope.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print(json.dumps([name for name in {SLOW} if name in sys.modules]), file=sys.stderr)
"""


@pytest.fixture
def files(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    np.save(tmp_path / "t.npy", X)
    np.save(tmp_path / "s.npy", X[:, :4])
    np.save(tmp_path / "wide.npy", np.hstack([X] * 20))  # more features than examples: another route
    np.save(tmp_path / "y.npy", np.arange(60) % 3)
    np.save(tmp_path / "rows.npy", np.arange(5))
    np.savez(tmp_path / "t.npz", embedding=X, labels=np.arange(60) % 3)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        "inspect t.npy",
        "inspect t.npz --verify",
        "measure --teacher t.npy --student s.npy",
        "measure --teacher t.npy --student s.npy --labels y.npy --landmarks rows.npy --json",
        "measure --teacher t.npz --student wide.npy --kernel rbf --quiet",
        "measure --teacher wide.npy --student s.npy --centre --normalize --save report.json",
        "measure --teacher t.npy --student s.npy --plan",
    ],
)
def test_a_command_on_arrays_never_imports_torch(files, arguments):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments.split()], cwd=files, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1]) == []
    if "--json" in arguments:
        json.loads(done.stdout)


def test_neither_does_a_notebook(files):
    code = f"""
import sys, numpy as np, kernelscope as ks
X = np.load("t.npy")
print(ks.measure(teacher=X, student=X[:, :4], labels=np.arange(60) % 3), ks.transfer_loss(teacher=X, student=X))
sys.exit(", ".join({set(SLOW)} & set(sys.modules)) or None)"""
    done = subprocess.run([sys.executable, "-c", code], cwd=files, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
