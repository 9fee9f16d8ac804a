"""Which examples ``--sample`` takes: the same on both sides, by class where classes are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernelscope.datasets.sampling import Drawn, draw
from kernelscope.measurement.given_labels import per_example

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelscope.datasets.examples import Examples
    from kernelscope.features.protocol import Features
    from kernelscope.features.request import Request
    from kernelscope.kernels.rows import Rows


def with_sample(examples: Examples, request: Request) -> Examples:
    """Examples that were read whole, of which labels that were given beside them draw the sample.

    Raises:
        UnreadableInput, Mismatch: labels that cannot be read, or are not one per example.
    """
    assert request.sample is not None
    labels = examples.labels
    if labels is None and request.labels is not None:
        labels = per_example(request.labels, examples.n, "labels").numbers
    return examples.taken(draw(labels, examples.n, request.sample, request.seed, examples.name))


def drawn_of_features(given: Sequence[Features], request: Request) -> tuple[Drawn, Rows | None]:
    """Rows of the first of these features, and its ids of them.

    Raises:
        UnreadableInput, Mismatch: labels that cannot be read, or are not one per row; too few rows.
    """
    assert request.sample is not None
    first = given[0]
    n = first.n if request.n is None else min(request.n, first.n)
    labels = _labels(given, request)
    drawn = draw(None if labels is None else labels[:n], n, request.sample, request.seed, first.path)
    return drawn, None if first.ids is None else np.asarray(first.ids[:])[drawn.rows]


def _labels(given: Sequence[Features], request: Request) -> np.ndarray | None:
    """Those that were given, else those of the first features that know them and have their rows in the same order."""
    first = given[0]
    if request.labels is not None:
        return per_example(request.labels, first.n, "labels").numbers
    for features in given:
        if features.labels is None or features.n != first.n:
            continue
        unknown = first.ids is None or features.ids is None
        if features is first or unknown or np.array_equal(np.asarray(first.ids[:]), np.asarray(features.ids[:])):  # type: ignore[index]
            return np.asarray(features.labels)
    return None
