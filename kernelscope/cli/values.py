"""Words of the command line as values: what click's own types do not read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kernelscope.devices import require_device

if TYPE_CHECKING:
    from collections.abc import Callable

V = TypeVar("V")


def reads(parse: Callable[[str, str], V]) -> Callable[[click.Context, click.Parameter, str | None], V | None]:
    """A click callback that reads an option's word by ``parse(option, word)``; None stays None."""

    def callback(context: click.Context, parameter: click.Parameter, word: str | None) -> V | None:
        return None if word is None else parse(parameter.opts[0], word)

    return callback


def once_or_each(parse: Callable[[str, str], Any]) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], Any]:
    """A click callback for an option given never (None), once for all students (a value), or once each (a list)."""

    def callback(context: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> Any:
        values = [parse(parameter.opts[0], word) for word in words]
        return values if len(values) > 1 else next(iter(values), None)

    return callback


def negated(context: click.Context, parameter: click.Parameter, flag: bool) -> bool:
    """A click callback that makes ``--no-cache`` the value ``cache=False``."""
    return not flag


def word(option: str, text: str) -> str:
    """The word itself."""
    return text


def json_object(option: str, text: str) -> dict[str, Any]:
    """A JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{option} is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise click.UsageError(f'{option} must be a JSON object such as {{"num_classes": 10}}')
    return value


def operations(option: str, text: str) -> list[dict[str, Any]]:
    """Preprocessing: a JSON list of operations."""
    from kernelscope.datasets.preprocess import require_known

    try:
        return require_known(json.loads(text))
    except ValueError as error:
        raise click.UsageError(f"{option} is not a JSON list of operations ({error}); see docs/data.md") from None


def size_in_bytes(option: str, text: str) -> int:
    """``512M``, ``2G``, ``1.5GiB`` or a plain number."""
    units = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    word = text.strip().upper().removesuffix("IB").removesuffix("B")
    number, unit = (word[:-1], word[-1]) if word and word[-1] in units else (word, "")
    try:
        return int(float(number) * units[unit])
    except (ValueError, OverflowError):
        raise click.UsageError(f"{option} {text!r} is not a size; write for example 512M or 2G") from None


def whole_numbers(example: str) -> Callable[[str, str], list[int]]:
    """Reads whole numbers with commas between them; ``example`` is shown where they are not."""

    def parse(option: str, text: str) -> list[int]:
        try:
            return [int(number) for number in text.split(",")]
        except ValueError:
            raise click.UsageError(
                f"{option} {text!r} is not a list of whole numbers; write for example {example}"
            ) from None

    return parse


def device(option: str, text: str) -> str:
    """A device that this machine has, known before anything is read or written."""
    return require_device(text)


def shape(option: str, text: str) -> list[int]:
    """``3,224,224``: sizes from 1 to 2^20."""
    try:
        sizes = [int(size) for size in text.split(",")]
    except ValueError:
        sizes = [0]
    if not all(0 < size <= 2**20 for size in sizes):
        raise click.UsageError(f"{option} {text!r} is not a shape; write for example 3,224,224")
    return sizes


def named_files(context: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> dict[str, str]:
    """A click callback: ``NAME=FILE``, or a file that is named by itself."""
    found = {}
    for text in words:
        name, equals, path = text.partition("=")
        found[name if equals else Path(text).name] = path if equals else text
    return found
