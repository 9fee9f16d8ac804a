"""What needs sums first and then every row once more, where networks run a second time and no features are kept.

One walk over the rows fills everything for every pair of layers. Rows of the two runs are compared by a checksum of
every block, as sums of some examples say nothing of others. What needs more than rows one by one stays null:
neighbours, shares by pairs of classes, landmarks that are looked for among rows, prefixes.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.errors import Mismatch, one_line
from kernelscope.kernels.caught_rows import CaughtRows, HeaviestRows
from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import loss_from_sums
from kernelscope.kernels.nystrom.from_sums import class_vectors
from kernelscope.kernels.nystrom.nystrom import empty_sums
from kernelscope.kernels.nystrom.spectrum import decomposed_gram
from kernelscope.kernels.rows import BLOCK_ROWS, RowsGoneError, Summed, numpy_block
from kernelscope.kernels.shares import Share
from kernelscope.kernels.similarity.cka import cka_debiased
from kernelscope.kernels.similarity.difference_eigenvectors import RunningEigenvectors
from kernelscope.kernels.statistics.group_blocks import OpenGroups
from kernelscope.kernels.statistics.moments import both_moments
from kernelscope.kernels.statistics.permutations import Shuffled, drawn_examples, kernel_of_rows, shuffled_kernels
from kernelscope.kernels.statistics.row_forms import RunningForms, mean_taken_off
from kernelscope.kernels.statistics.sampling import groups_with_blocks, row_norms, single_examples
from kernelscope.measurement.attribution import Attribution, worst
from kernelscope.measurement.chance_numbers import null_of_norms
from kernelscope.measurement.difference_numbers import GRAM_SHOWS_SPECTRUM, eigenvector_fields
from kernelscope.measurement.from_sums import rows_by_layer, stored_type
from kernelscope.measurement.grid import sums_of_pair
from kernelscope.measurement.landmark_numbers import landmark_fields
from kernelscope.measurement.output_numbers import answer_fields, running_answers
from kernelscope.measurement.pair_numbers import Measured, with_row_lengths
from kernelscope.measurement.summed_numbers import NO_ROWS, TOO_CLOSE
from kernelscope.measurement.warnings import MOST_LEFT_OUT, cautions, outliers_among, sampling_cautions
from kernelscope.report.notes import NOT_SAMPLED, ROWS_TELL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernelscope.features.shard_sums import ShardSums
    from kernelscope.kernels.distance.layer_grid import Onlooker
    from kernelscope.kernels.nystrom.landmarks import LandmarkVectors
    from kernelscope.kernels.nystrom.nystrom_sums import NystromSums
    from kernelscope.kernels.rows import Key
    from kernelscope.kernels.statistics.row_forms import RowForms
    from kernelscope.kernels.statistics.sampling import LeaveOut, RowNorms
    from kernelscope.measurement.layer_pairs import LayerPair, Match
    from kernelscope.measurement.pair_numbers import PairSettings
    from kernelscope.report import fields
    from kernelscope.report.eigenvector_fields import DifferenceEigenvector

HEAVIEST_NOT_HELD = "the loss without the heaviest examples takes more of their rows than memory holds"
GROUPS_NOT_HELD = "groups are so scattered among the examples that their rows do not fit in memory; sort by group"


class BlockChecksums:
    """A CRC-32 of every block of each layer, as one run passes it and another does."""

    def __init__(self) -> None:
        self._of: dict[tuple[int, Key], int] = {}

    def __call__(self, start: int, block: dict[Key, np.ndarray]) -> None:
        self._of |= {(start, key): zlib.crc32(np.ascontiguousarray(rows).data) for key, rows in block.items()}

    def another(self, start: int, block: dict[Key, np.ndarray]) -> str | None:
        """The first layer, with its network's role, whose rows from row ``start`` are others; None for none."""
        again = ((key, zlib.crc32(np.ascontiguousarray(rows).data)) for key, rows in block.items())
        return next((" layer ".join(key) for key, crc in again if self._of[start, key] != crc), None)


