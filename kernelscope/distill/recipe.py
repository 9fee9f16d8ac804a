"""Recipe: everything that decides a training run, as one frozen value, and the presets with their sources."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import Any

from kernelscope.errors import UsageError
from kernelscope.terms import Term, parse_sum

CROPS = ("pad", "resized")

#: what students of one cohort share: they see the same examples, cut and mirrored alike, in the same steps
SHARED = ("epochs", "batch_size", "pad", "flip", "crop", "seed", "amp", "deterministic")


@dataclass(frozen=True)
class Recipe:
    """Architecture, method and optimisation of one network.

    The defaults are the ``quick`` preset: seconds to minutes on two cores. SGD with momentum, a linear learning-rate
    warm-up and a cosine to 0, as in the paper; batch, epochs and rate are for small images.

    Examples:
        >>> import kernelscope as ks
        >>> ks.Recipe(arch="resnet8x0.5", method="kda", epochs=3).lr > 0
        True

    Attributes:
        arch, arch_kwargs: a built-in architecture, as ``zoo.build`` takes it.
        method: what ``methods.losses_of`` takes; cross-entropy at weight 1 is always part of the sum.
        lr: the highest learning rate. lr_warm_up: epochs of its linear rise from 0; a cosine to 0 follows.
        batch_size: examples per step, over all processes together.
        crop: ``pad`` shifts by up to ``pad`` pixels (zeros come in), ``resized`` cuts out a part of 8 to 100 % of the
            image at 3 : 4 to 4 : 3 and scales it up.
        flip: mirror half of the images.
        seed: of the order of examples and of augmentation. init_seed: of the initial weights; None for ``seed``.
        amp: forward passes in bfloat16 (float16 on GPUs without it); losses stay in float32.
        deterministic: refuse operations whose result can change from run to run on a GPU.
        sources: where each value comes from, see :func:`recipe`; decides nothing.
    """

    arch: str = "resnet8"
    method: str = "ce"
    arch_kwargs: dict[str, Any] = field(default_factory=dict)
    epochs: int = 20
    lr: float = 0.1
    weight_decay: float = 5e-4
    momentum: float = 0.9
    batch_size: int = 64
    lr_warm_up: int = 2
    crop: str = "pad"
    pad: int = 1
    flip: bool = False
    seed: int = 0
    init_seed: int | None = None
    amp: bool = False
    deterministic: bool = False
    sources: dict[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("lr_warm_up", 0), ("pad", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}, expected at least {least}; raise it")
        if not self.lr > 0 or not self.weight_decay >= 0 or not 0 <= self.momentum < 1:
            raise UsageError(
                f"lr {self.lr} must be positive, weight decay {self.weight_decay} not negative and momentum "
                f"{self.momentum} from 0 to below 1; set --lr above 0 and the others so"
            )
        if self.crop not in CROPS:
            raise UsageError(f"crop is {self.crop!r}; set it to {' or '.join(CROPS)}")

    @functools.cached_property
    def terms(self) -> tuple[Term, ...]:
        """The terms of ``method``.

        Raises:
            UsageError: it is not written as methods are.
        """
        return parse_sum(self.method)

    @property
    def weights_seed(self) -> int:
        return self.seed if self.init_seed is None else self.init_seed

    def to_dict(self) -> dict[str, Any]:
        """As plain data, with the seed of the weights written out; ``Recipe(**d)`` gives it back."""
        return {**dataclasses.asdict(self), "init_seed": self.weights_seed}

    def decisive(self) -> dict[str, Any]:
        """All that decides the run: equal for two recipes if and only if they train the same network."""
        return {name: value for name, value in self.to_dict().items() if name != "sources"}


_QUICK = "kernelscope: minutes on two cores"
_PAPER = "Qian, Li, Hu: Experiments"
_CODE = "the authors' code"

#: what both of the paper's data sets share: the value and where it comes from
_PAPERS: dict[str, tuple[Any, str]] = {
    "epochs": (120, _PAPER),
    "lr": (0.1, _PAPER),
    "weight_decay": (5e-4, _PAPER),
    "momentum": (0.9, _PAPER),
    "batch_size": (256, _PAPER),
    "lr_warm_up": (5, _CODE + ": --warm 5 is the rate's warm-up and KDA's H at once"),
    "flip": (True, "Qian, Li, Hu: Ablation Study"),
}

PRESETS: dict[str, dict[str, tuple[Any, str]]] = {
    "quick": {
        "epochs": (20, _QUICK),
        "lr": (0.1, _PAPER),
        "weight_decay": (5e-4, _PAPER),
        "momentum": (0.9, _PAPER),
        "batch_size": (64, _QUICK),
        "lr_warm_up": (2, _QUICK),
        "crop": ("pad", _PAPER),
        "pad": (1, "kernelscope: an eighth of the digits' 8 pixels, as 4 of 32"),
        "flip": (False, "kernelscope: mirrored digits are no digits"),
    },
    "paper-cifar100": {
        **_PAPERS,
        "crop": ("pad", "Qian, Li, Hu: Ablation Study"),
        "pad": (4, "Qian, Li, Hu: Ablation Study"),
    },
    "paper-tiny-imagenet": {
        **_PAPERS,
        "crop": ("resized", "Qian, Li, Hu: Tiny-ImageNet, a more aggressive crop; 8 to 100 % of the image is ours"),
        "pad": (0, "not used by this crop"),
    },
}


def recipe(preset: str = "quick", **changes: Any) -> Recipe:
    """A preset with changes; ``None`` leaves the preset's value. ``sources`` holds where each value comes from.

    Examples:
        >>> import kernelscope as ks
        >>> ks.recipe("quick", arch="resnet8", epochs=2).epochs
        2

    Raises:
        UsageError: an unknown preset or field, or a shift for a crop that has none.
    """
    if preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
    known = {f.name for f in dataclasses.fields(Recipe)} - {"sources"}
    if unknown := set(changes) - known:
        raise UsageError(f"a recipe has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    given = {key: value for key, value in changes.items() if value is not None}
    values = {key: value for key, (value, _) in PRESETS[preset].items()} | given
    if "pad" in given and values["crop"] != "pad":
        raise UsageError(f"--pad shifts images, and the crop {values['crop']} of this recipe does not; drop --pad")
    sources = {key: source for key, (_, source) in PRESETS[preset].items()} | dict.fromkeys(given, "given")
    return Recipe(**values, sources=sources)
