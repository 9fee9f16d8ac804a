"""Five cases, the ways into other CKA packages, and the child process that puts one case through one of them.

It needs torch, NumPy and the package asked for, not kernelscope: benchmarks/what_cka_packages_print.py runs it with the
interpreter in which those packages are installed.
Run: python benchmarks/cka_peers.py versions | python benchmarks/cka_peers.py WAY CASE.pt
"""

from __future__ import annotations

import copy
import json
import sys
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:
    from collections.abc import Callable


class Columns(nn.Module):
    """Passes on some columns of its input, so that two sets of features enter packages that only take networks."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, self.start : self.stop]


class OneGroup(nn.Module):
    """``(n, d)`` as ``(1, n, d)``, for a package that compares within groups."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[None]


@dataclass(frozen=True)
class Case:
    """Two networks whose ``layer`` is compared, the inputs, and the batch size of the loader."""

    name: str
    teacher: nn.Sequential
    student: nn.Sequential
    inputs: torch.Tensor
    batch: int
    networks_only: bool = False  #: nothing to see for a function of two arrays

    def features(self, net: nn.Sequential) -> torch.Tensor:
        """What ``layer`` puts out, without running what comes after it."""
        with torch.no_grad():
            return net.layer(net.before(self.inputs)).flatten(1)

    def loader(self, labelled: bool) -> DataLoader:
        labels = [torch.zeros(len(self.inputs))] if labelled else []
        return DataLoader(TensorDataset(self.inputs, *labels), batch_size=self.batch)


def network(before: nn.Module, layer: nn.Module, after: nn.Module | None = None) -> nn.Sequential:
    return nn.Sequential(OrderedDict(before=before, layer=layer, after=after or nn.Identity())).eval()


def two_sets(name: str, T: np.ndarray, S: np.ndarray) -> Case:
    d = T.shape[1]
    sides = (network(Columns(d * side, d * side + d), nn.Identity()) for side in (0, 1))
    return Case(name, *sides, torch.from_numpy(np.hstack([T, S]).astype(np.float32)), batch=256)


def common_mean(rng: np.random.Generator) -> Case:
    T, S = rng.standard_normal((2, 1024, 64)) + 100
    return two_sets("(a)", T, S)


def small_weights(rng: np.random.Generator) -> Case:
    net = network(nn.Sequential(nn.Linear(64, 128), nn.ReLU()), nn.Linear(128, 64))
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(0.1)
    return Case("(b)", net, copy.deepcopy(net), normal(rng, 1024, 64), batch=256)


def shared_outliers(rng: np.random.Generator) -> Case:
    T, S = rng.standard_normal((2, 4096, 64))
    rows = rng.choice(4096, 8, replace=False)
    T[rows] *= 100
    S[rows] = T[rows]
    return two_sets("(c)", T, S)


def in_place_relu(rng: np.random.Generator) -> Case:
    conv = nn.Conv2d(3, 8, 3)
    nets = (network(nn.Identity(), copy.deepcopy(conv), nn.ReLU(inplace=inplace)) for inplace in (False, True))
    return Case("(d)", *nets, normal(rng, 512, 3, 8, 8), batch=128, networks_only=True)


def three_in_the_last_batch(rng: np.random.Generator) -> Case:
    nets = (network(nn.Sequential(nn.Linear(32, 64), nn.ReLU()), nn.Linear(64, 48)) for _ in range(2))
    return Case("(e)", *nets, normal(rng, 1027, 32), batch=256, networks_only=True)


