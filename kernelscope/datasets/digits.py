"""UCI handwritten digits, embedded: 1,797 images of 8 × 8 with values 0 to 16, 10 classes.

Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository,
https://doi.org/10.24432/C50P49, licensed under CC BY 4.0. The test part of the original (as scikit-learn ships it).
"""

from __future__ import annotations

import importlib.resources

import numpy as np

from kernelscope.datasets.examples import Examples, example_ids
from kernelscope.datasets.splitting import TRAINING, split_rows
from kernelscope.errors import UsageError


def digits(split: str, *, seed: int = 0) -> Examples:
    """One split: 25 % test, 10 % of the rest validation, each stratified by class and drawn from ``seed``.

    Raises:
        UsageError: an unknown split.
    """
    if split not in TRAINING:
        raise UsageError(f"digits has no split {split!r}; choose one of {', '.join(TRAINING)}")
    images, labels = _stored()
    rows = split_rows(labels, len(labels), seed)
    pixels = images[rows["train"]] / 16.0
    whole = Examples(
        name="digits",
        split=split,
        inputs=images,
        labels=labels,
        ids=example_ids(images),
        classes=tuple("0123456789"),
        preprocess=[
            {"op": "scale", "by": 0.0625},
            {"op": "normalize", "mean": [float(pixels.mean())], "std": [float(pixels.std())]},
        ],
        seed=seed,
    )
    return whole.take(rows[split])


def _stored() -> tuple[np.ndarray, np.ndarray]:
    resource = importlib.resources.files("kernelscope.datasets") / "digits.npz"
    with resource.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        return file["images"][:, None], file["labels"].astype(np.int64)
