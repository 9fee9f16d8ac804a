"""Row: what one trained network came to, as plain data; one JSON file beside its checkpoint."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelscope import files
from kernelscope.errors import UnreadableInput, shown

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "kernelscope.row"
FORMAT_VERSION = 1
MOST_BYTES = 2**26  #: a row of 120 epochs takes some hundred kilobytes


@dataclass(frozen=True)
class Row:
    """One network of a study.

    Accuracies are of the test images, numbers of ``layers`` as well; ``trajectory`` and ``validation_top1`` of the
    validation images. Of a network that failed everything after ``failed`` is None or empty.

    Attributes:
        key: of its files ``students/KEY.pt`` and ``students/KEY.json``.
        scene: which data, teacher and schedule; role: ``teacher``, or which student architecture of the scene.
        system: which way to train, see :mod:`kernelscope.paper.systems`; method: it, written out.
        seed: of initial weights, order and augmentation.
        purpose: ``figure``, ``search`` (of a weight, on part of the training images) or ``teacher``.
        failed: why there is no network.
        seconds: of its training and its share of what its cohort shares; threads: of its process.
        top1: after the last epoch; top1_best: at the best epoch on validation.
        agreement: share of images that teacher and student put in the same class. flips: share that the teacher has
            right and the student wrong.
        training_ce: mean cross-entropy over the last epoch.
        validation_top1: per epoch. trajectory: per epoch ``{"epoch", "layers": {LAYER: {...}}}``, the fields of
            :class:`kernelscope.kernels.snapshot.Snapshot`, or None where it has no value.
        layers: per layer the numbers of :func:`kernelscope.paper.numbers.of_pair`.
        correct: which test images it has right, packed, in hexadecimal; see :meth:`right`.
        test_images: their number.
    """

    key: str
    scene: str
    role: str
    arch: str
    system: str
    method: str
    seed: int
    epochs: int
    purpose: str = "figure"
    failed: str | None = None
    seconds: float | None = None
    threads: int = 1
    top1: float | None = None
    top1_best: float | None = None
    teacher_top1: float | None = None
    agreement: float | None = None
    flips: float | None = None
    training_ce: float | None = None
    validation_top1: list[float] = field(default_factory=list)
    trajectory: list[dict[str, Any]] = field(default_factory=list)
    layers: dict[str, dict[str, Any]] = field(default_factory=dict)
    correct: str | None = None
    test_images: int = 0

    def right(self) -> np.ndarray | None:
        """Whether each test image is classified correctly, shape ``(test_images,)``; None where it failed."""
        if self.correct is None:
            return None
        packed = np.frombuffer(bytes.fromhex(self.correct), np.uint8)
        return np.unpackbits(packed, count=self.test_images).astype(bool)

    def flat(self) -> dict[str, float | str | bool | None]:
        """Its single numbers and words, those of a layer as ``LAYER.NUMBER``; for a table."""
        flat = {name: value for name, value in vars(self).items() if isinstance(value, (str, int, float, type(None)))}
        flat.pop("correct")
        for layer, numbers in self.layers.items():
            flat |= {f"{layer}.{name}": value for name, value in numbers.items() if isinstance(value, (int, float))}
        return flat

    def to_json(self) -> str:
        """One JSON document; never NaN or Infinity."""
        document = {"format": FORMAT, "format_version": FORMAT_VERSION, **dataclasses.asdict(self)}
        return json.dumps(document, allow_nan=False, ensure_ascii=False) + "\n"

    def save(self, path: Path) -> None:
        """Write it to ``path``, whole or not at all.

        Raises:
            ResourceError: the disk cannot take it.
        """
        files.write_text(path, self.to_json())


def packed(right: np.ndarray) -> str:
    """``right`` as :attr:`Row.correct` holds it."""
    return np.packbits(right.astype(bool)).tobytes().hex()


def read(path: Path) -> Row:
    """The row at ``path``.

    Raises:
        UnreadableInput: it is missing, damaged, or no row.
    """
    files.require_readable(path)
    with files.reading(path):
        if path.stat().st_size > MOST_BYTES:
            raise UnreadableInput(f"{shown(path)} is too large for a row of a study; move it away")
        content = path.read_bytes()
    try:
        document = json.loads(content)
        if document.pop("format") != FORMAT or document.pop("format_version") != FORMAT_VERSION:
            raise ValueError("another format")
        row = Row(**document)
        _require_sound(row)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UnreadableInput(f"{shown(path)} is no row of a study, or damaged; remove it to train anew") from error
    return row


def _require_sound(row: Row) -> None:
    """Raise ValueError or TypeError for values of another kind than those of a row that was saved."""
    for name, kind in (("key", str), ("method", str), ("seed", int), ("epochs", int), ("layers", dict)):
        if not isinstance(getattr(row, name), kind):
            raise TypeError(name)
    json.dumps(dataclasses.asdict(row), allow_nan=False)
    found = row.right()
    if found is not None and row.top1 is None:
        raise ValueError("top1")
