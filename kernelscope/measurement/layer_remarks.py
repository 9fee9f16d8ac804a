"""What forward passes told of two layers, as notes and warnings of their pair; it stands among a network's notes."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from kernelscope.activations.remarks import Remark
from kernelscope.report.fields import Warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernelscope.measurement.opening import NetworkInput


def on_networks(*networks: NetworkInput) -> tuple[str, ...]:
    """Notes of networks that are on no single layer."""
    notes = [(network, note) for network in networks for note in (*network.notes, *network.features.notes)]
    return tuple(dict.fromkeys(note for network, note in notes if Remark.read(note, network.features.layers) is None))


def on_layers(
    teacher: NetworkInput, teacher_layer: str, student: NetworkInput, student_layer: str
) -> tuple[tuple[str, ...], tuple[Warning, ...]]:
    """Notes and warnings on these two layers; what holds of both networks alike is said once."""
    sides = [(teacher, set(_remarks(teacher, teacher_layer))), (student, set(_remarks(student, student_layer)))]
    notes, warnings = [], []
    for remark in dict.fromkeys((*_remarks(teacher, teacher_layer), *_remarks(student, student_layer))):
        owners = [PurePath(network.name).name for network, found in sides if remark in found]
        whose = "" if len(owners) == 2 else f" of {owners[0]}"
        if remark.code:
            warnings.append(Warning(remark.code, f"{remark.layer}{whose} {remark.text}"))
        else:
            notes.append(f"{remark.layer}{whose}: {remark.text}")
    return tuple(notes), tuple(warnings)


def _remarks(network: NetworkInput, layer: str) -> Iterator[Remark]:
    for note in dict.fromkeys((*network.notes, *network.features.notes)):
        remark = Remark.read(note, network.features.layers)
        if remark is not None and remark.layer == layer:
            yield remark
