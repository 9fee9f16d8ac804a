"""Hugging Face folders: the class that ``config.json`` names, filled as transformers itself fills it.

Which names a file's weights have, and which of them may be missing because they are tied, is known to the library's own
``from_pretrained`` alone. It gets the tensors that were read and checked before, and never a path: so it opens no file,
and nothing that a folder says makes it look for one.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from kernelscope.errors import Mismatch, UnreadableInput, UsageError, one_line, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = "config.json"
MAX_BYTES = 2**24  #: of a configuration; those of published networks have a few thousand
MOST_LAYERS = 10_000  #: each is some objects, though it takes no memory for weights
SPARE_VALUES = 2**26  #: that a network may have beside its weights, as of positions
OLDEST = 5  #: since then names on disk and in memory differ, and one road in the library knows both
#: tasks whose classes may have left weights of their own in a file
HEADS = (
    "", "FOR_PRETRAINING_", "FOR_MASKED_LM_", "FOR_CAUSAL_LM_", "FOR_NEXT_SENTENCE_PREDICTION_",
    "FOR_SEQUENCE_CLASSIFICATION_", "FOR_TOKEN_CLASSIFICATION_", "FOR_QUESTION_ANSWERING_", "FOR_MULTIPLE_CHOICE_",
    "FOR_SEQ_TO_SEQ_CAUSAL_LM_", "FOR_IMAGE_CLASSIFICATION_", "FOR_MASKED_IMAGE_MODELING_",
    "FOR_SEMANTIC_SEGMENTATION_", "FOR_CTC_", "FOR_AUDIO_CLASSIFICATION_",
)  # fmt: skip
#: what a configuration may say of code, of other files and of how attention is computed, which is not taken from it
_NOT_TAKEN = {
    "auto_map", "custom_pipelines", "transformers_weights", "fusion_config", "kernel_config", "attn_implementation",
    "_attn_implementation", "_attn_implementation_internal", "experts_implementation",
    "_experts_implementation_internal", "name_or_path", "_name_or_path",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Account:
    """A network with weights, and where the names in the file and in the network differ.

    Attributes:
        missing, unexpected: names of the network that the file lacks, and the other way round.
        misshapen: names whose shapes differ, with the file's and the network's.
        left, made: names in the file that transformers leaves aside for this class, or that other classes of its
            configuration have, and names that it makes itself.
        tied: names of the network that the file lacks, as they are tied to others.
    """

    network: nn.Module
    missing: list[str]
    unexpected: list[str]
    misshapen: list[tuple[str, tuple[int, ...], tuple[int, ...]]]
    left: list[str]
    made: list[str]
    tied: list[str]


@dataclass(frozen=True)
class Stated:
    """What a folder's ``config.json`` says."""

    folder: Path
    content: dict[str, Any]
    raw: bytes = field(repr=False)

    @property
    def kind(self) -> str:
        """The class that it names, or else the model's type."""
        named = self.content.get("architectures")
        names = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
        return one_line(str(names[0] if names else self.content.get("model_type", "")), 60)


def stated_in(folder: Path) -> Stated:
    """The configuration of a folder as plain JSON.

    Raises:
        UnreadableInput: there is none, or it holds no settings.
    """
    path = folder / CONFIG
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no regular file")
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes")
        raw = path.read_bytes()
        content = json.loads(raw)
        if not isinstance(content, dict):
            raise TypeError(f"it holds a {type(content).__name__}")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UnreadableInput(
            f"{shown(path)} cannot be read ({_in_words(error)}); name a folder that holds it"
        ) from error
    return Stated(folder, content, raw)


def built(stated: Stated, changes: dict[str, object] | None = None) -> nn.Module:
    """A network with random weights, or without memory under ``torch.device("meta")``; raises as :func:`filled`."""
    kind, settings = _class_and_settings(stated, changes or {}, headless=False)
    with _quietly():
        network: nn.Module = kind(settings)
    return network


def filled(
    stated: Stated,
    tensors: dict[str, torch.Tensor],
    changes: dict[str, object] | None = None,
    *,
    headless: bool = False,
) -> Account:
    """The network of a folder with these weights, in eval mode, in float32 (float64 where the weights are).

    Args:
        tensors: by the names that they have in files.
        changes: of the configuration.
        headless: the network without the head that ``config.json`` names.

    Raises:
        UsageError: transformers is missing, too old or broken, or changes that the configuration has no place for.
        UnreadableInput: a class or configuration that transformers does not know, or quantised weights.
        Mismatch: the configuration is of a far larger network than the weights are.
    """
    kind, settings = _class_and_settings(stated, changes or {}, headless)
    _require_size(stated, kind, settings, sum(value.numel() for value in tensors.values()))
    wide = any(value.dtype == torch.float64 for value in tensors.values())
    recorded: dict[str, set[str]] = {}

    class Recorded(kind):  # type: ignore[misc, valid-type]
        def _adjust_missing_and_unexpected_keys(self, info: Any) -> None:
            recorded.update(missing=set(info.missing_keys), unexpected=set(info.unexpected_keys))
            super()._adjust_missing_and_unexpected_keys(info)

    # known to the library by the names of the class, so it keeps them until the network is made
    Recorded.__name__, Recorded.__qualname__, Recorded.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    with _as_unreadable(stated, kind), _quietly():
        network, info = Recorded.from_pretrained(
            None,
            config=settings,
            state_dict=dict(tensors),
            dtype=torch.float64 if wide else torch.float32,
            ignore_mismatched_sizes=True,  # they are told below
            output_loading_info=True,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        )
    network.__class__ = kind
    missing, unexpected = set(info["missing_keys"]), set(info["unexpected_keys"])
    unexpected -= _of_other_heads(settings, unexpected) if unexpected else set()
    ties = getattr(network, "all_tied_weights_keys", None) or {}
    return Account(
        network.eval(),
        missing=sorted(missing),
        unexpected=sorted(unexpected),
        misshapen=sorted((key, tuple(found), tuple(wanted)) for key, found, wanted in info["mismatched_keys"]),
        left=sorted(recorded.get("unexpected", set()) - unexpected),
        made=sorted(recorded.get("missing", set()) - missing),
        tied=sorted(name for name in ties if name not in tensors),
    )


