"""What CKA packages print where the numbers are hard, beside kernelscope on the same features and networks.

    (a) independent features whose means are all 100
    (b) a network against itself, its weights and biases scaled by 0.1
    (c) unrelated features, but for eight of 4,096 rows that both share, at 100 times the norm
    (d) the same convolution on both sides, followed by a ReLU that is in-place on one; the convolution's output
        is compared, so the truth is 1
    (e) two random networks, and a loader whose last batch holds three examples

The truth is a dense float64 NumPy formula on the layers' float32 outputs: CKA from the biased HSIC, from the unbiased
one, the unbiased one summed over mini-batches (Nguyen, Raghu and Kornblith 2021), and the transfer loss; p-values have
none beside them. A number off
by more than 0.001 from the truth of what its call estimates is marked *; "none" stands where a call gave no number.
Packages run at their defaults, on the CPU, each call in a process of its own, in an environment of their own:

    python -m venv peers
    peers/bin/pip install torch pytorch-cka cka-pytorch ckatorch torch-cka repsim matplotlib tqdm
    peers/bin/pip install rsatoolbox calibrated-similarity
    python benchmarks/what_cka_packages_print.py --peers peers/bin/python

Without --peers this interpreter's packages are used; a package that is not installed is named and left out. A few
minutes, most of them the slowest package on (c). Where float32 has lost all digits, (a), other seeds and other numbers
of threads print other numbers: --seed N.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from cka_peers import WAYS, Case, Way, cases

import kernelscope as ks
from kernelscope.datasets.examples import Examples, example_ids

if TYPE_CHECKING:
    from kernelscope.report.fields import PairReport

CHILD = Path(__file__).with_name("cka_peers.py")
NEAR = 0.001
Table = dict[str, list[str]]
NOTES: list[str] = []  #: what stands below the table: warnings, and exceptions in the packages' own words


def centred(K: np.ndarray) -> np.ndarray:
    return K - K.mean(axis=0) - K.mean(axis=1)[:, None] + K.mean()


def u_centred(K: np.ndarray) -> np.ndarray:
    """Székely and Rizzo's centring, of which the inner product is the unbiased HSIC times n (n − 3)."""
    n = len(K)
    K = K - np.diag(np.diag(K))
    rows = K.sum(axis=0) / (n - 2)
    K = K - rows - rows[:, None] + rows.sum() / (n - 1)
    return K - np.diag(np.diag(K))


