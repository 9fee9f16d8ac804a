"""Scenes: data, teacher, student architectures and schedule that a figure's networks share.

The first stands for CIFAR-100 and the second for Tiny-ImageNet; they are made by ``shapes``, where more images of the
same kind are free: validation and test images are more than a quarter of the few training images.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kernelscope.errors import UsageError, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

SIZES = ("minutes", "hour", "paper")
SMALL_STUDENTS = {"S1": "resnet8", "S2": "resnet8x0.5", "S3": "shufflenetv2x0.25"}
PAPER_STUDENTS = {"S1": "resnet18", "S2": "resnet18x0.5", "S3": "shufflenetv2"}
SMALL_LAYERS = {"conv3": "layer1", "conv4": "layer2"}
PAPER_LAYERS = {"conv3": "layer2", "conv4": "layer3"}  #: torchvision's names of conv3_x and conv4_x
SEARCH_SEED = 100  #: of the students that weights are chosen by; no figure shows them


@dataclass(frozen=True)
class Images:
    """Three example sets by the names of data sets, of each its own split.

    ``held_out``: a part of the training images takes the place of the validation images, and is not trained on.
    """

    training: str
    validation: str
    test: str
    held_out: bool = False


@dataclass(frozen=True)
class Scene:
    """What a figure's networks share.

    Attributes:
        title: for a reader; stands_for: the paper's data set in whose place it is, if any.
        students: architecture by role. layers: of the networks, by the paper's words for them.
        preset: of the recipes, where the size is the paper's.
        search: whether weights are searched for; else they are the authors'.
    """

    key: str
    title: str
    images: Images
    stands_for: str | None
    teacher: str = "resnet20"
    teacher_seed: int = 1000
    teacher_epochs: int = 40
    students: Mapping[str, str] = field(default_factory=lambda: dict(SMALL_STUDENTS))
    layers: Mapping[str, str] = field(default_factory=lambda: dict(SMALL_LAYERS))
    epochs: int = 16
    batch_size: int = 32
    preset: str = "quick"
    search: bool = True


def _shapes(options: str, n: int) -> Images:
    """Training images, 480 to validate on and 2,000 to test on."""
    training, validation, test = (f"shapes({options},n={of},seed=0)" for of in (n, 3840, 8000))
    return Images(training, validation, test)


def _same(name: str) -> Images:
    return Images(name, name, name)


SHAPES = (
    Scene("first", "shapes, 48 classes", _shapes("size=12,classes=48,difficulty=0.5", 960), "CIFAR-100"),
    Scene("second", "shapes, 36 classes", _shapes("size=10,classes=36,difficulty=0.5", 600), "Tiny-ImageNet"),
    Scene("digits", "digits", _same("digits"), None, students={"S1": SMALL_STUDENTS["S1"]}),
)


def scenes(size: str, data: tuple[str, ...] = ()) -> tuple[Scene, ...]:
    """The scenes of a size; ``data`` takes the place of the small ones' images, the first data set first.

    Raises:
        UsageError: more than two data sets, or a size that there is not.
    """
    if size not in SIZES:
        raise UsageError(f"unknown size {size!r}; choose one of {', '.join(SIZES)}")
    if len(data) > 2:
        raise UsageError(f"{len(data)} data sets, and the paper has two; give --data twice at most")
    if size == "paper":
        return _of_paper(data)
    epochs = {"minutes": 16, "hour": 28}[size]
    chosen = SHAPES if data in ((), ("shapes",)) else tuple(map(_in_place, SHAPES, data))
    return tuple(replace(scene, epochs=epochs) for scene in chosen)


def _in_place(scene: Scene, name: str) -> Scene:
    if name == "shapes":
        return scene
    if name == "digits":
        return replace(SHAPES[2], key=scene.key, students=dict(SMALL_STUDENTS), stands_for=scene.stands_for)
    return replace(scene, title=one_line(name, 60), images=_same(name))


def _of_paper(data: tuple[str, ...]) -> tuple[Scene, ...]:
    """The paper's own networks and schedule; the data where they were named, by their own names if none were."""
    names = data or ("cifar100:DIR", "tiny-imagenet:DIR")
    made = []
    for key, stands_for, name in zip(("first", "second"), ("CIFAR-100", "Tiny-ImageNet"), names):
        kind = name.partition(":")[0]
        made.append(
            Scene(
                key=key,
                title={"cifar100": "CIFAR-100", "tiny-imagenet": "Tiny-ImageNet"}.get(kind, one_line(name, 60)),
                images=_same(name),
                stands_for=stands_for,
                teacher="resnet34",
                teacher_epochs=120,
                students=dict(PAPER_STUDENTS),
                layers=dict(PAPER_LAYERS),
                epochs=120,
                batch_size=256,
                preset="paper-tiny-imagenet" if kind == "tiny-imagenet" else "paper-cifar100",
                search=False,
            )
        )
    return tuple(made)
