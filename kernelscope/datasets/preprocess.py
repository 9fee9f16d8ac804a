"""Preprocessing as plain data: a closed list of operations that a checkpoint can carry and anyone can repeat.

    {"op": "resize", "size": 256}                   shorter side to 256 (or [height, width]); "interpolation" bilinear
                                                    (default), bicubic or nearest; the first two are antialiased
    {"op": "center_crop", "size": 224}              a square, or [height, width]
    {"op": "channels", "to": 3}                     grey repeated to colour, or with 1, colour to grey
    {"op": "scale", "by": 0.00392156862745098}      every number multiplied
    {"op": "normalize", "mean": [...], "std": [...]}   per channel, one number for each

Images of one batch may differ in size until a resize and a crop have made them alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from kernelscope.errors import Mismatch, UnreadableInput, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

OPERATIONS = ("scale", "normalize", "resize", "center_crop", "channels")
GEOMETRY = ("resize", "center_crop")
LARGEST_SIDE = 8192  #: what a file may ask to resize to
IMAGENET = {"op": "normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
GREY = (0.299, 0.587, 0.114)  #: ITU-R 601, as Pillow's conversion

Operation = dict[str, Any]  #: its keys depend on its ``op``, see above
Operations = list[Operation]


def apply(operations: Operations, raw: np.ndarray | torch.Tensor | Sequence[np.ndarray]) -> torch.Tensor:
    """Raw inputs ``(n, ...)``, or n images of any sizes, as float32 through ``operations`` in order; always a copy.

    Raises:
        UnreadableInput: an operation outside the closed list, without its numbers, or for other channels.
        Mismatch: images that still differ in size at the end.
    """
    if isinstance(raw, (list, tuple)):
        each = [apply(operations, image[None])[0] for image in raw]
        return torch.stack(_alike(each))
    if isinstance(raw, torch.Tensor):
        x = raw.to(torch.float32, copy=True)
    else:
        x = torch.from_numpy(np.array(raw, dtype=np.float32, order="C"))
    for operation in operations:
        try:
            x = _step(operation, x)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UnreadableInput(
                f"preprocessing {one_line(str(operation), 60)} does not suit inputs of shape {tuple(x.shape)} "
                f"({one_line(str(error), 60)}); give others"
            ) from error
    return x


def usual(shape: tuple[int, ...], dtype: np.dtype, *, one_size: bool = True) -> Operations:
    """What data without operations of their own go through, by the shape and type of an example.

    uint8 images are scaled to [0, 1], and those of three channels normalised as ImageNet's; of different sizes, they
    are resized to 256 and cropped to 224 first. Anything else is taken as it is.
    """
    if dtype != np.uint8:
        return []
    sizes: Operations = [] if one_size else [{"op": "resize", "size": 256}, {"op": "center_crop", "size": 224}]
    colours: Operations = [IMAGENET] if len(shape) == 3 and shape[0] == 3 else []
    return [*sizes, {"op": "scale", "by": 1 / 255}, *colours]


def require_known(operations: object) -> Operations:
    """The operations as they are, if they are a list of those in the closed list.

    Raises:
        ValueError: anything else, naming it.
    """
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        raise ValueError('expected a list such as [{"op": "scale", "by": 0.5}]')
    for operation in operations:
        if operation.get("op") not in OPERATIONS:
            raise ValueError(f"{one_line(repr(operation.get('op')), 40)} is not one of {', '.join(OPERATIONS)}")
    return operations


def split_geometry(operations: Operations) -> tuple[Operations, Operations]:
    """The leading operations that settle the size of an image, and the rest."""
    count = next((i for i, op in enumerate(operations) if op.get("op") not in GEOMETRY), len(operations))
    return operations[:count], operations[count:]


def _alike(images: list[torch.Tensor]) -> list[torch.Tensor]:
    for image in images:
        if image.shape != images[0].shape:
            raise Mismatch(
                f"images of {tuple(images[0].shape)} and {tuple(image.shape)} do not make a batch; "
                'preprocess with {"op": "resize", "size": [H, W]}'
            )
    return images


def _step(operation: Operation, x: torch.Tensor) -> torch.Tensor:
    match operation.get("op"):
        case "scale":
            return x * _numbers([operation["by"]]).to(x.device)
        case "normalize":
            mean, std = (_numbers(operation[key]) for key in ("mean", "std"))
            if x.ndim < 2 or not len(mean) == len(std) == x.shape[1]:  # torch would broadcast one channel to three
                raise ValueError(f"{len(mean)} means, {len(std)} stds")
            if not bool((std > 0).all()):
                raise ValueError("a std is not positive")
            shape = (1, -1, *[1] * (x.ndim - 2))
            return (x - mean.to(x.device).view(shape)) / std.to(x.device).view(shape)
        case "resize":
            return _resized(_image(x), operation["size"], operation.get("interpolation", "bilinear"))
        case "center_crop":
            return _cropped(_image(x), _sides(operation["size"]))
        case "channels":
            return _recoloured(_image(x), operation["to"])
        case other:
            raise UnreadableInput(
                f"preprocessing {one_line(repr(other), 40)} is not one of {', '.join(OPERATIONS)}; use one of those"
            )


def _resized(x: torch.Tensor, size: object, interpolation: object) -> torch.Tensor:
    """As Pillow does, but not rounded to whole grey values nor, where bicubic overshoots, cut off at 0 and 255."""
    height, width = x.shape[2:]
    if isinstance(size, int):
        short = _side(size)
        sides = (short, int(short * width / height)) if height <= width else (int(short * height / width), short)
        _side(max(sides))
    else:
        sides = _sides(size)
    if interpolation not in ("bilinear", "bicubic", "nearest"):
        raise ValueError(f"interpolation {interpolation!r}")
    if sides == (height, width):
        return x
    if interpolation == "nearest":
        return functional.interpolate(x, sides, mode="nearest-exact")
    return functional.interpolate(x, sides, mode=interpolation, antialias=True)


def _cropped(x: torch.Tensor, sides: tuple[int, int]) -> torch.Tensor:
    (height, width), (rows, columns) = x.shape[2:], sides
    if rows > height or columns > width:
        raise ValueError(f"a crop of {rows} × {columns} from {height} × {width}")
    top, left = round((height - rows) / 2), round((width - columns) / 2)
    return x[:, :, top : top + rows, left : left + columns].contiguous()


def _recoloured(x: torch.Tensor, to: object) -> torch.Tensor:
    if to not in (1, 3) or x.shape[1] not in (1, 3):
        raise ValueError(f"{x.shape[1]} channels to {to}")
    if x.shape[1] == to:
        return x
    if to == 3:
        return x.expand(-1, 3, -1, -1).contiguous()
    return (x * torch.tensor(GREY, device=x.device).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _image(x: torch.Tensor) -> torch.Tensor:
    if x.ndim != 4:
        raise ValueError("it is for images (n, c, h, w)")
    return x


def _sides(size: Any) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return _side(height), _side(width)


def _side(length: object) -> int:
    if not isinstance(length, int) or isinstance(length, bool) or not 1 <= length <= LARGEST_SIDE:
        raise ValueError(f"a side of {length!r}, expected 1 to {LARGEST_SIDE}")
    return length


def _numbers(values: Any) -> torch.Tensor:
    """A list of finite numbers as float32, shape ``(k,)``."""
    numbers = torch.tensor([float(value) for value in values], dtype=torch.float32)
    if not bool(torch.isfinite(numbers).all()):
        raise ValueError("a number is not finite")
    return numbers