def normal(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


def cases(seed: int) -> list[Case]:
    torch.manual_seed(seed)
    makers = (common_mean, small_weights, shared_outliers, in_place_relu, three_in_the_last_batch)
    return [make(np.random.default_rng(seed)) for make in makers]


def pytorch_cka_networks(case: Case) -> float:
    from cka import compute_cka

    loader = case.loader(labelled=False)
    return float(compute_cka(case.teacher, case.student, loader, layers=["layer"], device="cpu", progress=False)[0])


def pytorch_cka_features(case: Case, dtype: torch.dtype = torch.float32) -> float:
    from cka import cka_from_features

    return float(cka_from_features(*(case.features(net).to(dtype) for net in (case.teacher, case.student))))


def cka_pytorch(case: Case) -> float:
    from cka_pytorch import CKACalculator

    device = torch.device("cpu")
    calculator = CKACalculator(case.teacher, case.student, ["layer"], ["layer"], device=device, verbose=False)
    return float(calculator.calculate_cka_matrix(case.loader(labelled=True)))


def ckatorch_networks(case: Case) -> float:
    from ckatorch import CKA

    return float(CKA(case.teacher, case.student, ["layer"])(case.loader(labelled=False)))


def ckatorch_one_group(case: Case) -> float:
    from ckatorch import CKA

    for net in (case.teacher, case.student):  # as a user would who wants examples compared, not tokens
        net.layer = nn.Sequential(net.layer, OneGroup())
    return float(CKA(case.teacher, case.student, ["layer"])(case.loader(labelled=False)))


def ckatorch_features(case: Case, unbiased: bool = False) -> float:
    from ckatorch import cka_base

    return float(cka_base(case.features(case.teacher), case.features(case.student), unbiased=unbiased))


def torch_cka(case: Case) -> float:
    from torch_cka import CKA

    compared = CKA(case.teacher, case.student, "T", "S", ["layer"], ["layer"])
    loader = case.loader(labelled=True)
    compared.compare(loader, loader)
    return float(compared.export()["CKA"])


def repsim(case: Case, estimator: str = "gretton") -> float:
    from repsim import cka

    sides = [case.features(net).numpy() for net in (case.teacher, case.student)]
    return float(cka(sides, kernel_type="linear", estimator=estimator)[0, 1])


def rsatoolbox(case: Case) -> float:
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm, compare

    sides = [calc_rdm(Dataset(case.features(net).numpy()), method="euclidean") for net in (case.teacher, case.student)]
    return float(compare(*sides, method="cosine_cov")[0, 0])


def calibrated_similarity(case: Case) -> float:
    """The p-value of linear CKA, which a user gives it; its score is 0 up to the 95 % quantile of the permutations."""
    from calibrated_similarity import calibrate

    def linear_cka(X: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
        X, Y = X - X.mean(0), Y - Y.mean(0)
        return (X.T @ Y).square().sum() / ((X.T @ X).norm() * (Y.T @ Y).norm())

    generator = torch.Generator().manual_seed(0)
    _, p, _ = calibrate(case.features(case.teacher), case.features(case.student), linear_cka, generator=generator)
    return float(p)


@dataclass(frozen=True)
class Way:
    """One way into a package: its name on the index, the call, what it estimates, whether it takes networks."""

    package: str
    call: str
    estimates: str
    run: Callable[[Case], float]
    takes_networks: bool


WAYS = (
    Way("pytorch-cka", "compute_cka", "mini-batch", pytorch_cka_networks, True),
    Way("pytorch-cka", "cka_from_features", "debiased", pytorch_cka_features, False),
    Way(
        "pytorch-cka",
        "cka_from_features, float64",
        "debiased",
        lambda case: pytorch_cka_features(case, torch.float64),
        False,
    ),
    Way("cka-pytorch", "CKACalculator", "mini-batch", cka_pytorch, True),
    Way("ckatorch", "CKA", "mini-batch", ckatorch_networks, True),
    Way("ckatorch", "CKA on (1, n, d)", "mini-batch", ckatorch_one_group, True),
    Way("ckatorch", "cka_base", "biased", ckatorch_features, False),
    Way("ckatorch", "cka_base, unbiased", "debiased", lambda case: ckatorch_features(case, unbiased=True), False),
    Way("torch-cka", "CKA", "mini-batch", torch_cka, True),
    Way("repsim", "cka, gretton", "biased", repsim, False),
    Way("repsim", "cka, song", "debiased", lambda case: repsim(case, "song"), False),
    Way("rsatoolbox", "compare, cosine_cov", "biased", rsatoolbox, False),
    Way("calibrated-similarity", "calibrate", "p-value", calibrated_similarity, False),
)


def versions() -> dict[str, str | None]:
    """Version of each package and of torch; None where it is not installed."""
    found: dict[str, str | None] = {}
    for package in ("torch", *(way.package for way in WAYS)):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def answer(way: Way, path: Path) -> dict[str, object]:
    try:
        # the cases were written by the script that started this process, so unpickling them is safe
        return {"value": way.run(torch.load(path, weights_only=False))}
    except Exception as error:  # whatever a package raises is what it printed
        return {"error": " ".join(f"{type(error).__name__}: {error}".split())}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asked = sys.argv[1]
    print(json.dumps(versions() if asked == "versions" else answer(WAYS[int(asked)], Path(sys.argv[2]))))
