"""Other people's architectures: ``torchvision:NAME``, ``timm:NAME``, ``hf:DIR`` and ``pkg.mod:factory``.

Nothing here is downloaded, and only a caller may name code: a file may name ``torchvision:`` and ``timm:``, which are
the library's own, and nothing else.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kernelscope.errors import UsageError, one_line
from kernelscope.networks import pretrained

Factory = Callable[..., object]  #: of a network, as far as its caller knows
#: what a checkpoint may name besides the built-in architectures
LIBRARIES = ("torchvision", "timm")
_INSTALL = {"torchvision": "torchvision", "timm": "timm"}


def build(arch: str, arch_kwargs: dict[str, object]) -> nn.Module:
    """A fresh network, with random weights; the global random generator is left as it was.

    Args:
        arch: ``SOURCE:NAME``; the working folder is importable.
        arch_kwargs: arguments of the factory; of ``hf:DIR`` changes to its configuration.

    Raises:
        UsageError: a library that is missing or broken, an unknown name, arguments it does not take, or a factory
            that makes no network. UnreadableInput: a folder without a ``config.json`` that can be used.
    """
    source, _, name = arch.partition(":")
    make: Factory
    match source:
        case "torchvision":
            make = _from_torchvision(name)
        case "timm":
            make = _from_timm(name)
        case "hf":
            return pretrained.built(pretrained.stated_in(Path(name)), arch_kwargs)
        case _:
            make = _named(source, name, arch)
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            if source in LIBRARIES:
                warnings.simplefilter("ignore")  # theirs are about initial weights, which nobody keeps
            network = make(**arch_kwargs)
    except Exception as error:  # another library's code may fail in any way
        raise UsageError(
            f"arch {arch} cannot be called with {arch_kwargs} ({_in_words(error)}); give arguments that it takes"
        ) from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"arch {arch} makes a {type(network).__name__}, expected an nn.Module; name its factory")
    return network


def _from_torchvision(name: str) -> Factory:
    models = _library("torchvision", "torchvision.models")
    names = models.list_models()
    if name not in names:
        raise UsageError(f"torchvision has no network {one_line(name, 60)!r}{_nearest(name, names)}")
    make = models.get_model_builder(name)
    # detectors and segmenters would download the weights of their backbone
    weights = [key for key in ("weights", "weights_backbone") if key in inspect.signature(make).parameters]
    return lambda **options: make(**dict.fromkeys(weights), **options)


def _from_timm(name: str) -> Factory:
    timm = _library("timm", "timm")
    if not timm.is_model(name):
        raise UsageError(f"timm has no network {one_line(name, 60)!r}{_nearest(name, timm.list_models())}")
    return lambda **options: timm.create_model(name, pretrained=False, **options)


def _named(module_name: str, attribute: str, arch: str) -> Factory:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        made: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            made = getattr(made, part)
    except Exception as error:  # importing runs the caller's code, which may fail in any way
        raise UsageError(f"arch {arch} cannot be imported ({_in_words(error)}); write pkg.mod:factory") from error
    if not callable(made):
        raise UsageError(f"arch {arch} is a {type(made).__name__}, expected a factory; write pkg.mod:factory")
    factory: Factory = made
    return factory


def _library(source: str, module: str) -> Any:
    """The library, which is not installed by default; a torchvision of another torch raises RuntimeError."""
    try:
        return importlib.import_module(module)
    except Exception as error:
        package = _INSTALL[source]
        fix = f"run pip install --upgrade torch {package}"
        raise UsageError(f"{package} cannot be imported ({_in_words(error)}); {fix}") from error


def _nearest(name: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"; nearest: {', '.join(near)}" if near else "; see its documentation for the names"


def _in_words(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}", 80)
