"""Every layer of a ResNet-18 against every layer of another, beside pytorch-cka and the bare forward passes.

18 layers of each (the stem, sixteen 3 × 3 convolutions, the logits), 3 × 64 × 64 inputs. kernelscope gives 324 whole
reports, exact over all examples; ``compute_cka`` one number a pair, estimated from mini-batches of 128. The reach is
that the reports cost at most 1.25 times that. The peer runs in a process of its own, in the same rounds:

    python -m venv peers
    peers/bin/pip install torch pytorch-cka
    python benchmarks/all_layers_against_peers.py --peers peers/bin/python [--n N] [--rounds R] [--flatten]

``--flatten`` takes whole maps (64 × 32 × 32 features of the stem), which compute_cka always does; their first reach is
that they are measured at all, in memory that is printed. Without --peers only the forward passes are beside. Run in
the repository's root: the peer unpickles the networks.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import tempfile
from pathlib import Path

import torch
from rounds import describe_machine, median_ratio, paired_rounds, print_table

import kernelscope as ks
from kernelscope.networks.zoo.resnet import ResNet

LAYERS = ["conv1", *(f"layer{i}.{j}.conv{k}" for i in range(1, 5) for j in range(2) for k in (1, 2)), "fc"]
BATCH = 128
REACH = 1.25
CHILD = """
import sys, time, torch
from cka import compute_cka
networks, inputs, layers, threads = torch.load(sys.argv[1], weights_only=False)
torch.set_num_threads(threads)
loader = torch.utils.data.DataLoader(inputs, batch_size=128)
for _ in sys.stdin:
    compute_cka(*networks, loader, layers=layers, device="cpu", progress=False)
    print("done", flush=True)
"""


class Peer:
    """``compute_cka`` in a process that waits for a line and answers with one."""

    def __init__(self, python: str, case: Path) -> None:
        self._child = subprocess.Popen(
            [python, "-c", CHILD, str(case)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        print("go", file=self._child.stdin, flush=True)
        if self._child.stdout.readline() != "done\n":
            raise SystemExit("the peer stopped; is pytorch-cka installed beside its interpreter?")


def network(seed: int) -> ResNet:
    torch.manual_seed(seed)
    return ResNet((2, 2, 2, 2), 64, stem="imagenet", num_classes=1000).eval()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", help="interpreter of an environment with torch and pytorch-cka")
    parser.add_argument("--n", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--flatten", action="store_true")
    given = parser.parse_args()
    networks, inputs = [network(0), network(1)], torch.randn(given.n, 3, 64, 64)
    data = inputs, torch.zeros(given.n, dtype=torch.long)

    def forward() -> None:
        with torch.inference_mode():
            for start in range(0, given.n, BATCH):
                for net in networks:
                    net(inputs[start : start + BATCH])

    def reports() -> None:
        report = ks.measure(
            teacher=networks[0],
            student=networks[1],
            data=data,
            layers=LAYERS,
            pairs="all",
            pool="flatten" if given.flatten else "auto",
            batch_size=BATCH,
            cache=False,
        )
        assert all(pair.resolved and pair.rounding_certified for pair in report)

    with tempfile.TemporaryDirectory() as folder:
        case = Path(folder) / "case.pt"
        torch.save((networks, inputs, LAYERS, torch.get_num_threads()), case)
        variants = {"forward passes": forward, "kernelscope, all reports": reports}
        if given.peers:
            variants["pytorch-cka, estimates"] = Peer(given.peers, case).run
        print(f"n = {given.n}, 18 x 18 layers, {'flattened' if given.flatten else 'pooled'}; {describe_machine()}")
        seconds = paired_rounds(variants, given.rounds)
    reference = list(variants)[-1] if given.peers else "forward passes"
    print_table(seconds, reference)
    print(f"largest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")
    ratio = median_ratio(seconds, "kernelscope, all reports", reference)
    print(f"kernelscope / {reference}: {ratio:.2f}; reach {REACH if given.peers and not given.flatten else 'none'}")


if __name__ == "__main__":
    main()
