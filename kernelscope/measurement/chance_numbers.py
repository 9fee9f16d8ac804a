"""What chance gives, into the report's ``null`` and the words that belong to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope.kernels.statistics.chance import Shuffling, chance, tail_is_known
from kernelscope.kernels.statistics.permutations import Shuffled, shuffled
from kernelscope.report import fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from kernelscope.kernels.distance.exact import ScaledSums
    from kernelscope.kernels.similarity.alignment import Norms
    from kernelscope.kernels.statistics.best_of_many import Searched
    from kernelscope.kernels.statistics.moments import Moments


def null_fields(
    scaled: ScaledSums,
    centred: ScaledSums,
    own: tuple[Moments, Moments] | None,
    seed: int,
    searched: Searched | None = None,
    groups: np.ndarray | None = None,
) -> tuple[fields.Null, tuple[str, ...]]:
    """Chance of one pair; ``searched`` where it is one of a grid, whose permutations then serve it too."""

    def shuffling() -> Shuffled | None:
        return shuffled(teacher=scaled.teacher, student=scaled.student, seed=seed, groups=groups)

    return null_of_norms(scaled.sums, centred.sums, own, shuffling, searched, in_groups=groups is not None)


def null_of_norms(
    norms: Norms,
    centred: Norms,
    own: tuple[Moments, Moments] | None,
    shuffling: Shuffling,
    searched: Searched | None,
    *,
    in_groups: bool,
) -> tuple[fields.Null, tuple[str, ...]]:
    """The same from norms of kernels, as they are and centred."""
    shuffle = shuffling if searched is None else lambda: searched.alone
    found = chance(norms, centred, own, shuffle, in_groups=in_groups)
    null = fields.Null(
        transfer_loss=found.transfer_loss,
        cka_mean=found.cka_mean,
        cka_sd=found.cka_sd,
        cka_skewness=found.cka_skewness,
        p_value=found.p_value,
        above_chance=found.above_chance,
        p_corrected=None if found.p_value is None or searched is None else searched.p_corrected,
    )
    return null, tuple(chance_notes(null, norms.n, found.shuffled, searched, in_groups=in_groups))


def chance_notes(
    null: fields.Null, n: int, shuffled: Shuffled | None, searched: Searched | None, *, in_groups: bool
) -> Iterator[str]:
    """Where p-values are from, if not from closed forms, and what the best of a grid is worth."""
    if null.p_value is None:
        return
    if in_groups and shuffled is not None:
        yield (
            f"chance of CKA (null) by {shuffled.permutations:,} permutations of {shuffled.examples:,} rows, one of "
            "each group; the loss by chance is of shuffled single rows"
        )
    elif not tail_is_known(null.cka_skewness):
        why = "not known" if null.cka_skewness is None else f"{null.cka_skewness:.1f}"
        if shuffled is None:
            yield f"null.p_value is Cantelli's upper limit: the examples that were drawn are all alike (skewness {why})"
        else:
            yield f"null.p_value by {_permutations(shuffled, n)}; a closed form would not hold (skewness {why})"
    if searched is not None and searched.best and searched.among > 1:
        by = _permutations(searched.alone, n)
        yield f"best of {searched.among} pairs: corrected p {searched.p_corrected:.2g}, by {by} common to all pairs"


def _permutations(shuffled: Shuffled, n: int) -> str:
    drawn = f"{shuffled.examples:,} drawn" if shuffled.examples < n else f"{n:,}"
    return f"{shuffled.permutations:,} permutations of {drawn} examples"
