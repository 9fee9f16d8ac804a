"""Levels to read a loss by: the same teacher against a network that learnt nothing, or learnt the same from chance."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import loss_from_sums, well_scaled_sums
from kernelscope.kernels.distance.own_kernel import narrowed
from kernelscope.kernels.similarity import ladder
from kernelscope.kernels.similarity.cka import cka
from kernelscope.kernels.similarity.head import best_head
from kernelscope.measurement.layer_pairs import UNTRAINED, LayerPair, Match
from kernelscope.report import fields

if TYPE_CHECKING:
    from kernelscope.kernels.rows import Rows
    from kernelscope.measurement.pair_numbers import PairSettings
    from kernelscope.measurement.preparation import Preparation


class Baselines:
    """Baselines beside each pair; those that all students share are computed once."""

    def __init__(self, settings: PairSettings, preparation: Preparation) -> None:
        self.settings, self.preparation = settings, preparation
        self.known: dict[tuple[str, str, str], fields.Reference] = {}

    def beside(self, match: Match, pair: LayerPair) -> tuple[fields.Reference, ...]:
        found: list[fields.Reference] = []
        if not self.preparation.kernel.has_features:
            return ()
        for name in match.references:
            rows = match.reference(name, pair)
            if rows is None:
                continue
            key = (name, pair.names["teacher_layer"], rows[0])
            if name == UNTRAINED or key not in self.known:
                both = self.preparation.of(replace(pair, student=rows[1]))
                self.known[key] = _reference(name, both.teacher, both.student, self.settings)
            found.append(self.known[key])
        return tuple(found)


def _reference(name: str, teacher: Rows, other: Rows, settings: PairSettings) -> fields.Reference:
    scaled = well_scaled_sums(
        teacher=narrowed(teacher, "teacher features", settings.block_bytes),
        student=narrowed(other, f"features of {name}", settings.block_bytes),
        device=settings.device,
    )
    loss, by_scalar, head = loss_from_sums(scaled), ladder.best_scaled(scaled), best_head(scaled)
    return fields.Reference(
        name=name,
        transfer_loss=loss.value,
        scaled=float(by_scalar),
        head=float(head),
        cka=cka(centre(scaled).sums),
        intervals={"transfer_loss": loss.interval, "scaled": by_scalar.interval, "head": head.interval},
    )
