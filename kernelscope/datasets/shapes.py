"""Procedural colour images of any size, number and number of classes: a shape, its colour, texture and orientation.

A class is a combination of the four, 1,024 in all; with few classes few values of each are used, as evenly as can be,
so that no one of the four tells all classes apart. Position, scale, lighting, small turns, distractors, background and
noise vary from image to image, the more the higher ``difficulty``. An image depends on the options, its split and its
number alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelscope.datasets.examples import Examples, example_ids
from kernelscope.datasets.inputs import Hash, content_hash, look_over
from kernelscope.datasets.shape_pixels import ORIENTATIONS, SHAPES, TEXTURES, Appearance, render
from kernelscope.datasets.splitting import TRAINING, Splits
from kernelscope.errors import UsageError

COLOURS = 8
LIMITS = (SHAPES, COLOURS, TEXTURES, ORIENTATIONS)  #: values that each factor of a class can take
KEPT_BYTES = 2**28  #: up to this size images are drawn once and kept
RENDERED = 64  #: images drawn at once
PREPROCESS = [
    {"op": "scale", "by": 1 / 255},
    {"op": "normalize", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
]


@dataclass(frozen=True)
class Shapes:
    """``n`` training images, n / 8 for validation and n / 4 for test, of ``size`` × ``size`` pixels.

    Raises:
        UsageError: a value out of range.
    """

    size: int = 32
    classes: int = 10
    n: int = 2000
    difficulty: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        most = int(np.prod(LIMITS))
        for name, low, high in (("size", 8, 512), ("classes", 2, most), ("n", 8, 10**8), ("seed", 0, 2**63)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise UsageError(f"shapes takes {name} from {low} to {high}, not {value!r}; give one in that range")
        if isinstance(self.difficulty, bool) or not isinstance(self.difficulty, (int, float)):
            raise UsageError(f"shapes takes difficulty from 0 to 1, not {self.difficulty!r}; give one in that range")
        if not 0 <= self.difficulty <= 1:
            raise UsageError(f"shapes takes difficulty from 0 to 1, not {self.difficulty}; give one in that range")

    @property
    def name(self) -> str:
        """With every option, so that a checkpoint that names it means these images for good."""
        return (
            f"shapes(size={self.size},classes={self.classes},n={self.n},"
            f"difficulty={float(self.difficulty):g},seed={self.seed})"
        )

    def splits(self) -> Splits:
        return Splits(self.name, TRAINING, self.examples)

    def examples(self, split: str) -> Examples:
        """The images of one split; kept in memory where they are few, else drawn when they are read."""
        n = {"train": self.n, "validation": -(-self.n // 8), "test": -(-self.n // 4)}[split]
        source = _Drawn(self, TRAINING.index(split))
        shared: dict[str, Any] = {
            "name": self.name,
            "split": split,
            "labels": np.arange(n, dtype=np.int64) % self.classes,
            "classes": tuple(map(self._class_name, range(self.classes))),
            "preprocess": PREPROCESS,
        }
        if n * 3 * self.size**2 <= KEPT_BYTES:
            blocks = [source.images(range(start, min(start + RENDERED, n))) for start in range(0, n, RENDERED)]
            inputs = np.concatenate(blocks)
            return Examples(inputs=inputs, ids=example_ids(inputs), **shared)
        seen = look_over(
            source, range(n), lambda position: source.item(position)[0], skip_unreadable=False, noun="image"
        )
        return Examples(inputs=seen.inputs, ids=seen.ids, **shared)

    def factors(self) -> tuple[int, int, int, int]:
        """How many shapes, colours, textures and orientations make up the classes."""
        counts = [1, 1, 1, 1]
        turn = 0
        while int(np.prod(counts)) < self.classes:
            if counts[turn % 4] < LIMITS[turn % 4]:
                counts[turn % 4] += 1
            turn += 1
        return counts[0], counts[1], counts[2], counts[3]

    def class_factors(self, label: int) -> tuple[int, int, int, int]:
        """Shape, colour, texture and orientation of a class."""
        shape, colour, texture, orientation = np.unravel_index(label, self.factors(), order="F")
        return int(shape), int(colour), int(texture), int(orientation)

    def _class_name(self, label: int) -> str:
        return "-".join(map(str, self.class_factors(label)))


@dataclass(frozen=True)
class _Drawn:
    """Images of one split, drawn by their position."""

    options: Shapes
    stream: int

    @property
    def name(self) -> str:
        return self.options.name

    def item(self, position: int) -> tuple[Hash, np.ndarray]:
        image = self.images(range(position, position + 1))[0]
        return content_hash(image), image

    def images(self, positions: range) -> np.ndarray:
        """Shape ``(b, 3, size, size)`` uint8."""
        drawn = [self._appearance(position) for position in positions]
        return render(drawn, self.options.size)

    def _appearance(self, position: int) -> Appearance:
        """What image ``position`` looks like, from a random stream of its own."""
        options = self.options
        rng = np.random.default_rng([options.seed, self.stream, position])
        vary = 0.1 + 0.9 * float(options.difficulty)  # even the easiest images are not copies of one another
        shape, colour, texture, orientation = options.class_factors(position % options.classes)
        _, colours, _, orientations = options.factors()
        draws = rng.uniform(-1, 1, 16)
        return Appearance(
            shape=shape,
            texture=texture,
            angle=2 * np.pi * (orientation + 0.35 * vary * draws[0]) / orientations,
            hue=(colour + 0.35 * vary * draws[1]) / colours,
            saturation=0.8 - 0.3 * vary * (1 + draws[2]) / 2,
            value=0.9 - 0.3 * vary * (1 + draws[3]) / 2,
            contrast=0.7 - 0.35 * vary,
            phase=np.pi * vary * draws[4:6],
            centre=0.35 * vary * draws[6:8],
            radius=0.66 * (1 + 0.3 * vary * draws[8]),
            background=0.45 + 0.25 * vary * draws[9:12],
            slope=0.25 * vary * draws[12:14],
            blobs=rng.uniform(-1, 1, (round(4 * vary), 6)),
            noise=0.12 * vary * rng.standard_normal((3, options.size, options.size)),
        )