def run_again(match: Match, sums: ShardSums, seen: BlockChecksums, settings: PairSettings) -> list[PairRun]:
    """Every pair of layers, filled by one walk over the rows of all.

    Raises:
        Mismatch: rows that are not those of the run before.
    """
    pairs = list(match.pairs())
    layers, share = rows_by_layer(pairs), Share.of(sums.n)
    drawn = CaughtRows(drawn_examples(sums.n, settings.seed, groups=match.examples.groups), layers)
    runs = [PairRun(pair, sums, drawn, settings, room_of(settings, len(pairs)), share) for pair in pairs]
    onlookers: list[Onlooker] = [drawn, *runs]
    for start, stop in share.steps(BLOCK_ROWS):
        block = {key: numpy_block(X, start, stop) for key, X in layers.items()}
        if (another := seen.another(start, block)) is not None:
            raise Mismatch(
                f"{one_line(another, 60)} gave other rows when it ran again; give data without shuffling and random "
                "augmentation, or leave out --passes 2"
            )
        for onlooker in onlookers:
            onlooker(start, block)
    drawn.take_in_others(share)
    return runs


def room_of(settings: PairSettings, pairs: int) -> int:
    """Bytes for each kind of rows that one of so many pairs may hold."""
    return settings.block_bytes // 4 // pairs


def rows_fit(groups: np.ndarray, pair: LayerPair, room: int) -> bool:
    """Whether rows of groups can be held until each group's last has passed."""
    width = pair.student.shape[1] + pair.teacher.shape[1]
    return 8 * width * OpenGroups.most_open(groups) <= room


