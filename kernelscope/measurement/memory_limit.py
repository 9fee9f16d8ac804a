"""What measuring takes of memory, from the sizes alone, and what a limit leaves for blocks.

The formulas are upper bounds of what was measured; ``benchmarks/memory_stays_below_the_limit.py`` runs the command
under the least limit that they allow and prints the peak. Blocks (n × n tiles, strips of classes' Grams, tiles of
neighbours) take what is left, so that a lower limit costs time alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kernelscope import exchange, memory
from kernelscope.errors import ResourceError, in_bytes
from kernelscope.kernels.distance.blocked import DEFAULT_MEMORY_BYTES
from kernelscope.kernels.distance.plan import few_examples
from kernelscope.kernels.similarity.class_blocks import MOST_CLASSES, WIDEST_STRIP
from kernelscope.kernels.similarity.nearest import MOST_CANDIDATES, TILE_ROWS
from kernelscope.kernels.statistics.permutations import MOST_EXAMPLES
from kernelscope.measurement.passes import Sizes, grid_widths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernelscope.measurement.layer_pairs import LayerPair, Match
    from kernelscope.measurement.pair_numbers import PairSettings

MB = 2**20
BUFFERS = 48 * MB  #: blocks of rows as they are read and in double precision
LEAST_FOR_BLOCKS = 24 * MB  #: below, tiles are so small that nothing runs at full rate
PER_EXAMPLE = 256  #: bytes: row norms, influences, assignments, ids
MATRICES = 18  #: of p × p: Gram sums of even and odd rows, centred ones, decompositions of them


def bytes_of_pair(sizes: Sizes) -> int:
    """What one pair's report takes beside blocks, whatever their size."""
    m, p = sizes.landmarks or 0, sizes.p
    landmarks = 3 * min(32 * MB, 2**15 * m) + 24 * m**2 + 32 * m * p
    kernels = 32 * sizes.n**2 if sizes.wide else 0
    return BUFFERS + 8 * MATRICES * p**2 + PER_EXAMPLE * sizes.n + landmarks + kernels


def bytes_of_blocks(sizes: Sizes) -> int:
    """What blocks of one pair would take if they may: all rows and strips of classes' Grams, or tiles of neighbours."""
    n, p, k = sizes.n, sizes.p, sizes.neighbours
    tile = min(n, TILE_ROWS)
    by_class = 8 * p * (sizes.classes * min(p, WIDEST_STRIP) + n) if 0 < sizes.classes <= MOST_CLASSES else 0
    near = tile * (13 * tile + 64 * min(n, MOST_CANDIDATES * k) + 32 * p) + 4 * n * (p + 4) if k else 0
    return max(by_class, near)


def bytes_of_grid(n: int, teacher: Sequence[int], student: Sequence[int], *, in_two: bool = False) -> int:
    """What the common sums of layers take, from their widths; ``in_two``: sums that are kept in two parts."""
    grams = 8 * (sum(d * d for d in (*teacher, *student)) + sum(teacher) * sum(student))
    if few_examples(n, max(teacher) + max(student)):
        grams = 0  # kernels are kept instead, in what is left for blocks
    kernels = 4 * (len(teacher) + len(student)) * min(n, MOST_EXAMPLES) ** 2
    return BUFFERS + 16 * MB + (13 if in_two else 7) * grams + kernels + PER_EXAMPLE * n


def left_beside(sizes: Sizes, memory_bytes: int | None) -> int:
    """What is left for blocks while one pair is measured, of all that the process may have resident.

    Raises:
        ResourceError: the pair does not fit, and how much would do.
    """
    what = f"{sizes.n:,} examples of {sizes.d_teacher} + {sizes.d_student} features"
    return _left(memory_bytes, bytes_of_pair(sizes), what)


def within_pair(pair: LayerPair, settings: PairSettings) -> PairSettings:
    """The same settings with what is left for blocks while one pair is measured. Raises as :func:`left_beside`."""
    sizes = Sizes.of(pair, settings.landmarks, settings.neighbours)
    return replace(settings, block_bytes=left_beside(sizes, settings.memory_bytes))


def within_grid(match: Match, settings: PairSettings, *, in_two: bool = False) -> PairSettings:
    """The same while all pairs of layers are measured together. Raises as :func:`left_beside`."""
    n, (teacher, student) = match.features.n, grid_widths(match)
    what = f"{n:,} examples of {len(teacher)} + {len(student)} layers"
    needed = bytes_of_grid(n, teacher, student, in_two=in_two)
    if settings.passes == 2:
        needed += bytes_of_second_run(second_run_sizes(match, settings))
    return replace(settings, block_bytes=_left(settings.memory_bytes, needed, what))


def second_run_sizes(match: Match, settings: PairSettings) -> list[Sizes]:
    """Of every pair of layers that networks run again for."""
    return [Sizes.of(pair, settings.landmarks, 0) for pair in match.pairs()]


def bytes_of_second_run(pairs: Sequence[Sizes]) -> int:
    """What pairs that are filled together take beside blocks, and the drawn rows of both networks."""
    drawn = sum(8 * min(sizes.n, MOST_EXAMPLES) * sizes.p for sizes in pairs)
    return drawn + sum(bytes_of_pair(replace(sizes, wide=0)) - BUFFERS for sizes in pairs)


def _left(memory_bytes: int | None, needed: int, what: str) -> int:
    if memory_bytes is None:
        memory.require(needed, what, "use --sample, or fewer --layers")
        return DEFAULT_MEMORY_BYTES
    left = exchange.decided(lambda: memory_bytes - (memory.resident_bytes() + needed))  # blocks are alike in all
    if left < LEAST_FOR_BLOCKS:
        least = in_bytes(memory_bytes - left + LEAST_FOR_BLOCKS)
        raise ResourceError(
            f"{what} take {least} in all, more than --max-memory {in_bytes(memory_bytes)}; raise it, or use --sample"
        )
    return left
