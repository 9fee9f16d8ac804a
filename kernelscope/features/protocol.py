"""What a store of features is, whatever it is made of: a file, arrays in memory, or a network that runs when read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from kernelscope.kernels.rows import Rows


@runtime_checkable
class Features(Protocol):
    """Layers of one network over the same examples in the same order.

    Attributes:
        path: where they are from, for messages.
        ids, labels: of each example; None where they are not known. Ids may be read as they are sliced.
        order_sha256: fingerprint of the examples' order.
        checkpoint_sha256, arch, top1: of the network, as far as they are known.
        notes: what was done to get them.
        kept: False where every reading of the rows runs the network again.
    """

    @property
    def path(self) -> str: ...
    @property
    def layers(self) -> tuple[str, ...]: ...
    @property
    def n(self) -> int: ...
    @property
    def ids(self) -> Rows | None: ...
    @property
    def labels(self) -> np.ndarray | None: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def order_sha256(self) -> str | None: ...
    @property
    def checkpoint_sha256(self) -> str | None: ...
    @property
    def arch(self) -> str | None: ...
    @property
    def top1(self) -> float | None: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def kept(self) -> bool: ...

    def features(self, layer: str) -> Rows:
        """The layer's rows ``(n, d)``."""
        ...

    def pool(self, layer: str) -> str | None:
        """How the layer's positions became rows; None where it is not known."""
        ...
