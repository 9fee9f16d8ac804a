"""kernelscope: how much of the teacher's kernel did the student inherit, where, and can the number be trusted?

    >>> import kernelscope as ks
    >>> report = ks.measure(teacher=X_T, student=X_S, labels=y)
    >>> report.transfer_loss, report.ladder.scaled

Names load when they are first used: importing the package imports neither torch nor NumPy.
"""

from __future__ import annotations

import importlib

from kernelscope.version import __version__

TYPE_CHECKING = False  # checkers take it for true; importing typing would delay what ends a Ctrl-C in one line
if TYPE_CHECKING:
    from kernelscope import metrics
    from kernelscope.checkpoints.loading import load
    from kernelscope.distill import losses
    from kernelscope.distill.probe import Probe
    from kernelscope.distill.recipe import Recipe, recipe
    from kernelscope.distill.training import train, train_cohort
    from kernelscope.features.extraction import extract
    from kernelscope.features.query_map import load_map
    from kernelscope.features.store import FeatureStore
    from kernelscope.kernels.distance.answers import TransferLoss
    from kernelscope.kernels.distance.exact import transfer_loss
    from kernelscope.kernels.nystrom.landmarks import Landmarks
    from kernelscope.measurement.adapt import adapt
    from kernelscope.measurement.audit import audit
    from kernelscope.measurement.blame import blame
    from kernelscope.measurement.drift import drift
    from kernelscope.measurement.match import match
    from kernelscope.measurement.measure import measure
    from kernelscope.measurement.pin import pin
    from kernelscope.report.fields import PairReport
    from kernelscope.report.report import TransferReport

__all__ = [
    "FeatureStore",
    "Landmarks",
    "PairReport",
    "Probe",
    "Recipe",
    "TransferLoss",
    "TransferReport",
    "__version__",
    "adapt",
    "audit",
    "blame",
    "drift",
    "extract",
    "load",
    "load_map",
    "losses",
    "match",
    "measure",
    "metrics",
    "pin",
    "recipe",
    "train",
    "train_cohort",
    "transfer_loss",
]

_ROOMS = {
    "FeatureStore": "kernelscope.features.store",
    "Landmarks": "kernelscope.kernels.nystrom.landmarks",
    "PairReport": "kernelscope.report.fields",
    "Probe": "kernelscope.distill.probe",
    "Recipe": "kernelscope.distill.recipe",
    "TransferLoss": "kernelscope.kernels.distance.answers",
    "TransferReport": "kernelscope.report.report",
    "adapt": "kernelscope.measurement.adapt",
    "audit": "kernelscope.measurement.audit",
    "blame": "kernelscope.measurement.blame",
    "drift": "kernelscope.measurement.drift",
    "extract": "kernelscope.features.extraction",
    "load": "kernelscope.checkpoints.loading",
    "load_map": "kernelscope.features.query_map",
    "losses": "kernelscope.distill.losses",
    "match": "kernelscope.measurement.match",
    "measure": "kernelscope.measurement.measure",
    "metrics": "kernelscope.metrics",
    "pin": "kernelscope.measurement.pin",
    "recipe": "kernelscope.distill.recipe",
    "train": "kernelscope.distill.training",
    "train_cohort": "kernelscope.distill.training",
    "transfer_loss": "kernelscope.kernels.distance.exact",
}
#: names that are modules themselves
_WHOLE = ("losses", "metrics")


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module 'kernelscope' has no attribute {name!r}; it has {', '.join(__all__)}")
    room = importlib.import_module(_ROOMS[name])
    return room if name in _WHOLE else getattr(room, name)


def __dir__() -> list[str]:
    return sorted(__all__)
