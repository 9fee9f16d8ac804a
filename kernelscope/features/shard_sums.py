"""Sums of shards: what one pass over each leaves, of which networks and examples, and how they are put together.

Examples may be counted once. Each shard has a fingerprint, of its ids in order or, without ids, of its rows; a shard
of up to :data:`MOST_IDS` rows also keeps the 16 bytes of each id, as long as all of them together are no more.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope.errors import Mismatch, one_line, shown
from kernelscope.features.id_keys import id_bytes
from kernelscope.kernels.distance.merging import merged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernelscope.kernels.distance.layer_grid import LayerSums
    from kernelscope.kernels.halves import Second
    from kernelscope.kernels.nystrom.class_sums import ClassSums
    from kernelscope.kernels.nystrom.from_sums import LandmarkRows
    from kernelscope.kernels.rows import Key, Rows
    from kernelscope.kernels.shares import Share
    from kernelscope.kernels.similarity.diagonals import Diagonals

MORE = " …"  #: ends the name of the first of several files
MOST_IDS = 4_000_000  #: kept of all shards together, 64 MB


@dataclass(frozen=True)
class SummedNetwork:
    """What is known of a network whose features were added up."""

    name: str
    sha256: str | None
    arch: str | None
    top1: float | None


@dataclass(frozen=True)
class SummedLayer:
    """A layer that was added up; ``dtype``: the type that its features were stored in."""

    role: str
    name: str
    width: int
    dtype: str
    pool: str | None

    @property
    def key(self) -> Key:
        return self.role, self.name


@dataclass(frozen=True, eq=False)
class Shard:
    """Rows that were read in one pass; ``ids``: ``(rows, 16)`` bytes in their order, None where none are kept."""

    name: str
    rows: int
    fingerprint: str
    ids: np.ndarray | None = None

    @property
    def described(self) -> dict[str, Any]:
        """As a report's ``meta`` has it."""
        return {"name": self.name, "rows": self.rows, "fingerprint": self.fingerprint}


@dataclass(frozen=True, eq=False)
class ShardSums:
    """Sums of one shard or several. ``origin`` names them in messages; ``pairs``: (teacher, student) layers asked for.

    ``unit``: what a row is; ``classes``: names of the numbers that ``by_class`` has; it is None without labels.
    ``caught``: rows that serve as landmarks, of one pass alone: files do not keep them.
    """

    origin: str
    teacher: SummedNetwork
    student: SummedNetwork
    layers: tuple[SummedLayer, ...]
    pairs: tuple[tuple[str, str], ...]
    unit: str
    split: str | None
    classes: tuple[str, ...]
    shards: tuple[Shard, ...]
    sums: LayerSums
    diagonals: Diagonals
    by_class: ClassSums | None
    notes: tuple[str, ...] = ()
    caught: LandmarkRows | None = None

    @property
    def n(self) -> int:
        return self.sums.n

    def added(self, other: ShardSums) -> ShardSums:
        """Of the rows of both, in a new value.

        Raises:
            Mismatch: other layers, networks, settings or classes; a shard, or a row by its id, that both have.
        """
        _require_same_settings(self, other)
        _require_other_rows(self, other)
        by_class = None
        if self.by_class is not None and other.by_class is not None:
            by_class = self.by_class.merged(other.by_class)
        return replace(
            self,
            teacher=_either(self.teacher, self.n, other.teacher, other.n),
            student=_either(self.student, self.n, other.student, other.n),
            pairs=tuple(dict.fromkeys(self.pairs + other.pairs)),
            split=self.split if self.split == other.split else None,
            shards=_without_most_ids(self.shards + other.shards),
            sums=merged(self.sums, other.sums),
            diagonals=self.diagonals.merged(other.diagonals),
            by_class=by_class,
            notes=tuple(dict.fromkeys(self.notes + other.notes)),
        )

    def on_grid_with(self, other: ShardSums) -> ShardSums:
        """These sums, with the finest grid that has room for the rows of both: for their grid alone.

        Raises:
            Mismatch: sums on no grid, or of other layers.
        """
        grids = self.sums.grid, other.sums.grid
        if grids[0] is None or grids[1] is None:
            without = self if grids[0] is None else other
            raise Mismatch(f"{shown(without.origin)} was summed without --reproducible and has no grid; sum it so")
        _require_same_settings(self, other)
        return replace(self, sums=replace(self.sums, grid=grids[0].with_room_for(grids[1])))


