"""Arrays with a mask: no formula here heeds one, so they are refused wherever arrays are given."""

from __future__ import annotations

import numpy as np

from kernelscope.errors import Mismatch

FIX = "fill it with .filled(...), or leave out the same rows or columns on both sides"


def require_unmasked(X: object, name: str) -> None:
    """Refuse a masked array of NumPy or torch, and a list that begins with one.

    Raises:
        Mismatch: naming what to do.
    """
    first = X[0] if isinstance(X, (list, tuple)) and X else None
    if is_masked(X) or is_masked(first):
        raise Mismatch(f"{name} are a masked array, whose mask would be ignored; {FIX}")


def is_masked(X: object) -> bool:
    """Whether an array carries a mask, whatever is in it."""
    return isinstance(X, np.ma.MaskedArray) or type(X).__name__ == "MaskedTensor"
