"""What is done to the rows of both networks before they are compared: centring, unit length, a kernel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.errors import DegenerateKernel, UsageError
from kernelscope.kernels.constancy import is_constant
from kernelscope.kernels.distance.centring import without_mean
from kernelscope.kernels.row_views import Normalised
from kernelscope.kernels.rows import require_finite
from kernelscope.kernels.similarity.gulp import whitened

if TYPE_CHECKING:
    from kernelscope.kernels.nonlinear.functions import Kernel
    from kernelscope.measurement.layer_pairs import LayerPair

RIDGE = (
    "each layer was centred and whitened, which rounds by an amount that is estimated: intervals under this kernel are "
    "not proved; the loss is GULP over ‖H_T‖"
)


@dataclass(frozen=True)
class Preparation:
    """Take off means, then scale rows to length 1, then the kernel.

    Cosine is linear on rows of length 1, ridge on rows that are centred and whitened.
    """

    kernel: Kernel
    centre: bool
    normalize: bool

    def __post_init__(self) -> None:
        if self.centre and not self.kernel.has_features:
            raise UsageError(
                f"--centre takes off the mean of features, which does not centre a {self.kernel.name} kernel; "
                "read cka and ladder.centred, which centre the kernel itself"
            )

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
                if is_constant(X):
                    raise DegenerateKernel(
                        f"{name} features are the same for all examples, so centring leaves nothing; check the layer"
                    )
                given, X = X, without_mean(X)
                if not np.isfinite(X.shift).all():
                    require_finite(given, f"{name} features")
            if self.normalize or self.kernel.name == "cosine":
                X = Normalised(X)
                if X.zero_rows:
                    notes.append(f"{X.zero_rows} rows of the {name} are all zero and have no direction; they stay zero")
            if self.kernel.name == "ridge":
                X = whitened(X, self.kernel.rho, f"{name} features")
            rows.append(X)
        notes += ["each layer's mean was taken off first"] if self.centre else []
        notes += ["rows were scaled to length 1"] if self.normalize or self.kernel.name == "cosine" else []
        notes += [RIDGE] if self.kernel.name == "ridge" else []
        return replace(
            pair, teacher=rows[0], student=rows[1], notes=tuple(notes), kernel=self.kernel.label, as_given=pair
        )
