"""What only a GPU can show, in at most 8 minutes: whether kernelscope is right there, and what it costs there.

Every part runs in a process of its own, one after the other, and prints each line when it is known; a part that fails,
or that a card is too slow for, does not keep the others from running. Ends with 1 if anything was not right.
Claims are those of the parts' lines: intervals hold, routes meet, training repeats itself bit by bit, features are
those of the CPU to 1e-5, and no setting of torch's is left changed.

Run: python benchmarks/on_a_gpu.py [--device cuda] [--n N] [--quick] [--parts NAME,NAME]
Without a GPU: python benchmarks/on_a_gpu.py --device cpu --quick
"""

from __future__ import annotations

import argparse
import contextlib
import math
import multiprocessing
import platform
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from gram_route_beats_forming_kernels import features
from rounds import median_ratio, paired_rounds, print_table

import kernelscope as ks
from kernelscope.checkpoints.loaded import loaded_module
from kernelscope.datasets.digits import digits
from kernelscope.datasets.examples import Examples, example_ids
from kernelscope.distill import precision, student, training
from kernelscope.distill.losses import LOSSES
from kernelscope.distill.recipe import recipe
from kernelscope.errors import UsageError
from kernelscope.kernels.distance.accumulate import MOST_ROWS, BlockSum, summation_chain
from kernelscope.kernels.distance.exact import ScaledSums, loss_from_sums, transfer_loss
from kernelscope.kernels.distance.gram import GramSums, gram_sums
from kernelscope.kernels.distance.gram_errors import BlockErrors
from kernelscope.kernels.distance.slices import slice_error
from kernelscope.kernels.full_precision import full_precision
from kernelscope.kernels.self_check.attacks import stored_as
from kernelscope.kernels.self_check.checks import checks
from kernelscope.kernels.self_check.whole_numbers import exact_squares, lies_between
from kernelscope.networks import zoo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kernelscope.kernels.distance.answers import TransferLoss

SECONDS, QUICK_SECONDS = 450, 80  #: after the first import
PRELOADED = ("kernelscope.distill.training", "kernelscope.features.extraction", "kernelscope.kernels.self_check.checks")
COPIES = 16  #: times that the rows of the large pair come


class Line(NamedTuple):
    """One thing seen; ``right`` is None where nothing was to be right or wrong."""

    words: str
    right: bool | None = None


class Given(NamedTuple):
    device: str
    n: int
    quick: bool
    deadline: float

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()


def settings() -> dict[str, Any]:
    """What of torch's state decides how products are formed."""
    read: dict[str, Callable[[], Any]] = {
        "matmul precision": torch.get_float32_matmul_precision,
        "matmul TF32": lambda: torch.backends.cuda.matmul.allow_tf32,
        "cuDNN TF32": lambda: torch.backends.cudnn.allow_tf32,
        "cuDNN benchmark": lambda: torch.backends.cudnn.benchmark,
        "deterministic": torch.are_deterministic_algorithms_enabled,
        "default type": torch.get_default_dtype,
    }
    found = {}
    for name, get in read.items():
        try:
            found[name] = str(get())
        except RuntimeError as error:  # torch refuses where its older and its newer switches contradict each other
            found[name] = str(error)[:60]
    return found


def waiting(run: Callable[[], object], device: str) -> Callable[[], object]:
    """``run`` until the device is done with it."""

    def whole() -> object:
        found = run()
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)
        return found

    return whole


