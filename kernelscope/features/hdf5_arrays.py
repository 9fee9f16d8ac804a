"""Features in a plain HDF5 file of another program: one dataset, or several of the same rows; chunks too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelscope.checkpoints.other_kinds import refuse_keras
from kernelscope.datasets.hdf5_inputs import open_datasets
from kernelscope.errors import UnreadableInput
from kernelscope.features.arrays import ID_NAMES, LABEL_NAMES, ArrayFeatures, of_arrays
from kernelscope.features.outline import NOT_OURS
from kernelscope.features.store import FeatureStore

if TYPE_CHECKING:
    from pathlib import Path


def open_hdf5(path: Path, part: str | None) -> FeatureStore | ArrayFeatures:
    """A feature store of ours; or the matrices of another program, all of them or the part that is named.

    Raises:
        UnreadableInput: damaged, or without a matrix (n, d).
    """
    try:
        store = FeatureStore.open(path)
    except UnreadableInput as error:
        if NOT_OURS not in str(error):
            raise
        content = open_datasets(path, (*LABEL_NAMES, *ID_NAMES), deep=True)
        if {"samples/id", "layers/0000/crc32"} <= content.keys():  # one of ours, damaged where it says so
            raise
        if part is None:  # whoever names a part has looked
            refuse_keras(path, content)
        return of_arrays(path, content, part)
    if part:
        raise UnreadableInput(f"{path} is a feature file of kernelscope, whose layers are named by --layers")
    return store
