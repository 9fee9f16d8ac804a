"""What a cohort of students came to, on a terminal."""

from __future__ import annotations

from statistics import mean, stdev
from typing import TYPE_CHECKING

from kernelscope.distill.comparison import LEAST_SEEDS, Difference, Group, compared

if TYPE_CHECKING:
    from collections.abc import Sequence

PROSE = (
    "top-1 on test examples after the last epoch, and at the best epoch on validation; losses ‖K_S−K_T‖_F/‖K_T‖_F on "
    "validation examples after the last epoch."
)


def text(groups: Sequence[Group]) -> str:
    """One row a method, means over seeds; then each method against the first."""
    width = max(7, *(len(_short(group.method)) for group in groups))
    seeds = len(groups[0].students)
    lines = [f"{'method':<{width}}  {'top-1':>13}  {'best':>7}  {'embedding':>13}  {'logits':>13}"]
    for group in groups:
        cells = [_spread([100 * x for x in group.top1()], 1), f"{100 * mean(group.best()):.1f}"]
        cells += [_spread(group.losses(layer), 3) for layer in ("embedding", "logits")]
        lines.append(f"{_short(group.method):<{width}}  {cells[0]:>13}  {cells[1]:>7}  {cells[2]:>13}  {cells[3]:>13}")
    lines += ["", PROSE + (f" Means ± standard deviations over {seeds} seeds." if seeds > 1 else "")]
    for group in groups[1:]:
        words = [_in_words(name, difference) for name, difference in compared(group, groups[0]).items()]
        lines.append(f"{_short(group.method)} − {_short(groups[0].method)}: {'; '.join(words)}")
    if len(groups) > 1 and seeds < LEAST_SEEDS:
        few = "one seed is" if seeds == 1 else f"{seeds} seeds are"
        lines.append(
            f"These differences have no interval: {few} too few to know how far others would differ; give at least "
            f"{LEAST_SEEDS} with --seeds."
        )
    return "\n".join(lines)


def _spread(values: list[float] | None, digits: int) -> str:
    if values is None:
        return "–"
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def _in_words(name: str, found: Difference) -> str:
    scale, digits, unit = (100, 1, " points") if name == "top1" else (1, 3, "")
    half = "" if found.half_width is None else f" ± {scale * found.half_width:.{digits}f}"
    over = "" if found.half_width is None else f" ({100 * found.level:.0f} % over {found.n} {found.over})"
    return f"{name.replace('top1', 'top-1')} {scale * found.value:+.{digits}f}{half}{unit}{over}"


def _short(method: str) -> str:
    return method if len(method) <= 40 else method[:39] + "…"