def timed(variants: dict[str, Callable[[], object]], given: Given, most: int = 5) -> dict[str, list[float]]:
    """Seconds of each by rounds, as many as half of the time that is left holds."""
    variants = {name: waiting(run, given.device) for name, run in variants.items()}
    started = time.monotonic()
    for run in variants.values():
        run()
    rounds = int(given.seconds_left / 2 // (time.monotonic() - started + 0.2 * len(variants))) - 1
    return paired_rounds(variants, max(1, min(rounds, 1 if given.quick else most)))


def meet(*losses: TransferLoss) -> bool:
    """Whether the intervals have a number in common."""
    return max(each.interval[0] for each in losses) <= min(each.interval[1] for each in losses)


def environment(given: Given) -> Iterator[Line]:
    """Card, versions, and that TF32 is off in the package's products and afterwards as it was before."""
    yield Line(f"{platform.platform()}, Python {platform.python_version()}, torch {torch.__version__}")
    if torch.device(given.device).type == "cuda":
        card = torch.cuda.get_device_properties(given.device)
        yield Line(f"{card.name}, {card.total_memory / 2**30:.0f} GiB, compute capability {card.major}.{card.minor}")
        yield Line(f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
    yield Line(f"settings {settings()}")
    X_S, X_T = features(2000, 256)
    values = []
    for chosen in ("highest", "high", "medium"):
        torch.set_float32_matmul_precision(chosen)
        before = settings()
        single = transfer_loss(teacher=X_T, student=X_S, route="blocked", rtol=1e-3, device=given.device)
        double = transfer_loss(teacher=X_T, student=X_S, device=given.device)
        values.append((single.value, double.value))
        yield Line(f"float32 matmul precision {chosen!r} is the same before and after", settings() == before)
    torch.set_float32_matmul_precision("highest")
    yield Line(f"losses are the same bits under all three: {values[0]}", len(set(values)) == 1)


def synthetic(given: Given) -> Iterator[Line]:
    """``kernelscope gate --synthetic --device``."""
    started, passed = time.monotonic(), 0
    for check in checks(device=given.device):
        passed += check.passed
        if not check.passed:
            yield Line(f"{check.name}: {check.detail}", False)
    yield Line(f"{passed} checks passed in {time.monotonic() - started:.0f} s", True)


class Repeated:
    """The rows of a bank over and over: as many as one likes in the memory of a few, with the bank's own loss."""

    def __init__(self, bank: np.ndarray, copies: int) -> None:
        self.bank, self.shape, self.dtype = bank, (copies * len(bank), bank.shape[1]), bank.dtype

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        pieces = []
        while start < stop:
            first = start % len(self.bank)
            pieces.append(self.bank[first : first + stop - start])
            start += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def gram(given: Given) -> Iterator[Line]:
    """The Gram route on a million rows, against the CPU's intervals and the bare products of rows that lie there."""
    device, d = given.device, 128 if given.quick else 512
    banks = features(given.n // COPIES, d)
    few = [bank[:20_000] for bank in banks]
    here, there = (transfer_loss(student=few[0], teacher=few[1], route="gram", device=at) for at in ("cpu", device))
    off = abs(there.value / here.value - 1)
    yield Line(f"first {len(few[0]):,} rows: {there.value:.15g}, {off:.1e} from the CPU's", meet(here, there))
    X_S, X_T = (Repeated(bank, COPIES) for bank in banks)
    whole = transfer_loss(student=X_S, teacher=X_T, device=device)
    bank = transfer_loss(student=banks[0], teacher=banks[1])
    name = f"{X_S.shape[0]:,} rows, {d} + {d}"
    yield Line(f"{name}: {whole.value:.15g}, the CPU's for the bank {bank.value:.15g}", meet(whole, bank))
    single = torch.from_numpy(np.hstack(banks)).to(device)
    double = single.double()

    def moved(cast_there: bool) -> None:
        for start in range(0, X_S.shape[0], MOST_ROWS):
            rows = slice(start, start + MOST_ROWS)
            block = torch.from_numpy(np.hstack([X_S[rows], X_T[rows]]))
            block.to(device).double() if cast_there else block.to(device, torch.float64)

    def product(Z: torch.Tensor) -> None:
        with full_precision():
            for _ in range(COPIES):
                Z.T @ Z

    variants: dict[str, Callable[[], object]] = {
        "bare Z.T @ Z, float64": lambda: product(double),
        "bare Z.T @ Z, float32": lambda: product(single),
        "rows to the device alone": lambda: moved(cast_there=False),
        "rows to the device, cast there": lambda: moved(cast_there=True),
        "transfer_loss": lambda: transfer_loss(student=X_S, teacher=X_T, device=device),
    }
    seconds = timed(variants, given)
    print_table(seconds, "bare Z.T @ Z, float64")
    operations = 2.0 * X_S.shape[0] * (2 * d) ** 2
    rates = {what: operations / float(np.median(taken)) / 1e12 for what, taken in seconds.items() if "rows" not in what}
    yield Line("TFLOP/s: " + ", ".join(f"{what} {rate:.3g}" for what, rate in rates.items()))


def blocked(given: Given) -> Iterator[Line]:
    """All n² entries, in float64 and where rtol = 1e-3 lets float32 do."""
    n, d = (3000, 64) if given.quick else (100_000, 512)
    X_S, X_T = features(n, d)
    pair: dict[str, Any] = {"student": X_S, "teacher": X_T, "device": given.device}
    by_gram, found = transfer_loss(route="gram", **pair), {}
    for name, rtol in (("float64", 1e-6), ("rtol=1e-3", 1e-3)):
        started = time.monotonic()
        found[name] = loss = transfer_loss(route="blocked", rtol=rtol, **pair)
        taken = time.monotonic() - started
        half = (loss.interval[1] - loss.interval[0]) / 2 / loss.value
        yield Line(
            f"n = {n:,}, {d} + {d}, {name}: {loss.value:.15g} to {half:.1e} relative, {taken:.1f} s", loss.certified
        )
        if taken > given.seconds_left / 2:
            yield Line("too slow here for another run")
            break
    yield Line(f"the intervals meet that of the Gram route, {by_gram.value:.15g}", meet(by_gram, *found.values()))
    if len(found) == 2:
        variants: dict[str, Callable[[], object]] = {
            "gram": lambda: transfer_loss(route="gram", **pair),
            "blocked, float64": lambda: transfer_loss(route="blocked", **pair),
            "blocked, rtol=1e-3": lambda: transfer_loss(route="blocked", rtol=1e-3, **pair),
        }
        print_table(timed(variants, given, most=3), "gram")


def in_double(H: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
    """``HᵀH``, exact: entries are whole numbers of 20 bits, rows at most 4,096."""
    return H.T @ H


def in_single(H: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
    """The same from float32 products, exact as well: ``H = power (A 2⁻⁶ + B 2⁻¹³ + C 2⁻²⁰)`` of numbers up to 64.

    No sum of 4,096 of their products exceeds 2²⁴. For cards that are slow in float64.
    """
    rest, parts = H / power * 2.0**6, []
    for _ in range(3):
        parts.append(torch.round(rest))
        rest = (rest - parts[-1]) * 2.0**7
    A, B, C = (part.float() for part in parts)
    with full_precision():
        products = {name: (x.T @ y).double() for name, x, y in (("AA", A, A), ("AB", A, B), ("AC", A, C))}
        products |= {name: (x.T @ y).double() for name, x, y in (("BB", B, B), ("BC", B, C), ("CC", C, C))}
    for name in ("AB", "AC", "BC"):
        products[name] = products[name] + products[name].T
    levels = {"CC": -40, "BC": -33, "AC": -26, "BB": -26, "AB": -19, "AA": -12}
    total = sum(products[name] * 2.0**level for name, level in levels.items())
    return total * power[:, None] * power


class TwoSlices:
    """``ZᵀZ`` in two parts as kernels/distance/slices.py forms it, of tensors on any device."""

    def __init__(self, d_S: int, p: int, device: str, leading: Callable[..., torch.Tensor] = in_double) -> None:
        def zeros() -> torch.Tensor:
            return torch.zeros((p, p), dtype=torch.float64, device=device)

        self._high, self._low, self._leading = BlockSum(zeros, plainly=1), BlockSum(zeros), leading
        self._d_S, self._n = d_S, 0
        self._lengths: list[torch.Tensor] = []

    def add(self, rows: torch.Tensor) -> None:
        Z = rows.double()
        mantissa, _ = torch.frexp(largest := Z.abs().amax(0))
        power = torch.where(largest > 0, largest / mantissa, 1.0)  # exact: 2 to the exponent
        rounder = power * (1.5 * 2.0**32)
        H = (Z + rounder) - rounder
        L, both = Z - H, H + Z
        self._high.add(self._leading(H, power))
        self._low.add(L.T @ both)
        sides = [X[:, side] for side in (slice(0, self._d_S), slice(self._d_S, None)) for X in (L, both)]
        self._lengths.append(torch.stack([torch.linalg.vector_norm(side) for side in sides]))
        self._n += len(Z)

    def sums(self) -> GramSums:
        """With its proved errors."""
        (high, low), rest = self._high.in_two(), self._low.total()
        low = low + (rest + rest.T) / 2
        total = high + low
        lengths = torch.stack(self._lengths).cpu().tolist()
        S, T = [(row[0], row[1]) for row in lengths], [(row[2], row[3]) for row in lengths]
        chain = summation_chain(self._n, MOST_ROWS) + 1
        errors = BlockErrors(slice_error(chain, S, S), slice_error(chain, T, T), slice_error(chain, S, T))
        gram, rest = (x.cpu().numpy() for x in (total, low - (total - high)))
        return GramSums(self._n, self._d_S, gram, None, errors, rest=rest)


def slices(given: Given) -> Iterator[Line]:
    """Two slices of every number against plain float64: how near exact arithmetic, and at what price."""
    device = given.device
    rng = np.random.default_rng(0)
    T = np.maximum(rng.standard_normal((12_000, 24)) + rng.standard_normal(24), 0)
    X_T, X_S = (stored_as(X, "float32").numpy() for X in (T, T * (1 + 1e-6 * rng.standard_normal(T.shape))))
    truth = exact_squares(student=X_S, teacher=X_T)
    Z = torch.from_numpy(np.hstack([X_S, X_T])).to(device)
    found = {"float64": gram_sums(teacher=X_T, student=X_S, device=device)}
    for name, leading in (("two slices", in_double), ("two slices, float32 products", in_single)):
        sums = TwoSlices(24, 48, device, leading)
        for rows in Z.split(MOST_ROWS):
            sums.add(rows)
        found[name] = sums.sums()
    for name, of in found.items():
        loss = loss_from_sums(ScaledSums(X_T, X_S, of, 1.0, same=False, once=True))
        off = abs(float(of.difference_squared / truth[0]) - 1)
        half = (loss.interval[1] - loss.interval[0]) / 2 / loss.value if loss.value else math.inf
        words = f"squared difference off by {off:.1e} relative, loss {loss.value:.3g} to {half:.1e} relative"
        yield Line(f"{name}: {words}", lies_between(loss.interval, truth))
    yield from _price_of_slices(given)


def _price_of_slices(given: Given) -> Iterator[Line]:
    device, (n, p) = given.device, (16_384, 128) if given.quick else (262_144, 1024)
    generator = torch.Generator(device).manual_seed(0)
    Z = torch.randn((n, p), device=device, generator=generator).relu_()
    rows = Z[:MOST_ROWS].double()
    power = torch.full((p,), 8.0, dtype=torch.float64, device=device)
    H = torch.round(rows / 8 * 2.0**20) / 2.0**20 * 8
    same = torch.equal(in_double(H, power), in_single(H, power))
    yield Line("HᵀH from float32 products is that from float64 ones bit by bit", same)

    def plain() -> None:
        total = BlockSum(lambda: torch.zeros((p, p), dtype=torch.float64, device=device))
        for part in Z.split(MOST_ROWS):
            total.add((X := part.double()).T @ X)

    def sliced(leading: Callable[..., torch.Tensor]) -> None:
        sums = TwoSlices(p // 2, p, device, leading)
        for part in Z.split(MOST_ROWS):
            sums.add(part)

    variants: dict[str, Callable[[], object]] = {
        "float64": plain,
        "two slices": lambda: sliced(in_double),
        "two slices, float32 products": lambda: sliced(in_single),
    }
    seconds = timed(variants, given)
    print_table(seconds, "float64")
    ratios = {name: median_ratio(seconds, name, "float64") for name in variants}
    yield Line(f"n = {n:,}, p = {p}: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))


def same_weights(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def deterministic(given: Given) -> Iterator[Line]:
    """``train --deterministic`` twice, of every method: the same bits."""
    plain = recipe(arch="resnet8", epochs=2)
    teacher = training.train(plain, device=given.device).last  # before anything is deterministic in this process
    loaded = ks.load(teacher)
    for method in ("kda", "kd+rkd") if given.quick else ("ce", *LOSSES):
        if given.seconds_left < 5:
            yield Line(f"{method} and what follows skipped: the time is up")
            return
        chosen = replace(plain, method=method, deterministic=True)
        try:
            runs = [training.train(chosen, device=given.device, teacher=loaded).last.state_dict for _ in range(2)]
        except RuntimeError as error:
            yield Line(f"{method}: {str(error).splitlines()[0]}", False)
            continue
        yield Line(f"{method}: two runs of one seed end in the same bits", same_weights(*runs))


@contextlib.contextmanager
def half_precision(kind: torch.dtype) -> Iterator[None]:
    """``--amp`` in this type, whatever the device would be given."""
    with contextlib.ExitStack() as stack:
        for module in (precision, student, training):
            stack.enter_context(mock.patch.object(module, "half_type", return_value=kind))
        yield


def amp(given: Given) -> Iterator[Line]:
    """``train --amp`` in bfloat16 and, with its scaler, in float16: as good as float32."""
    chosen = recipe(arch="resnet8", epochs=3 if given.quick else 20)
    single = training.train(chosen, device=given.device).last
    yield Line(f"float32: top-1 {single.metrics['top1']:.4f}")
    try:
        yield Line(f"--amp is {precision.half_type(given.device)} here")
    except UsageError as error:
        yield Line(f"half precision skipped: {error}")
        return
    for kind in (torch.bfloat16, torch.float16):
        if given.seconds_left < 10:
            yield Line(f"{kind} skipped: the time is up")
            continue
        with half_precision(kind):
            half = training.train(replace(chosen, amp=True), device=given.device).last
        top1, loss = half.metrics["top1"], sum(half.training["history"][-1]["loss"].values())
        right = math.isfinite(loss) and abs(top1 - single.metrics["top1"]) <= 0.02
        yield Line(f"{kind}: top-1 {top1:.4f}, within 0.02 of float32's; last loss {loss:.4f}", right)


@contextlib.contextmanager
def convolutions_in_tf32(allowed: bool) -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def noise(n: int) -> Examples:
    inputs = np.random.default_rng(0).integers(0, 256, (n, 3, 32, 32), np.uint8)
    return Examples("noise", "test", inputs, None, example_ids(inputs), preprocess=[{"op": "scale", "by": 1 / 255}])


def extraction(given: Given) -> Iterator[Line]:
    """``extract`` and ks.Probe: one network says the same on the device and on the CPU."""
    small = {"num_classes": 10, "in_channels": 1}
    cases = [("resnet8", small, digits("test"))]
    cases += [(arch, {}, noise(64 if given.quick else 512)) for arch in ("resnet18x0.5", "shufflenetv2")]
    for arch, options, examples in cases:
        torch.manual_seed(0)
        network = zoo.build(arch, **options).eval()
        ways = {"as torch stands": torch.backends.cudnn.allow_tf32, "TF32 asked for": True}
        for words, allowed in ways.items():
            with convolutions_in_tf32(allowed):
                off = _features_off(network, examples, given.device)
            worst = ", ".join(f"{layer} {value:.1e}" for layer, value in off.items())
            yield Line(f"{arch}, {words}: {worst} (at most 1e-5)", max(off.values()) <= 1e-5)
    yield from _looks(given)


def _features_off(network: torch.nn.Module, examples: Examples, device: str) -> dict[str, float]:
    """By layer, ``‖X_device − X_cpu‖_F / ‖X_cpu‖_F``."""
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for at in ("cpu", device):
            loaded = loaded_module(network, name="network")
            with ks.extract(loaded, examples, out=Path(folder) / f"{len(found)}.h5", device=at) as store:
                found.append({layer: np.array(store.features(layer)[:], np.float64) for layer in store.layers})
    here, there = found
    return {layer: float(np.linalg.norm(there[layer] - X) / np.linalg.norm(X)) for layer, X in here.items()}


def _looks(given: Given) -> Iterator[Line]:
    """A probe's record of one student on both."""
    torch.manual_seed(0)
    options = {"num_classes": 10, "in_channels": 1}
    teacher, learner = (zoo.build(arch, **options).eval() for arch in ("resnet20", "resnet8"))
    examples = digits("validation")
    losses = []
    for at in ("cpu", given.device):
        probe = ks.Probe(teacher=loaded_module(teacher.to(at), name="teacher"), data=examples)
        record = probe.look(learner.to(at), 0)
        assert record is not None
        losses.append({layer: said["transfer_loss"] for layer, said in record["layers"].items()})
    off = {layer: abs(losses[1][layer] / value - 1) for layer, value in losses[0].items()}
    words = ", ".join(f"{layer} {value:.1e}" for layer, value in off.items())
    yield Line(f"a probe's losses on both: {words} (at most 1e-5)", max(off.values()) <= 1e-5)


class Part(NamedTuple):
    run: Callable[[Given], Iterator[Line]]
    least: float  #: seconds without which it is not begun
    most: float  #: seconds after which it is stopped


PARTS = {
    "environment": Part(environment, 10, 60),
    "synthetic": Part(synthetic, 15, 120),
    "gram": Part(gram, 20, 120),
    "blocked": Part(blocked, 15, 100),
    "slices": Part(slices, 10, 60),
    "deterministic": Part(deterministic, 15, 120),
    "extraction": Part(extraction, 10, 60),
    "amp": Part(amp, 15, 90),
}


def run_part(name: str, device: str, n: int, quick: bool, seconds: float) -> None:
    """In this process, which ends with 1 if anything was not right."""
    given = Given(device, n, quick, time.monotonic() + seconds)
    before, wrong = settings(), False
    try:
        for line in PARTS[name].run(given):
            wrong |= say(line)
        changed = {key: (value, settings()[key]) for key, value in before.items() if settings()[key] != value}
        wrong |= say(Line(f"settings of torch that are not as before: {changed or 'none'}", not changed))
    except Exception:
        traceback.print_exc(limit=-4, file=sys.stdout)
        wrong = True
    sys.exit(wrong)


def say(line: Line) -> bool:
    """Print it; True if it is wrong."""
    print(f"{'' if line.right is None else 'right' if line.right else 'WRONG':<6}{line.words}", flush=True)
    return line.right is False


def run_all(given: argparse.Namespace) -> bool:
    """Each part in a process of its own; whether one was not right."""
    began, total = time.monotonic(), QUICK_SECONDS if given.quick else SECONDS
    processes = multiprocessing.get_context("forkserver")  # of a process that has imported torch, and knows no GPU yet
    processes.set_forkserver_preload([*PRELOADED])
    outcome: dict[str, str] = {}
    for name in given.parts.split(","):
        left = total - (time.monotonic() - began)
        if left < PARTS[name].least / (5 if given.quick else 1):
            outcome[name] = "skipped"
            print(f"== {name}: skipped, {max(0, left):.0f} s are left of {total}", flush=True)
            continue
        allowed = min(left, PARTS[name].most)
        print(f"== {name}: {(PARTS[name].run.__doc__ or '').splitlines()[0]}", flush=True)
        started = time.monotonic()
        process = processes.Process(target=run_part, args=(name, given.device, given.n, given.quick, allowed))
        process.start()
        process.join(allowed)
        outcome[name] = "right" if process.exitcode == 0 else "WRONG"
        if process.exitcode is None:
            process.kill()
            process.join()
            outcome[name] = "stopped"
            print(f"      stopped after {allowed:.0f} s, what was left of it is skipped", flush=True)
        outcome[name] += f" ({time.monotonic() - started:.0f} s)"
    print(f"== {time.monotonic() - began:.0f} s: " + ", ".join(f"{name} {words}" for name, words in outcome.items()))
    return any(words.startswith("WRONG") for words in outcome.values())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", help="cuda by default; where there is none, cpu and --quick")
    parser.add_argument("--n", type=int, help="rows of the large pair")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--parts", default=",".join(PARTS))
    given = parser.parse_args()
    if given.device is None:
        given.device = "cuda" if torch.cuda.is_available() else "cpu"
        given.quick |= given.device == "cpu"
    if unknown := set(given.parts.split(",")) - set(PARTS):
        parser.error(f"unknown parts {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    try:
        torch.empty(0, device=given.device)
    except (RuntimeError, AssertionError) as error:
        parser.error(f"device {given.device} is not to be had ({error}); pass --device cpu --quick")
    given.n = given.n or (32_000 if given.quick else 1_000_000)
    sys.exit(run_all(given))


if __name__ == "__main__":
    main()