class PairRun:
    """One pair of layers: what rows fill as they pass.

    Args:
        drawn: rows for permutations.
        room: bytes for each kind of rows that are held.
    """

    def __init__(
        self, pair: LayerPair, sums: ShardSums, drawn: CaughtRows, settings: PairSettings, room: int, share: Share
    ) -> None:
        self._seed = settings.seed
        self._share, self._examples, self._drawn = share, pair.examples, drawn
        self._keys: tuple[Key, Key] = (
            ("student", pair.names["student_layer"]),
            ("teacher", pair.names["teacher_layer"]),
        )
        X_T, X_S = (Summed(X.shape, stored_type(X)) for X in (pair.teacher, pair.student))  # not to be read in between
        self._scaled = sums_of_pair(replace(pair, teacher=X_T, student=X_S), sums.sums)
        self._loss = loss_from_sums(self._scaled, rtol=settings.rtol)
        self._centred = centre(self._scaled)
        self._means = [
            mean_taken_off(centred, X) for centred, X in ((self._centred.student, X_S), (self._centred.teacher, X_T))
        ]
        self._forms = RunningForms(self._scaled, self._centred)
        vectors = self._vectors(sums)
        self._nystrom = None if vectors is None else empty_sums(X_T, X_S, vectors, self._scaled.sums)
        self._answers, self._on_answers = running_answers(pair)
        self._eigenvectors = self._strongest()
        row_bytes = 8 * (X_S.shape[1] + X_T.shape[1])
        self._heaviest = HeaviestRows(max(1, min(int(MOST_LEFT_OUT * share.n), room // (2 * row_bytes))))
        groups = self._examples.groups
        self._groups = None
        if groups is not None and rows_fit(groups, pair, room):
            self._groups = OpenGroups(groups, (X_S.shape[1], X_T.shape[1]), share)

    def _vectors(self, sums: ShardSums) -> LandmarkVectors | None:
        if sums.caught is not None:
            return sums.caught.of(self._keys)
        if sums.by_class is None or self._examples.labels is None:
            return None
        return class_vectors(sums.by_class, self._examples.labels, self._scaled, self._keys)

    def _strongest(self) -> RunningEigenvectors | None:
        """What looks for examples at the ends of eigenvectors, where the Gram shows these."""
        if self._scaled.same or self._loss.value < GRAM_SHOWS_SPECTRUM:
            return None
        return RunningEigenvectors(self._scaled, decomposed_gram(self._scaled.sums.gram, self._scaled.sums.d_student))

    def __call__(self, start: int, block: dict[Key, np.ndarray]) -> None:
        """Take in rows from row ``start``."""
        S, T = (block[key].astype(np.float64) for key in self._keys)
        if self._nystrom is not None:
            for at in _pieces(len(S), self._nystrom.step):
                self._nystrom.add(start + at.start, S[at], T[at])
        if self._answers is not None:
            for at in _pieces(len(S), self._answers.step):
                self._answers.add(start + at.start, T[at], S[at])
        if self._groups is not None:
            self._groups.add(start, S, T)
        if self._eigenvectors is not None:
            self._eigenvectors.add(start, S, T)
        S -= self._means[0]
        T -= self._means[1]
        weights = self._forms.add(start, S, T)
        self._heaviest.add(start, weights, *(block[key] for key in self._keys))

    def report(self, measured: Measured, parts: LeaveOut | None) -> Measured:
        """The report of one run with what two give; ``parts``: of groups that the run before has summed."""
        report, scaled, share = measured.report, self._scaled, self._share
        loss = self._loss
        forms = self._forms.result(share)
        self._heaviest.of_all(share)
        attribution, notes = self._attribution(forms, loss.value, loss.interval, parts)
        own = both_moments(self._centred, forms)
        in_groups = self._examples.groups is not None
        null, on_chance = null_of_norms(scaled.sums, self._centred.sums, own, self._shuffled, None, in_groups=in_groups)
        outliers = outliers_among(attribution.rows, self._heaviest.rows)
        sums = self._nystrom_sums()
        by_landmarks: dict[str, Any] = {}
        if sums is not None and report.landmarks is not None:
            by_landmarks = landmark_fields(scaled, report.landmarks, sums, loss.norm_difference / scaled.unit)
        answers, on_flips = None, self._on_answers
        if self._answers is not None:
            answers, more = answer_fields(self._answers.result(share), self._examples)
            on_flips += more
        eigenvectors: tuple[DifferenceEigenvector, ...] | None = () if scaled.same else None
        if self._eigenvectors is not None:
            eigenvectors = eigenvector_fields(self._eigenvectors.result(), scaled, loss, self._examples)
        not_held = outliers is not None and outliers.left_out > self._heaviest.most
        filled = replace(
            report,
            **attribution.sampled(),
            **by_landmarks,
            worst=worst(attribution.rows, self._examples),
            outliers=outliers,
            null=null,
            cka_debiased=None if own is None else cka_debiased(self._centred.sums, own[0].entries, own[1].entries),
            feature_spectrum=self._spectra(report, attribution.rows),
            outputs=answers,
            difference_eigenvectors=eigenvectors,
            warnings=(
                *cautions(loss, scaled, attribution.rows, sums, self._examples.labels, report.warnings, outliers),
                *sampling_cautions(attribution.estimate, self._examples),
            ),
            notes=(
                *(note for note in report.notes if note != NO_ROWS and not (by_landmarks and note == TOO_CLOSE)),
                *notes,
                *on_chance,
                *on_flips,
                *((HEAVIEST_NOT_HELD,) if not_held else ()),
            ),
        )
        return Measured(filled, attribution.parts)

    def _attribution(
        self, forms: RowForms, loss: float, interval: fields.Interval, parts: LeaveOut | None
    ) -> tuple[Attribution, tuple[str, ...]]:
        """What rows carry, and notes on it."""
        if loss <= ROWS_TELL:
            found = Attribution(None, None)
        else:
            rows = row_norms(forms)
            if self._examples.groups is None:
                parts = single_examples(rows)
            elif self._groups is not None:
                parts = groups_with_blocks(rows, self._groups.numbers, self._groups.blocks())
            elif parts is None:
                return Attribution(rows, None), (f"{NOT_SAMPLED}{GROUPS_NOT_HELD}",)
            found = Attribution(rows, parts)
        return found, found.notes(self._examples, interval)

    def _shuffled(self) -> Shuffled | None:
        both = zip(self._keys, (self._scaled.student, self._scaled.teacher))
        K_S, K_T = (kernel_of_rows(self._drawn.vectors[key].copy(), X) for key, X in both)
        return shuffled_kernels(K_S, K_T, self._seed)

    def _nystrom_sums(self) -> NystromSums | None:
        """None where there are no landmarks, or rows would be needed a third time."""
        if self._nystrom is None:
            return None
        self._nystrom.take_in_others(self._share)
        try:
            return self._nystrom.result(same=self._scaled.same)
        except RowsGoneError:
            return None

    def _spectra(self, report: fields.PairReport, rows: RowNorms | None) -> fields.FeatureSpectra | None:
        spectra = report.feature_spectrum
        return None if spectra is None else with_row_lengths(spectra, rows, self._scaled.unit)


def _pieces(rows: int, step: int) -> Iterator[slice]:
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
