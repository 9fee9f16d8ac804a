"""A sentence-transformers folder read as it is: every module with its own weights, none of its code."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from kernelscope.checkpoints import fitting, tensor_files, weights_file
from kernelscope.checkpoints.choice import Choice
from kernelscope.checkpoints.loaded import Loaded
from kernelscope.errors import one_line
from kernelscope.networks import libraries
from kernelscope.networks.sentence_encoder import Normalize, SentenceEncoder, dense_in, parts_of, pooling_in

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


def load_sentence_encoder(path: Path) -> Loaded:
    """The network in the folder, whose output is the sentence embedding.

    Raises:
        UnreadableInput: a file that is damaged, or modules of other kinds. Mismatch: weights that do not fit.
        UsageError: the package transformers is not installed.
    """
    transformer, pooling, *others = parts_of(path)
    digests: list[tuple[str, str]] = []
    remarks: list[str] = []

    def with_weights(network: nn.Module, folder: Path) -> nn.Module:
        with weights_file.opened(folder) as contents:
            names = list(contents.document) if isinstance(contents.document, dict) else []
            if not any("pooler." in str(name) for name in names):
                libraries.leave_out_pooler(network)
            weights = Choice(str(folder)).weights_for(network, contents.document)
        digests.append((str(folder.relative_to(path)), contents.sha256))
        remarks.extend(contents.remarks)
        return fitting.filled(network, weights.tensors, str(folder))

    first = with_weights(libraries.bare_transformer(transformer.folder), transformer.folder)
    after: list[nn.Module] = []
    for part in others:
        if part.kind == "Dense":
            after.append(with_weights(dense_in(part.folder), part.folder))
        elif part.kind == "Normalize":
            after.append(Normalize())
    pooled = pooling_in(pooling.folder)
    digests += [(part.kind, "") for part in others]
    digests.append(("pooling", hashlib.sha256("+".join(pooled.ways).encode()).hexdigest()))
    words = ", ".join([f"pooling {' and '.join(pooled.ways)}", *(part.kind for part in others)])
    notes = [f"a sentence encoder of sentence-transformers: {words}", *dict.fromkeys(remarks)]
    return Loaded(
        SentenceEncoder(first, pooled, *after).eval(),
        None,
        str(path),
        "sentence-transformers",
        tensor_files.folder_sha256(digests),
        tuple(one_line(f"{path.name}: {note}") for note in notes),
    )