def leave_out_pooler(network: nn.Module) -> None:
    """Token embeddings do not need the layer behind them, and files may lack it."""
    if isinstance(getattr(network, "pooler", None), nn.Module):
        network.register_module("pooler", None)


def _class_and_settings(stated: Stated, changes: dict[str, object], headless: bool) -> tuple[Any, Any]:
    transformers = _library()
    name, model_type = shown(stated.folder), str(stated.content.get("model_type", ""))
    if stated.content.get("quantization_config"):
        raise UnreadableInput(f"{name} holds quantised weights; save them by model.dequantize().save_pretrained(DIR)")
    if (layers := max(_layers(stated.content), default=0)) > MOST_LAYERS:
        raise UnreadableInput(f"{name} has a {CONFIG} of {layers:,} layers, at most {MOST_LAYERS:,}; check it")
    if model_type not in transformers.CONFIG_MAPPING:
        code = "; its auto_map is code of its own, which is not run" if "auto_map" in stated.content else ""
        raise UnreadableInput(
            f"{name} is of model_type {one_line(model_type, 40)!r}, which transformers "
            f"{transformers.__version__} does not know{code or '; pip install --upgrade transformers'}"
        )
    try:
        with _quietly():
            settings, unknown = transformers.CONFIG_MAPPING[model_type].from_dict(
                _without_code(stated.content), **changes, return_unused_kwargs=True
            )
            kinds = transformers.MODEL_MAPPING.get(type(settings), None)
    except Exception as error:  # another library's code may fail in any way
        raise UnreadableInput(
            f"{name} has a {CONFIG} that cannot be used ({_in_words(error)}); save it again"
        ) from error
    if unknown:
        raise UsageError(f"{name} has a configuration without {one_line(', '.join(unknown), 80)}; leave it out")
    named = None if headless else getattr(transformers, stated.kind, None)
    if isinstance(named, type) and issubclass(named, transformers.PreTrainedModel):
        return named, settings
    kind = kinds[0] if isinstance(kinds, (tuple, list)) else kinds
    if kind is None:
        raise UnreadableInput(f"{name} names {stated.kind!r}, which transformers {transformers.__version__} lacks")
    return kind, settings


def _layers(value: Any) -> Iterator[int]:
    """Numbers that a configuration, or one nested in it, may give of layers or blocks."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        if any(word in key for word in ("layer", "depth", "block", "stage")):
            yield from (each for each in (inner if isinstance(inner, list) else [inner]) if type(each) is int)
        yield from _layers(inner)


def _of_other_heads(settings: Any, names: set[str]) -> set[str]:
    """Those of ``names`` that other classes of the same configuration have: published files keep all their heads."""
    transformers, known = _library(), set()
    for task in HEADS:
        kinds = getattr(transformers, f"MODEL_{task}MAPPING").get(type(settings), None)
        for kind in kinds if isinstance(kinds, (tuple, list)) else [kinds] if kinds is not None else []:
            with (
                contextlib.suppress(Exception),
                torch.device("meta"),
                _quietly(),
            ):  # not every head suits a configuration
                outline = kind(settings)
                prefix = f"{outline.base_model_prefix}."
                known |= {
                    spelt for key in outline.state_dict() for spelt in (key, prefix + key, key.removeprefix(prefix))
                }
    return names & known


def _require_size(stated: Stated, kind: Any, settings: Any, values: int) -> None:
    """What the weights do not fill is memory that a configuration asks for, so it is counted first."""
    with _as_unreadable(stated, kind), torch.device("meta"), _quietly():
        outline = kind(settings)
    asked = sum(value.numel() for value in (*outline.parameters(), *outline.buffers()))
    if asked > 4 * values + SPARE_VALUES:
        raise Mismatch(
            f"{shown(stated.folder)} describes a network of {asked:,} values, and its weights are {values:,}; "
            f"check its {CONFIG}"
        )


@contextlib.contextmanager
def _as_unreadable(stated: Stated, kind: Any) -> Iterator[None]:
    """Whatever another library's code raises, in one line."""
    try:
        yield
    except Exception as error:
        raise UnreadableInput(
            f"{shown(stated.folder)} cannot be loaded by transformers as {kind.__name__} ({_in_words(error)})"
        ) from error


def _without_code(value: Any) -> Any:
    """A configuration, and those nested in it, without what is not taken from strangers."""
    if isinstance(value, dict):
        return {key: _without_code(inner) for key, inner in value.items() if key not in _NOT_TAKEN}
    return [_without_code(inner) for inner in value] if isinstance(value, list) else value


def _library() -> Any:
    try:
        transformers = importlib.import_module("transformers")
        version = transformers.__version__
        transformers.CONFIG_MAPPING  # noqa: B018 - lazily imported: it may fail only now
    except Exception as error:
        raise UsageError(
            f"transformers cannot be imported ({_in_words(error)}); run pip install transformers"
        ) from error
    if int(version.partition(".")[0]) < OLDEST:
        raise UsageError(f"transformers {version} is older than {OLDEST}; run pip install --upgrade transformers")
    return transformers


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """The library keeps its reports and bars to itself, and the global random generator is left as it was."""
    logging = importlib.import_module("transformers.utils.logging")
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.default_generator.manual_seed(0)  # what no file holds is the same each time
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _in_words(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}", 80)
