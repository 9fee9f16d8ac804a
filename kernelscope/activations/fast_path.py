"""Torch's fused path of attention layers, off while hooks are open: it passes hooks by and gives nested tensors."""

from __future__ import annotations

import threading

import torch

_lock = threading.Lock()
_taps = 0  # how many are open: the first switches off, the last restores, whatever the order they close in
_before = True


def switch_off() -> None:
    """For one more tap; every call has its :func:`restore`."""
    global _taps, _before
    with _lock:
        if _taps == 0:
            _before = torch.backends.mha.get_fastpath_enabled()
            torch.backends.mha.set_fastpath_enabled(False)
        _taps += 1


def restore() -> None:
    """As it was before, once no tap is open."""
    global _taps
    with _lock:
        _taps -= 1
        if _taps == 0:
            torch.backends.mha.set_fastpath_enabled(_before)
