"""``--max-memory``: what it allows is not passed, and what cannot fit is refused with the size that would do."""

import re
import subprocess
import sys

import numpy as np
import pytest

import kernelscope as ks
from kernelscope import memory
from kernelscope.errors import ResourceError
from kernelscope.features.request import Request
from kernelscope.measurement.audit import audit

#: measures under the least limit that is accepted, and prints it and the peak
LEAST = """
import re
import numpy as np
import kernelscope as ks
from kernelscope import memory

rng = np.random.default_rng(0)
T = rng.standard_normal((6000, 256), dtype=np.float32)
np.save("t.npy", T)
np.save("s.npy", np.maximum(T @ rng.standard_normal((256, 256), dtype=np.float32), 0))
del T
options = {"teacher": "t.npy", "student": "s.npy", "labels": np.arange(6000) % 100, "neighbours": 10}
try:
    ks.measure(**options, memory_bytes=1)
except ks.errors.ResourceError as error:
    limit = int(float(re.search(r"take (\\d+) MB in all", str(error))[1]) * 1e6) + 10**6
ks.measure(**options, memory_bytes=limit)
print(limit, memory.peak_bytes())
"""


def test_the_peak_stays_below_the_least_limit_that_is_accepted(tmp_path):
    found = subprocess.run([sys.executable, "-c", LEAST], cwd=tmp_path, capture_output=True, text=True, check=True)
    limit, peak = map(int, found.stdout.split())
    assert peak <= limit
    assert limit < 250e6, "blocks alone would take more without a limit"


@pytest.mark.parametrize("options", [{}, {"pairs": "all"}, {"route": "tsqr"}, {"sums_out": "x.kss"}])
def test_what_cannot_fit_is_refused_before_any_work(options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).standard_normal((200, 20))
    with pytest.raises(ResourceError, match=r"200 examples of .* take [\d.,]+ [MG]B in all, .* memory_bytes=1.0 MB"):
        ks.measure(teacher=X, student=X[:, :9], memory_bytes=10**6, **options)
    assert not list(tmp_path.iterdir())


def test_an_audit_has_the_same_limit():
    X = np.random.default_rng(0).standard_normal((200, 20))
    with pytest.raises(ResourceError, match=r"take .* in all"):
        audit(teacher=X, student=X[:, :9], memory_bytes=10**6)
    assert audit(teacher=X, student=X[:, :9], memory_bytes=2**33).pairs


def test_a_network_that_takes_more_than_the_limit_ends_with_what_it_took():
    most = memory.peak_bytes()
    Request(memory_bytes=2 * most).report("t.pt", 1, 2)
    with pytest.raises(ResourceError, match=r"t.pt takes .* over batches of 256, more than .*; lower") as caught:
        Request(memory_bytes=most // 2).report("t.pt", 1, 2)
    assert re.search(r"takes [\d.]+ \wB", str(caught.value))
