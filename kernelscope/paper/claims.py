"""What the paper claims of trained students, and what we claim beside it: each a pair of cells and a relation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kernelscope.paper import published
from kernelscope.paper.cells import EMBEDDING, LOGITS
from kernelscope.paper.plan import FIGURES, Cell
from kernelscope.paper.published import gain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernelscope.paper.plan import Plan

#: ``similar`` and ``no higher`` are claims of no difference: by less than ``size``, half of what KDA gains
Relation = Literal["higher", "lower", "ratio", "similar", "no higher", "level"]
TRACKS = 0.9  #: correlation over epochs that we read "closely correlated" as
OURS = "ours"
TEXT = "the paper's text"


@dataclass(frozen=True)
class Claim:
    """``first`` stands in ``relation`` to ``second``, both systems of one student in one scene.

    Attributes:
        figure: where the paper says so, or ``ours``. text: what it says.
        quantity: ``top1``, one of :data:`kernelscope.paper.cells.LOSSES`, or what
            :func:`kernelscope.paper.cells.value` knows, at ``layer``.
        size: the paper's own difference: of accuracies their difference, as a share; of losses the ratio first /
            second; of claims of no difference the margin; of ``level`` the level. None where the paper shows a curve.
        source: how ``size`` is known.
    """

    figure: str
    text: str
    scene: str
    role: str
    first: str
    second: str
    quantity: str = "top1"
    layer: str = EMBEDDING
    relation: Relation = "higher"
    size: float | None = None
    source: str = "a curve without numbers"


@dataclass(frozen=True)
class Place:
    """A figure or table, and whose students in which scene it is drawn from."""

    figure: str
    scene: str
    role: str


def places(plan: Plan) -> tuple[Place, ...]:
    """Every figure of a plan, once for each student architecture that it shows."""
    return tuple(
        Place(figure, scene, role)
        for figure in plan.figures
        for scene, role in dict.fromkeys((cell.scene, cell.role) for cell in FIGURES[figure] if cell in plan.cells)
    )


def of(plan: Plan) -> tuple[Claim, ...]:
    """Every claim of students that the plan trains, in the order of its figures, ours last."""
    shown = places(plan)
    students = dict.fromkeys((place.scene, place.role) for place in shown)
    paper = [claim for place in shown for claim in _of_place(place)]
    ours = [claim for scene, role in students for claim in _ours(scene, role)]
    return tuple(claim for claim in (*paper, *ours) if _cells(claim) <= set(plan.cells))


def _cells(claim: Claim) -> set[Cell]:
    return {Cell(claim.scene, claim.role, system) for system in (claim.first, claim.second)}


def _of_place(place: Place) -> Iterator[Claim]:
    match place.figure:
        case "fig2":
            yield _gain(place, "KDA with class centres is better than no teacher", "kda", "ce")
            yield _gain(
                place, "KDA with random landmarks is better than no teacher", "kda_random", "ce",
                size=gain("table2", "S1", "kda", "ce"), source="at most what Table 2 has of class centres",
            )  # fmt: skip
            yield _gain(place, "class centres are the best landmarks", "kda", "kda_random")
        case "fig3a":
            yield _loss(place, "KDA loses less of the kernel than RKD", "kda", "rkd", size=published.KDA_OVER_RKD)
            yield _loss(place, "RKD loses less than no teacher", "rkd", "ce")
            yield _loss(place, "KDA loses less than no teacher", "kda", "ce")
            yield _loss(
                place, "KDA's loss is 23 % of RKD's", "kda", "rkd", relation="ratio", size=published.KDA_OVER_RKD
            )
        case "fig3b":
            after_fc = published.LOSS_AFTER_FC
            ratio = after_fc["kda_logits"] / after_fc["kd"]
            yield _loss(place, "KD loses much less than no teacher", "kd", "ce", layer=LOGITS)
            yield _loss(place, "KDA loses much less than no teacher", "kda_logits", "ce", layer=LOGITS)
            yield _loss(place, "KDA loses less than KD", "kda_logits", "kd", layer=LOGITS, size=ratio)
        case "fig4":
            yield _level(place, "the estimate follows the loss over epochs", "tracking", TRACKS, "our reading")
        case "fig5":
            said, assumed = published.SMALLEST_EIGENVALUE, published.ASSUMED_EIGENVALUE
            yield _level(place, "the smallest eigenvalue of W exceeds 10", "min_eigenvalue", said, TEXT)
            yield _level(place, "it exceeds 1, as the Corollaries assume", "min_eigenvalue", assumed, TEXT)
        case "fig6":
            yield _none(place, "with W or without is much the same", "kda_whitened", "kda", "similar")
        case "fig7":
            yield _none(place, "two centres a class are no better than one", "kda_two", "kda", "no higher")
        case "table1":
            for system, layer in (
                ("kda_conv3", "conv3"),
                ("kda_conv4", "conv4"),
                ("kda", "conv5"),
                ("kda_logits", "FC"),
            ):
                yield _gain(place, f"KDA at {layer} is better than no teacher", system, "ce")
            yield _gain(place, "conv4 helps more than conv3", "kda_conv4", "kda_conv3")
            yield _gain(place, "conv5 helps more than conv4", "kda", "kda_conv4")
        case "table2" | "table3" | "digits":
            yield from _of_accuracies(place)


def _of_accuracies(place: Place) -> Iterator[Claim]:
    """Tables 2 and 3: every method against no teacher, KDA against others of its layer, Combo against its parts."""
    for system, name in METHODS.items():
        yield _gain(place, f"{name} is better than no teacher", system, "ce")
    yield _gain(place, "KDA is better than RKD", "kda", "rkd")
    yield _gain(place, "KDA is better than AT", "kda", "at")
    yield _gain(place, "KDA after FC is better than KD", "kda_logits", "kd")
    yield _gain(place, "Combo is better than KDA", "combo", "kda")
    yield _gain(place, "Combo is better than KDA after FC", "combo", "kda_logits")


METHODS = {"at": "AT", "rkd": "RKD", "kda": "KDA", "kd": "KD", "kda_logits": "KDA after FC", "combo": "Combo"}


def _ours(scene: str, role: str) -> Iterator[Claim]:
    """Sums that follow every batch against the paper's, which are an epoch old."""
    place = Place(OURS, scene, role)
    for system, name in (("running", "running KDA"), ("full_kernel", "the running full kernel")):
        yield _gain(place, f"{name} is better than KDA", system, "kda", source="ours")
        yield _loss(place, f"{name} loses less than KDA", system, "kda", source="ours")


