"""Features of (weights, data, layers), extracted once and kept for the next call."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kernelscope import exchange
from kernelscope.errors import UnreadableInput, UsageError, one_line
from kernelscope.features.extraction import Extraction, config_sha256
from kernelscope.features.fingerprint import is_ours
from kernelscope.features.store import FeatureStore
from kernelscope.networks.zoo import is_built_in

if TYPE_CHECKING:
    from kernelscope.checkpoints.loaded import Loaded
    from kernelscope.datasets.examples import Examples
    from kernelscope.features.request import Request


def cache_folder() -> Path:
    """``$KERNELSCOPE_CACHE``, else ``$XDG_CACHE_HOME/kernelscope``, else ``~/.cache/kernelscope``.

    Raises:
        OSError: nobody's home is known.
    """
    if named := os.environ.get("KERNELSCOPE_CACHE"):
        return Path(named)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "kernelscope"
    try:
        return Path.home() / ".cache" / "kernelscope"
    except RuntimeError as error:
        raise OSError(errno.ENOENT, "no home directory; set KERNELSCOPE_CACHE") from error


def cached_features(loaded: Loaded, examples: Examples, request: Request) -> FeatureStore:
    """The features, from the cache if they are there. Their accuracy is not checked.

    A cache that fails is no error but a note: the features then live in a temporary file as long as they are used. A
    cached file that is damaged, or fails while it is read, is extracted again. Only built-in architectures read from a
    file are kept: what a module in memory computes depends on code and attributes that no key can hold.
    """
    # the check must be made of features found in the cache, too, so that it is not part of extracting them
    extraction = Extraction(loaded, examples, replace(request, accuracy_check=False))
    if not (request.cache and _can_be_kept(loaded)):
        return _aside(extraction)
    try:
        path = cache_folder() / f"{config_sha256(extraction.config)[:32]}.h5"
        store = _known_to_all(path) or extraction.write(path, overwrite=True)
        if exchange.count() == 1:  # what fails one process alone is an error of all
            store.read_instead(lambda: _aside(extraction))
        return store
    except (OSError, UsageError) as error:
        if isinstance(error, UnreadableInput):  # of the examples: what the cache holds is never told so
            raise
        # its disk fails or is full, or another process extracts the same features now
        store = _aside(extraction)
        reason = getattr(error, "strerror", None) or str(error)
        store.notes = (*store.notes, f"features were not cached ({one_line(reason, 100)})")
        return store


def _can_be_kept(loaded: Loaded) -> bool:
    return (loaded.checkpoint is not None or is_built_in(loaded.arch)) and is_ours(loaded.module)


def _known_to_all(path: Path) -> FeatureStore | None:
    """The cached store, if the first process finds it sound; the folder for it is made."""
    found = None

    def look() -> bool:
        nonlocal found
        path.parent.mkdir(parents=True, exist_ok=True)
        found = _known(path)
        return found is not None

    return (found or FeatureStore.open(path)) if exchange.decided(look) else None


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


def _aside(extraction: Extraction) -> FeatureStore:
    """The features in a temporary file, which goes when the store does, so that a long session fills no disk."""
    folder = Path(exchange.decided(lambda: tempfile.mkdtemp(prefix="kernelscope-")))
    try:
        store = extraction.write(folder / "features.h5", overwrite=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if exchange.rank() == 0:
        weakref.finalize(store, shutil.rmtree, folder, ignore_errors=True)
    return store
