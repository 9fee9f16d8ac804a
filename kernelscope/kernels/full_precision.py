"""TF32 off: on GPUs that have it torch may round float32 factors to 10 bits, of products and of convolutions."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """TF32 off inside, as it was before afterwards.

    Products of 10 bits alone cost 9e-5 of the loss, and convolutions, for which torch has TF32 on unless told
    otherwise, move features by 4e-4 (benchmarks/on_a_gpu.py).
    """
    import torch

    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions
