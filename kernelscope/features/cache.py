"""Features of (weights, data, layers), extracted once and kept for the next call."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kernelscope.errors import ResourceError, UnreadableInput
from kernelscope.features.extraction import Extraction, config_sha256
from kernelscope.features.fingerprint import is_ours
from kernelscope.features.store import FeatureStore
from kernelscope.networks.zoo import is_built_in

if TYPE_CHECKING:
    from kernelscope.checkpoints.loaded import Loaded
    from kernelscope.datasets.examples import Examples
    from kernelscope.features.request import Request


def cache_folder() -> Path:
    """``$KERNELSCOPE_CACHE``, else ``$XDG_CACHE_HOME/kernelscope``, else ``~/.cache/kernelscope``."""
    if named := os.environ.get("KERNELSCOPE_CACHE"):
        return Path(named)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "kernelscope"
    return Path.home() / ".cache" / "kernelscope"


def cached_features(loaded: Loaded, examples: Examples, request: Request) -> FeatureStore:
    """The features, from the cache if they are there. Their accuracy is not checked.

    A cache that cannot be written is no error: the features then live in a temporary file until the program ends. A
    cached file that is damaged is extracted again. Only built-in architectures read from a file are kept: what a
    module in memory computes depends on code and attributes that no key can hold.
    """
    # the check must be made of features found in the cache, too, so that it is not part of extracting them
    extraction = Extraction(loaded, examples, replace(request, accuracy_check=False))
    path = None
    if request.cache and _can_be_kept(loaded):
        path = _writable(cache_folder() / f"{config_sha256(extraction.config)[:32]}.h5")
    if path is not None and (known := _known(path)) is not None:
        return known
    try:
        return extraction.write(path or _temporary() / "features.h5", overwrite=True)
    except ResourceError:
        # another process extracts the same features now, or the cache's disk is full: work aside
        return extraction.write(_temporary() / "features.h5", overwrite=True)


def _can_be_kept(loaded: Loaded) -> bool:
    return (loaded.checkpoint is not None or is_built_in(loaded.arch)) and is_ours(loaded.module)


def _known(path: Path) -> FeatureStore | None:
    """The cached store, if it is there and every checksum fits."""
    if not path.exists():
        return None
    store = None
    try:
        store = FeatureStore.open(path)
        store.verify()
        return store
    except UnreadableInput:
        if store is not None:
            store.close()
        path.unlink(missing_ok=True)
        return None


def _writable(path: Path) -> Path | None:
    """``path`` if its folder can be made and written, else None."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path if os.access(path.parent, os.W_OK) else None
    except OSError:
        return None


def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="kernelscope-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