class RowFingerprint:
    """A hash over the hashes of blocks of rows, which are taken as they are read, to be told ``beside`` a pass."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def __call__(self, start: int, block: dict[Key, np.ndarray]) -> None:
        digest = hashlib.blake2b(digest_size=16)
        for key, rows in sorted(block.items()):
            digest.update(repr((start, key, rows.shape, rows.dtype.str)).encode())
            digest.update(np.ascontiguousarray(rows).tobytes())
        self._blocks.append(digest.digest())

    def of_all(self, share: Share) -> str:
        """In hex, once every process has seen its share: the same for any number of them."""
        (blocks,) = share.gathered(np.frombuffer(b"".join(self._blocks), np.uint8))
        return hashlib.blake2b(blocks.tobytes(), digest_size=16).hexdigest()


def kept_ids(ids: Rows | None) -> np.ndarray | None:
    """The ids of a shard's rows as 16 bytes each; None where there are none, too many, or one stands in two rows."""
    if ids is None or ids.shape[0] > MOST_IDS:
        return None
    whole = id_bytes(np.asarray(ids[:]))
    return whole if len({each.tobytes() for each in whole}) == len(whole) else None


def halves_by_id(ids: Rows | None) -> Second | None:
    """Which rows make the second half, by a bit of their ids and so whatever their order; None without ids."""
    return None if ids is None else lambda start, stop: (id_bytes(np.asarray(ids[start:stop]))[:, 0] & 1).astype(bool)


def _without_most_ids(shards: tuple[Shard, ...]) -> tuple[Shard, ...]:
    kept, found = 0, []
    for shard in shards:
        kept += shard.rows if shard.ids is not None else 0
        found.append(shard if kept <= MOST_IDS else replace(shard, ids=None))
    return tuple(found)


def _either(one: SummedNetwork, n: int, two: SummedNetwork, m: int) -> SummedNetwork:
    """The network of both, whose top-1 is that over all rows; features of it may come from files of several names."""
    known = one.top1 is not None and two.top1 is not None
    name = one.name if one.name in (two.name, f"{two.name}{MORE}") else one.name.removesuffix(MORE) + MORE
    return replace(one, name=name, top1=(one.top1 * n + two.top1 * m) / (n + m) if known else None)  # type: ignore[operator]


def _settings(sums: ShardSums) -> Iterator[tuple[str, Any]]:
    yield "layers", sorted(f"{layer.role} {layer.name}" for layer in sums.layers)
    for layer in sums.layers:
        for what in ("width", "dtype", "pool"):
            yield f"{layer.role} {layer.name} of {what}", getattr(layer, what)
    yield "rows that are of unit", sums.unit
    for role in ("teacher", "student"):
        yield f"the {role}'s weights (sha256)", getattr(sums, role).sha256
    yield "labels", "yes" if sums.by_class is not None else "no"
    yield "classes", list(sums.classes)


def _require_same_settings(one: ShardSums, two: ShardSums) -> None:
    other = dict(_settings(two))
    for what, value in _settings(one):
        if other.get(what, value) != value:
            a, b = _differing(value, other[what])
            raise Mismatch(
                f"{shown(two.origin, 40)} differs in {what} from {shown(one.origin, 40)} ({one_line(b, 30)}, not "
                f"{one_line(a, 30)}); sum the same layers alike"
            )


def _differing(one: Any, two: Any) -> tuple[str, str]:
    """Two values, of lists only what stands in one of them."""
    if not isinstance(one, list):
        return str(one), str(two)
    return tuple(", ".join(str(x) for x in a if x not in b) or "fewer" for a, b in ((one, two), (two, one)))  # type: ignore[return-value]


def _require_other_rows(one: ShardSums, two: ShardSums) -> None:
    seen = {shard.fingerprint: shard.name for shard in one.shards}
    for shard in two.shards:
        if (twin := seen.get(shard.fingerprint)) is not None:
            as_twin = "" if twin == shard.name else f", the other time as {shown(twin, 40)}"
            raise Mismatch(
                f"shard {shown(shard.name, 40)} ({shown(two.origin, 40)}) is there twice{as_twin}; give each once"
            )
    for shard in two.shards:
        for other in one.shards:
            if shard.ids is not None and other.ids is not None and (both := _in_both(other.ids, shard.ids)) is not None:
                count, row, column = both
                raise Mismatch(
                    f"{count:,} rows are in two shards by their ids, first row {column} of {shown(shard.name, 40)} and "
                    f"row {row} of {shown(other.name, 40)}; give each example once"
                )


def _in_both(one: np.ndarray, two: np.ndarray) -> tuple[int, int, int] | None:
    """How many ids stand in both, and the rows of the first of them; None for none."""
    a, b = (ids[:, :8].copy().view("<u8").ravel() for ids in (one, two))
    near = np.flatnonzero(np.isin(b, a))  # by half of their bytes, which hardly ever agree by chance
    if len(near) == 0:
        return None
    own = np.flatnonzero(np.isin(a, b[near]))
    rows = {one[row].tobytes(): int(row) for row in own[::-1]}
    both = [(rows[two[row].tobytes()], int(row)) for row in near if two[row].tobytes() in rows]
    return (len(both), *both[0]) if both else None
