"""How a data set is read, whatever it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """How a data set is read, whatever it is.

    Attributes:
        n: exactly so many examples; an iterable without a length needs it.
        limit: the first so many, if there are so many.
        sample: so many, drawn by ``sample_seed``, each class in proportion.
        skip_unreadable: leave out examples that cannot be read, with a note.
    """

    seed: int = 0
    n: int | None = None
    limit: int | None = None
    skip_unreadable: bool = False
    sample: int | None = None
    sample_seed: int = 0

    @property
    def most(self) -> int | None:
        """No more examples than this are asked for; None for all."""
        return min((count for count in (self.n, self.limit) if count is not None), default=None)
