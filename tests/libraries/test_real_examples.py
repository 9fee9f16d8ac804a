"""The examples that need other packages run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pytorch_lightning")
ROOT = Path(__file__).parent.parent.parent


def printed(script, *words):
    """What an example prints, run offline."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(ROOT / "examples" / "real" / script), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=600).stdout


def test_kernel_transfer_in_lightning_lowers_the_loss():
    losses = dict(re.findall(r"^(plain|kda) +loss ([\d.]+)", printed("lightning_loop.py"), re.MULTILINE))
    assert float(losses["kda"]) < 0.7 * float(losses["plain"])


def test_real_students_are_measured_and_told_apart():
    pytest.importorskip("wordllama")
    text = printed("what_numbers_real_students_get.py", "--sentences", "300", "--frames", "40")
    cells = re.findall(r"^\| (.+?) \| (.+?) \| ([\d.]+) \|", text, re.MULTILINE)
    rows = {(student, layer): float(loss) for student, layer, loss in cells}
    assert len(rows) == 8
    encoders = [rows[f"MiniLM, {kept} of 6 layers", "embedding"] for kept in (5, 3, 1)]
    assert encoders == sorted(encoders) and 0.5 < encoders[0] < 0.95