def _gain(
    place: Place, text: str, first: str, second: str, *, size: float | None = None, source: str | None = None
) -> Claim:
    """A claim of accuracy; its size from the table of the place where nothing else is known."""
    if source is None:
        size = gain(place.figure, place.role, first, second)
        table = {"table1": "Tables 1 and 2", "table3": "Table 3"}.get(place.figure, "Table 2")
        source = table if size is not None else "missing in our copy" if "table" in place.figure else Claim.source
    return Claim(place.figure, text, place.scene, place.role, first, second, size=size, source=source)


def _loss(
    place: Place,
    text: str,
    first: str,
    second: str,
    *,
    relation: Relation = "lower",
    layer: str = EMBEDDING,
    size: float | None = None,
    source: str | None = None,
) -> Claim:
    return Claim(
        place.figure, text, place.scene, place.role, first, second, "raw", layer, relation, size,
        source or (Claim.source if size is None else TEXT),
    )  # fmt: skip


def _level(place: Place, text: str, quantity: str, level: float, source: str) -> Claim:
    return Claim(
        place.figure, text, place.scene, place.role, "kda", "kda", quantity, relation="level", size=level, source=source
    )


def _none(place: Place, text: str, first: str, second: str, relation: Relation) -> Claim:
    margin = (gain("table2", "S1", "kda", "ce") or 0.0) / 2
    return Claim(
        place.figure, text, place.scene, place.role, first, second, relation=relation, size=margin,
        source="half of what KDA gains in Table 2",
    )  # fmt: skip
