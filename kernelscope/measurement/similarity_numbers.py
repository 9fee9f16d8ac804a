"""Measures of similarity beside CKA, and the loss of prefixes, as a report has them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.errors import UsageError
from kernelscope.kernels.nystrom.spectrum import feature_spectrum_of
from kernelscope.kernels.similarity.gulp import RHO, gulp
from kernelscope.kernels.similarity.prefixes import prefix
from kernelscope.kernels.similarity.procrustes import procrustes
from kernelscope.kernels.similarity.within_class import within_class_cka
from kernelscope.measurement.output_numbers import output_fields
from kernelscope.report import fields
from kernelscope.report.similarity_fields import Gulp, Prefix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelscope.kernels.distance.exact import ScaledSums
    from kernelscope.kernels.nonlinear.functions import Kernel
    from kernelscope.measurement.layer_pairs import LayerPair


def similarity_fields(
    pair: LayerPair, scaled: ScaledSums, centred: ScaledSums, dims: tuple[int, ...] | None, rtol: float
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """CKA within classes, Procrustes distance, GULP, outputs, prefixes; and notes on what was left out."""
    labels = pair.examples.labels
    within = None if labels is None else within_class_cka(scaled, labels)
    alone = 0 if within is None or labels is None else _only_ones_of_their_class(labels)
    answers, on_answers = output_fields(pair)
    prefixes, on_prefixes = prefix_fields(scaled, dims, rtol)
    found = {
        "within_class_cka": within,
        **distance_fields(centred, with_gulp=not pair.kernel.startswith("ridge")),
        "outputs": answers,
        "prefixes": prefixes,
    }
    on_classes = [f"{alone} examples are the only one of their class and left out of CKA within classes"]
    return found, (*(on_classes if alone else ()), *on_answers, *on_prefixes)


def _only_ones_of_their_class(labels: np.ndarray) -> int:
    return int(np.count_nonzero(np.unique(labels, return_counts=True)[1] == 1))


def distance_fields(centred: ScaledSums, *, with_gulp: bool = True) -> dict[str, Any]:
    """What needs no labels: from the centred Gram, and the rows again only where networks are nearly equal."""
    value = gulp(centred) if with_gulp else None
    return {
        "procrustes": procrustes(centred),
        "gulp": None if value is None else Gulp(value, RHO),
    }


def spectrum_fields_of(
    eigenvalues: np.ndarray, without_mean: np.ndarray, n: int, roundoff: float
) -> fields.FeatureSpectrum:
    """One network's, from the eigenvalues of its Gram and of its centred Gram, both descending."""
    trace = float(eigenvalues.sum())
    return fields.FeatureSpectrum(
        **dataclasses.asdict(feature_spectrum_of(eigenvalues, n, roundoff)),
        mean_share=min(1.0, max(0.0, 1 - float(without_mean.sum()) / trace)) if trace > 0 else None,
        centred_effective_rank=feature_spectrum_of(without_mean, n, roundoff).effective_rank,
    )


def prefix_fields(
    scaled: ScaledSums, dims: tuple[int, ...] | None, rtol: float
) -> tuple[tuple[Prefix, ...] | None, tuple[str, ...]]:
    """Numbers of the first k features of both networks for each k asked for, and notes on them."""
    if dims is None:
        return None, ()
    widest = max(scaled.sums.d_student, scaled.sums.d_teacher)
    found, notes = [], ["prefixes are measured without neighbours, landmarks and sampling intervals"]
    if beyond := [str(k) for k in dims if k > widest]:
        notes.append(f"no prefix of {', '.join(beyond)} features: neither network has more than {widest} here")
    for k in dims:
        if k > widest:
            continue
        cut = prefix(scaled, k, rtol)
        if cut is None:
            found.append(Prefix(k, None, None, None, None))
            notes.append(f"the teacher's first {k} features are all 0, so that prefix has no loss")
        else:
            found.append(Prefix(k, cut.loss.value, cut.loss.interval, cut.scaled, cut.cka))
    return tuple(found), tuple(notes)


def require_prefixes(dims: tuple[int, ...], pairs: Sequence[LayerPair], kernel: Kernel) -> None:
    """Refuse prefixes that no pair of layers has, before anything is computed.

    Raises:
        UsageError: features that are not compared one by one, or more of them than any network has.
    """
    if kernel.name not in ("linear", "cosine"):
        raise UsageError(f"--dims takes the first features as they are, and the {kernel.name} kernel has others")
    widest = max((X.shape[1] for pair in pairs for X in (pair.teacher, pair.student)), default=0)
    if pairs and dims[-1] > widest:
        raise UsageError(f"--dims asks for {dims[-1]} features and no layer has more than {widest}; ask for fewer")