def kernels(T: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neither centring sees a shift, and without the means no digits are lost to them."""
    return tuple(X @ X.T for X in (T - T.mean(axis=0), S - S.mean(axis=0)))


def cosine(parts: list[tuple[np.ndarray, np.ndarray, int]]) -> float:
    """Sums over batches of ⟨K, L⟩ / weight, then the cosine of the sums."""
    sums = np.sum([[np.sum(K * L) / w, np.sum(K * K) / w, np.sum(L * L) / w] for K, L, w in parts], axis=0)
    return float(sums[0] / np.sqrt(sums[1] * sums[2]))


def truths(case: Case) -> dict[str, float]:
    T, S = (case.features(net).numpy().astype(np.float64) for net in (case.teacher, case.student))
    biased, debiased = ([centre(K) for K in kernels(T, S)] for centre in (centred, u_centred))
    found = {"biased": cosine([(*biased, 1)]), "debiased": cosine([(*debiased, 1)]), "mini-batch": np.nan}
    starts = range(0, len(T), case.batch)
    batches = [[X[i : i + case.batch] for X in (T, S)] for i in starts]
    if all(len(batch[0]) > 3 for batch in batches):  # the unbiased HSIC of three examples does not exist
        parts = [(*map(u_centred, kernels(*batch)), len(batch[0]) * (len(batch[0]) - 3)) for batch in batches]
        found["mini-batch"] = cosine(parts)
    K_T, K_S = T @ T.T, S @ S.T
    return found | {"loss": float(np.linalg.norm(K_S - K_T) / np.linalg.norm(K_T))}


def ours(case: Case) -> PairReport:
    inputs = case.inputs.numpy()
    data = Examples(case.name, "test", inputs, None, example_ids(inputs))
    nets = {"teacher": case.teacher, "student": case.student}
    return ks.measure(**nets, data=data, layers="layer", pool="flatten", batch_size=case.batch, cache=False).pairs[0]


def ask(python: str, *words: str, seconds: float = 300) -> dict:
    """The JSON a child process ends with; how it ended, if it ends otherwise."""
    command = [python, str(CHILD), *words]
    env = os.environ | {"MPLBACKEND": "Agg"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=env)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer in {seconds:.0f} s"}
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return {"error": f"exit {done.returncode}: {' '.join(done.stderr.splitlines()[-1:])}"}
    return json.loads(lines[-1])


def shown(value: float, truth: float = np.nan) -> str:
    if np.isnan(value):
        return "nan "
    text = f"{value:.4f}" if abs(value) < 100 else f"{value:.0e}"
    return text + ("*" if abs(value - truth) > NEAR else " ")


def label(name: str, estimates: str) -> str:
    return f"{name:<45}{estimates:<12}"


def our_rows(case_list: list[Case], true: list[dict[str, float]]) -> Table:
    """The truths, and kernelscope beside those it computes."""
    rows = {
        label("truth, dense float64", what): [shown(t[what]).replace("nan", "undefined") for t in true]
        for what in true[0]
    }
    pairs = [ours(case) for case in case_list]
    for what, field in (("biased", "cka"), ("debiased", "cka_debiased"), ("loss", "transfer_loss")):
        cells = [shown(getattr(pair, field), t[what]) for pair, t in zip(pairs, true)]
        rows[label(f"kernelscope {ks.__version__} {field}", what)] = cells
    chance = [shown(np.nan if pair.null.p_value is None else pair.null.p_value) for pair in pairs]
    rows[label(f"kernelscope {ks.__version__} null.p_value", "p-value")] = chance
    for case, pair in zip(case_list, pairs):
        NOTES.append(f"kernelscope, {case.name}, warns: {', '.join(sorted({w.code for w in pair.warnings})) or 'none'}")
    return rows


def peer_row(python: str, way: Way, case_list: list[Case], true: list[dict[str, float]], folder: Path) -> list[str]:
    cells = []
    for case, t in zip(case_list, true):
        if case.networks_only and not way.takes_networks:
            cells.append("- ")
            continue
        reply = ask(python, str(WAYS.index(way)), str(folder / case.name))
        if "error" in reply:
            NOTES.append(f"{way.package} {way.call}, {case.name}: {reply['error']}")
        cells.append("none " if "error" in reply else shown(reply["value"], t.get(way.estimates, np.nan)))
    return cells


def peer_rows(python: str, case_list: list[Case], true: list[dict[str, float]]) -> Table:
    found, rows = ask(python, "versions"), {}
    if "error" in found:
        sys.exit(f"{python} cannot run {CHILD.name}: {found['error']}")
    print(f"packages run with torch {found.get('torch')}, kernelscope with {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        for case in case_list:
            torch.save(case, Path(folder) / case.name)
        for way in WAYS:
            if found.get(way.package):
                name = label(f"{way.package} {found[way.package]} {way.call}", way.estimates)
                rows[name] = peer_row(python, way, case_list, true, Path(folder))
            else:
                NOTES.append(f"{way.package} {way.call}: not installed")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="has the packages; default: this one")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    case_list = cases(options.seed)
    true = [truths(case) for case in case_list]
    rows = our_rows(case_list, true) | peer_rows(options.peers, case_list, true)
    print(label("", "estimates") + "".join(f"{case.name:>10} " for case in case_list))
    for name, cells in rows.items():
        print(name + "".join(f"{cell:>11}" for cell in cells))
    print("\n".join(["", *NOTES]))


if __name__ == "__main__":
    main()
