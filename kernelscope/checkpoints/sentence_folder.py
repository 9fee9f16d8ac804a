"""A sentence-transformers folder read as it is: every module with its own weights, none of its code."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from kernelscope.checkpoints import fitting, tensor_files, weights_file
from kernelscope.checkpoints.choice import Choice
from kernelscope.checkpoints.loaded import Loaded
from kernelscope.checkpoints.pretrained_folder import with_weights
from kernelscope.errors import one_line
from kernelscope.networks import pretrained
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
    stated = pretrained.stated_in(transformer.folder)
    with weights_file.opened(transformer.folder) as contents:
        account, remarks = with_weights(stated, contents, Choice(str(transformer.folder)), headless=True)
    config = hashlib.sha256(stated.raw).hexdigest()
    digests = [(pretrained.CONFIG, config), (str(transformer.folder.relative_to(path)), contents.sha256)]
    after: list[nn.Module] = []
    for part in others:
        if part.kind == "Dense":
            dense = dense_in(part.folder)
            with weights_file.opened(part.folder) as contents:
                weights = Choice(str(part.folder)).weights_for(dense, contents.document)
            after.append(fitting.filled(dense, weights.tensors, str(part.folder)))
            digests.append((str(part.folder.relative_to(path)), contents.sha256))
            remarks += contents.remarks
        elif part.kind == "Normalize":
            after.append(Normalize())
    pooled = pooling_in(pooling.folder)
    digests += [(part.kind, "") for part in others]
    digests.append(("pooling", hashlib.sha256("+".join(pooled.ways).encode()).hexdigest()))
    words = ", ".join([f"pooling {' and '.join(pooled.ways)}", *(part.kind for part in others)])
    notes = [f"a sentence encoder of sentence-transformers: {words}", *dict.fromkeys(remarks)]
    return Loaded(
        SentenceEncoder(account.network, pooled, *after).eval(),
        None,
        str(path),
        "sentence-transformers",
        tensor_files.folder_sha256(digests),
        tuple(one_line(f"{path.name}: {note}") for note in notes),
    )
