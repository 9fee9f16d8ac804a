"""What is done to the rows of both networks before they are compared: centring, unit length, a kernel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kernelscope.kernels.functions import Kernel, Normalised
from kernelscope.kernels.rows import Affine, Rows, row_blocks
from kernelscope.report.matching import LayerPair


@dataclass(frozen=True)
class Preparation:
    """Take off means, then scale rows to length 1, then the kernel; cosine is linear on rows of length 1."""

    kernel: Kernel
    centre: bool
    normalize: bool

    @property
    def leaves_rows(self) -> bool:
        """Whether features are compared as they are."""
        return self.kernel.name == "linear" and not self.centre and not self.normalize

    def of(self, pair: LayerPair) -> LayerPair:
        if self.leaves_rows:
            return pair
        notes = list(pair.notes)
        rows = []
        for name, X in (("teacher", pair.teacher), ("student", pair.student)):
            if self.centre:
                X = Affine(X, shift=_mean(X))
            if self.normalize or self.kernel.name == "cosine":
                X = Normalised(X)
                if zero := X.zero_rows():
                    notes.append(f"{zero} rows of the {name} are all zero and have no direction; they stay zero")
            rows.append(X)
        notes += ["each layer's mean was taken off first"] if self.centre else []
        notes += ["rows were scaled to length 1"] if self.normalize or self.kernel.name == "cosine" else []
        return replace(pair, teacher=rows[0], student=rows[1], notes=tuple(notes), kernel=self.kernel.name)


def _mean(X: Rows) -> np.ndarray:
    total = np.zeros(X.shape[1])
    for _, block in row_blocks(X):
        total += block.sum(axis=0)
    return total / X.shape[0]
