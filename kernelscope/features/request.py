"""Which examples, which layers, how pooled, how run: one value from the command line to the forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kernelscope import memory
from kernelscope.datasets.reading import Reading
from kernelscope.errors import ResourceError, UsageError, in_bytes, shown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Progress = Callable[[str, int, int], None]
#: what is about running networks
OF_NETWORKS = ("data", "split", "skip_unreadable", "preprocess", "pool", "batch_size", "dtype", "features")
T = TypeVar("T", bound="DataclassInstance")


@dataclass(frozen=True, kw_only=True)
class Request:
    """How features of networks are obtained; of files and arrays, only which of their first rows are measured.

    Attributes:
        data, split, limit, n, sample, skip_unreadable, preprocess: which examples, and what is done to them before they
            are run; see :func:`kernelscope.measurement.measure.measure`.
        seed, labels: what a sample is drawn by; labels are those that were given beside the examples.
        layers, pool: which activations become rows, and how.
        batch_size, device, dtype: how networks run, and the type features are stored in.
        cache: keep features for the next call.
        features: False to keep no file: every reading of the features runs the network.
        accuracy_check: refuse a network whose top-1 is not what its checkpoint states.
        progress: called with a network's name, examples done and their number.
        memory_bytes: the most that this process may have resident; None for no limit.
    """

    data: Any = None
    split: str | None = None
    limit: int | None = None
    n: int | None = None
    sample: int | None = None
    seed: int = 0
    labels: Any = None
    skip_unreadable: bool = False
    preprocess: list[dict[str, Any]] | None = None
    layers: str | Sequence[str] | None = None
    pool: str = "auto"
    batch_size: int = 256
    device: str = "cpu"
    dtype: str = "float32"
    cache: bool = True
    features: bool = True
    accuracy_check: bool = True
    progress: Progress | None = None
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.sample is not None and self.limit is not None:
            raise UsageError("--limit takes the first examples and --sample draws some of all; give one of the two")

    def require_for_features(self) -> None:
        """Refuse what is about running networks, where only features were given.

        Raises:
            UsageError: naming the option.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            plain = isinstance(value, (str, int, float))  # of an array, == would be an array
            if field.name in OF_NETWORKS and value is not field.default and not (plain and value == field.default):
                option = "--no-features" if field.name == "features" else f"--{field.name.replace('_', '-')}"
                raise UsageError(f"{option} is about running networks, and only features were given; leave it out")

    def reading(self, seed: int = 0) -> Reading:
        """How a data set is read."""
        sample = None if self.labels is not None else self.sample  # by labels, once the examples were read
        return Reading(seed, self.n, self.limit, self.skip_unreadable, sample=sample, sample_seed=self.seed)

    def of(self, layers: str | Sequence[str] | None) -> Request:
        """The same of other layers."""
        return replace(self, layers=layers)

    def require_memory(self, network: str) -> None:
        """Stop where running a network took more than there may be, as its first batches show.

        Raises:
            ResourceError: naming what it took.
        """
        if self.memory_bytes is not None and (peak := memory.peak_bytes()) > self.memory_bytes:
            raise ResourceError(
                f"{shown(network)} takes {in_bytes(peak)} over batches of {self.batch_size}, more than --max-memory "
                f"{in_bytes(self.memory_bytes)}; lower --batch-size, or raise it"
            )

    def report(self, name: str, done: int, total: int) -> None:
        """Call ``progress``, if there is one, once memory was looked at."""
        self.require_memory(name)
        if self.progress is not None:
            self.progress(Path(name).name, done, total)


def taking(kind: type[T], keywords: Mapping[str, Any]) -> T:
    """The dataclass ``kind`` made of those of ``keywords`` that it has fields for.

    So that a keyword of a public function is written where it is declared and where it acts, and nowhere between.
    """
    return kind(**{field.name: keywords[field.name] for field in fields(kind) if field.name in keywords})
