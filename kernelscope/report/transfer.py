"""TransferReport: the answer as a frozen value, to and from JSON (format ``kernelscope.report``, version 1).

Every field is always present; what does not exist for a pair is None and the pair's ``notes`` say why.
All numbers are finite. The fields' meanings, directions and ranges stand in docs/report.md.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelscope import files
from kernelscope.errors import UnreadableInput, UsageError
from kernelscope.report.fields import Comparison, NetworkReport, PairReport
from kernelscope.report.similarity_fields import key_of

FORMAT = "kernelscope.report"
FORMAT_VERSION = 1
LATER = (
    "neighbours",
    "outputs",
    "references",
    "intervals",
    "population_loss",
    "centred_scale_ratio",
    "outliers",
    "verdict",
    "within_class_cka",
    "procrustes",
    "gulp",
    "prefixes",
)  #: keys of a pair that the first reports of this version lacked


@dataclass(frozen=True)
class TransferReport:
    """Every measured pair, the networks they came from, and how it was measured.

    With one pair its fields read straight off the report (``report.transfer_loss``); with several, iterate or
    choose with :meth:`sel`.
    """

    meta: dict[str, Any]
    networks: tuple[NetworkReport, ...]
    pairs: tuple[PairReport, ...] = field(default=())
    comparisons: tuple[Comparison, ...] = field(default=())

    def __iter__(self) -> Iterator[PairReport]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in PairReport.__dataclass_fields__:
            raise AttributeError(f"a TransferReport has no field {name!r}")
        if len(self.pairs) != 1:
            raise AttributeError(
                f"this report has {len(self.pairs)} pairs, so {name!r} is not one number; iterate, or use "
                "report.sel(student=..., teacher_layer=..., student_layer=...)"
            )
        return getattr(self.pairs[0], name)

    def sel(
        self,
        *,
        student: str | None = None,
        teacher_layer: str | None = None,
        student_layer: str | None = None,
    ) -> PairReport:
        """The one pair that fits.

        Raises:
            UsageError: if none or several fit, naming what there is.
        """
        asked = {"student": student, "teacher_layer": teacher_layer, "student_layer": student_layer}
        found = [p for p in self.pairs if all(v is None or _same(getattr(p, k), v) for k, v in asked.items())]
        if len(found) != 1:
            have = "; ".join(f"{p.student} {p.teacher_layer}={p.student_layer}" for p in self.pairs[:6])
            raise UsageError(f"{len(found)} pairs fit, expected one; there are: {have}")
        return found[0]

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "meta": self.meta,
            "networks": [dataclasses.asdict(network) for network in self.networks],
            "pairs": [dataclasses.asdict(pair, dict_factory=_by_key) for pair in self.pairs],
            "comparisons": [dataclasses.asdict(comparison) for comparison in self.comparisons],
        }

    def to_json(self) -> str:
        """One JSON document; never NaN or Infinity."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False, ensure_ascii=False)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the JSON to ``path``, whole or not at all."""
        files.write_text(path, self.to_json() + "\n")
        return Path(path)

    @classmethod
    def from_dict(cls, document: Any) -> TransferReport:
        """The report in a parsed JSON document; keys this version does not know are left out.

        Raises:
            UnreadableInput: if it is not a report, or of a newer version.
        """
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise UnreadableInput(f"not a {FORMAT} document; give what `kernelscope measure --save` wrote")
        if document.get("format_version") != FORMAT_VERSION:
            raise UnreadableInput(
                f"report has format_version {document.get('format_version')!r}, expected {FORMAT_VERSION}; update"
            )
        try:
            return cls(
                meta=dict(document["meta"]),
                networks=tuple(_build(NetworkReport, network) for network in document["networks"]),
                pairs=tuple(_build_pair(pair) for pair in document["pairs"]),
                comparisons=tuple(_build(Comparison, each) for each in document.get("comparisons", ())),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UnreadableInput(f"report is damaged ({error}); measure again") from error

    @classmethod
    def from_json(cls, text: str) -> TransferReport:
        try:
            document = json.loads(text, parse_constant=_refuse_constant)
        except ValueError as error:
            raise UnreadableInput(f"report is not valid JSON ({error}); measure again") from error
        return cls.from_dict(document)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TransferReport:
        """Read what :meth:`save` wrote."""
        path = files.require_readable(path)
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise UnreadableInput(f"{path} is not a UTF-8 text; give a saved report") from error
        except UnreadableInput as error:
            raise UnreadableInput(f"{path}: {error}") from error

    def to_records(self) -> list[dict[str, Any]]:
        """One flat record per pair, nested fields dotted (``ladder.scaled``); long lists left out."""
        return [flat_fields(pair) for pair in self.pairs]

    def to_frame(self) -> Any:
        """The records as a pandas DataFrame; needs pandas."""
        import pandas

        return pandas.DataFrame(self.to_records())

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """The records as a CSV file with a header line."""
        import csv
        import io

        records = self.to_records()
        stream = io.StringIO()
        writer = csv.DictWriter(stream, fieldnames=list(dict.fromkeys(k for r in records for k in r)))
        writer.writeheader()
        writer.writerows(records)
        files.write_text(path, stream.getvalue())
        return Path(path)

    def plot(self, kind: str = "ladder", **options: Any) -> Any:
        """Draw a figure and return its matplotlib axes; kinds are listed in :mod:`kernelscope.report.plots`."""
        from kernelscope.report import plots

        return plots.plot(self, kind, **options)

    def to_html(self) -> str:
        """The whole page: one file, inline SVG, no script, no network."""
        from kernelscope.report import page

        return page.render(self)

    def _repr_html_(self) -> str:
        from kernelscope.report import page

        return page.notebook(self)

    def __str__(self) -> str:
        from kernelscope.report import tables

        return tables.text(self)


def flat_fields(pair: PairReport) -> dict[str, Any]:
    """Dotted names and plain values of a pair; intervals become ``_low`` and ``_high``."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if prefix == "intervals":
            for name, (low, high) in value.items():
                flat[f"intervals.{name}_low"], flat[f"intervals.{name}_high"] = low, high
        elif isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else key, inner)
        elif prefix.endswith("_interval"):
            flat[f"{prefix}_low"], flat[f"{prefix}_high"] = value if value is not None else (None, None)
        elif not isinstance(value, (list, tuple)):
            flat[prefix] = value

    walk("", dataclasses.asdict(pair, dict_factory=_by_key))
    return flat


def _by_key(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key_of(name): value for name, value in fields}


def _same(name: str, asked: str) -> bool:
    return asked in (name, Path(name).name, Path(name).stem)


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def _build_pair(pair: dict[str, Any]) -> PairReport:
    """A pair from JSON; a key that is not there is damage, unless the report is older than the key."""
    for known in dataclasses.fields(PairReport):
        if known.name not in pair and known.name not in LATER:
            raise KeyError(known.name)
    built: PairReport = _build(PairReport, pair)
    return built


def _build(kind: Any, value: Any) -> Any:
    """``value`` from JSON as the annotated type ``kind``: dataclasses, tuples, unions with None, plain values."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        known = {name: value[key_of(name)] for name in hints if key_of(name) in value}
        return kind(**{name: _build(hints[name], inner) for name, inner in known.items()})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return _build(next(a for a in arguments if a is not type(None)), value)
    if origin is tuple:
        if not isinstance(value, (list, tuple)) or (Ellipsis not in arguments and len(value) != len(arguments)):
            raise ValueError(f"expected a list of {len(arguments)}, found {value!r}")
        return tuple(_build(arguments[0], item) for item in value)
    if origin is dict:
        return {key: _build(arguments[1], item) for key, item in value.items()}
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"expected a number, found {value!r}")
        return float(value)
    if kind in (int, str, bool) and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise ValueError(f"expected {kind.__name__}, found {value!r}")
    return value
