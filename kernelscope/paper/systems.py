"""Systems: the ways to train that the paper compares, ours beside them, and the weights that are searched for.

Figures name a system by its key; only this file knows how methods are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kernelscope.errors import UsageError

Options = Mapping[str, str]  #: by searched system, the options found for it


@dataclass(frozen=True)
class System:
    """A way to train.

    Attributes:
        template: its method; ``{KEY}`` stands for the options found for the system KEY, ``{conv3}`` and ``{conv4}`` for
            the layers of a scene that stand where the paper's do.
        tried: options among which a search chooses, written where the template has ``{KEY}`` of its own key.
        authors: those of the authors of each method, for batches of 256 images.
        ours: it is not the paper's.
    """

    key: str
    title: str
    template: str
    tried: tuple[str, ...] = ()
    authors: str = ""
    ours: bool = False

    def needs(self) -> tuple[str, ...]:
        """The systems whose options it takes."""
        return tuple(key for key in SEARCHED if f"{{{key}}}" in self.template)

    def method(self, options: Options, layers: Mapping[str, str]) -> str:
        """It, written out."""
        return self.template.format(**options, **layers)


def _weights(*values: str) -> tuple[str, ...]:
    return tuple(f"weight={value}" for value in values)


SYSTEMS = {
    system.key: system
    for system in (
        System("ce", "no teacher", "ce"),
        System("kda", "KDA", "kda({kda})", _weights("0.05", "0.1", "0.2", "0.4"), "weight=0.04"),
        System("kda_random", "KDA, random landmarks", "kda(landmarks=uniform,{kda})"),
        System("kda_two", "KDA, two centres per class", "kda(centres_per_class=2,{kda})"),
        System(
            "kda_whitened",
            "KDA with W",
            "kda(whiten=teacher,{kda_whitened})",
            _weights("0.01", "0.03", "0.1"),
            "weight=0.04",
        ),
        System("kda_conv3", "KDA at conv3_x", "kda@{conv3}({kda})"),
        System("kda_conv4", "KDA at conv4_x", "kda@{conv4}({kda})"),
        System(
            "kda_logits",
            "KDA after FC",
            "kda@logits({kda_logits})",
            _weights("0.1", "0.2", "0.4", "0.8"),
            "weight=0.04",
        ),
        System("combo", "KDA, both layers", "kda@embedding({kda})+kda@logits({kda_logits})"),
        System("kd", "KD", "kd(T=4,{kd})", _weights("0.5", "1", "2", "4"), "weight=9"),
        System("at", "AT", "at({at})", _weights("3", "30", "300"), "weight=1000"),
        System(
            "rkd",
            "RKD",
            "rkd({rkd})",
            ("distance=5,angle=10", "distance=10,angle=20", "distance=20,angle=40"),
            "distance=25,angle=50",
        ),
        System(
            "running",
            "KDA, running centres",
            "kda(landmarks=running,{running})",
            _weights("0.1", "0.2", "0.4", "0.8"),
            "weight=0.04",
            ours=True,
        ),
        System("full_kernel", "full kernel", "full_kernel({full_kernel})", _weights("4", "8", "16"), "weight=10", True),
        System("running_rkd", "running centres and RKD", "kda(landmarks=running,{running})+rkd({rkd})", ours=True),
    )
}
SEARCHED = tuple(key for key, system in SYSTEMS.items() if system.tried)
OURS = tuple(key for key, system in SYSTEMS.items() if system.ours)
PAPER = tuple(key for key, system in SYSTEMS.items() if not system.ours)
TABLE2 = ("ce", "at", "rkd", "kda", "kd", "kda_logits", "combo")  #: columns of the paper's tables 2 and 3
AUTHORS = {key: SYSTEMS[key].authors for key in SEARCHED}


def system(key: str) -> System:
    """A system by its key.

    Raises:
        UsageError: there is none.
    """
    if key not in SYSTEMS:
        raise UsageError(f"unknown system {key!r}; there are {', '.join(SYSTEMS)}")
    return SYSTEMS[key]
