"""Logits at every position of two networks' outputs, whatever the pooling: the networks run once more, side by side.

Agreement of means over positions is not the mean agreement, and logits of all positions (examples × tokens × words)
are more than a disk would like to hold. So no rows are kept: both networks run again, batch by batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kernelscope.activations.layer_names import parts
from kernelscope.activations.units import POSITIONS
from kernelscope.errors import Mismatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelscope.kernels.rows import Rows
    from kernelscope.measurement.opening import NetworkInput, Ran

MOST_NUMBERS = 2**25  #: of a batch's logits, 128 MB
PER_POSITION = "agreement, KL and top k of the outputs are per position, from one more forward pass of both networks"
NOT_THERE = "outputs have positions, of which these features hold no logits: none are compared; measure the networks"
ONE_HAS_NONE = "one network's outputs have positions and the other's have none, so answers are not compared"


@dataclass(frozen=True, eq=False)
class Positions:
    """Outputs of two networks, by side: the network, the layer, and its shape for one example."""

    sides: tuple[tuple[NetworkInput, str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, *sides: tuple[NetworkInput, str]) -> Positions | None:
        """None where every row is a row of logits as it is, or the layers are no logits."""
        found = []
        for network, layer in sides:
            shape_of = getattr(network.features, "raw_shape", None)
            shape = tuple(shape_of(layer)) if shape_of is not None else ()
            pooled = len(shape) > 1 and network.features.pool(layer) not in POSITIONS
            found.append((network, layer, shape if pooled else ()))
        logits = all(parts(layer).path == "logits" and not parts(layer).side for _, layer in sides)
        return cls(tuple(found)) if logits and any(shape for _, _, shape in found) else None

    def rows(self) -> tuple[tuple[Rows, Rows] | None, str]:
        """``(X_T, X_S)`` of all positions that no mask leaves out, and a note; None where they have no counterparts."""
        shapes = [shape for _, _, shape in self.sides]
        if not all(shapes):
            return None, ONE_HAS_NONE
        (positions, classes), (others, other_classes) = map(_apart, shapes)
        if positions != others or classes != other_classes:
            return None, (
                f"outputs have {classes} classes at {_in_words(positions)} positions in the teacher and "
                f"{other_classes} at {_in_words(others)} in the student, so answers are not compared"
            )
        ran = [network.ran for network, _, _ in self.sides]
        if any(each is None for each in ran):
            return None, NOT_THERE
        teacher, student = (
            _streamed(each, layer, math.prod(shape))
            for each, (_, layer, shape) in zip(ran, self.sides)
            if each is not None
        )
        return ((teacher, student), PER_POSITION) if teacher.shape == student.shape else (None, NOT_THERE)


def _apart(shape: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """Positions and classes of tokens ``(t, classes)`` or of a map ``(classes, h, w)``."""
    return ((shape[0],), shape[1]) if len(shape) == 2 else (tuple(shape[1:]), shape[0])


def _in_words(positions: tuple[int, ...]) -> str:
    return " x ".join(map(str, positions))


def _streamed(ran: Ran, layer: str, numbers: int) -> Rows:
    from kernelscope.features.streaming import StreamedFeatures

    alone = replace(
        ran.request, layers=[layer], pool=POSITIONS[0], dtype="float32", accuracy_check=False, progress=None
    )
    few = max(1, min(alone.batch_size, MOST_NUMBERS // numbers))
    try:
        features = StreamedFeatures(ran.loaded, ran.examples, replace(alone, batch_size=few))
    except Mismatch:
        if few == alone.batch_size:
            raise
        features = StreamedFeatures(ran.loaded, ran.examples, alone)  # it takes batches of that size alone
    return features.features(layer)
