"""UCI handwritten digits, embedded: 1,797 images of 8 × 8 with values 0 to 16, 10 classes.

Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository,
https://doi.org/10.24432/C50P49, licensed under CC BY 4.0. The test part of the original (as scikit-learn ships it).
"""

from __future__ import annotations

import importlib.resources

import numpy as np

from kernelscope.datasets.examples import Examples, example_ids
from kernelscope.errors import UsageError

SPLITS = ("train", "validation", "test")
TEST_SHARE, VALIDATION_SHARE = 0.25, 0.10


def digits(split: str, *, seed: int = 0) -> Examples:
    """One split: 25 % test, 10 % of the rest validation, each stratified by class and drawn from ``seed``.

    Raises:
        UsageError: an unknown split.
    """
    if split not in SPLITS:
        raise UsageError(f"digits has no split {split!r}; choose one of {', '.join(SPLITS)}")
    images, labels = _stored()
    rows = _split_rows(labels, seed)
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


def _split_rows(labels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Rows of each split, ascending; every class is cut in the same proportions."""
    rng = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        test = round(TEST_SHARE * len(rows))
        validation = test + round(VALIDATION_SHARE * (len(rows) - test))
        for split, part in zip(("test", "validation", "train"), np.split(rows, [test, validation])):
            parts[split].append(part)
    return {split: np.sort(np.concatenate(rows)) for split, rows in parts.items()}
