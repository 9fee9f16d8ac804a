"""TransferReport: the answer as a frozen value, to and from JSON (format ``kernelscope.report``, version 1).

Every field is always present; what does not exist for a pair is None and the pair's ``notes`` say why.
All numbers are finite. The fields' meanings, directions and ranges stand in docs/report.md.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelscope import files
from kernelscope.errors import UnreadableInput, UsageError, one_line
from kernelscope.report.csv_text import csv_text
from kernelscope.report.document import Scalar, build, build_pair, by_key, flat_fields
from kernelscope.report.fields import Comparison, Interval, NetworkReport, PairReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMAT = "kernelscope.report"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class TransferReport:
    """Every measured pair, the networks they came from, and how it was measured.

    With one pair its fields read straight off the report (``report.transfer_loss``); with several, iterate or
    choose with :meth:`sel`.

    Examples:
        >>> import numpy as np, kernelscope as ks
        >>> X = np.random.default_rng(0).standard_normal((100, 8))
        >>> report = ks.measure(teacher=X, student=[X[:, :4], X], names=["half", "whole"])
        >>> [round(pair.transfer_loss, 6) < 0.8 for pair in report], report.sel(student="whole").transfer_loss
        ([True, True], 0.0)
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
        found = [
            pair
            for pair in self.pairs
            if (student is None or is_called(pair.student, student))
            and teacher_layer in (None, pair.teacher_layer)
            and student_layer in (None, pair.student_layer)
        ]
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
            "pairs": [dataclasses.asdict(pair, dict_factory=by_key) for pair in self.pairs],
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
    def from_dict(cls, document: object) -> TransferReport:
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
                networks=tuple(build(NetworkReport, network) for network in document["networks"]),
                pairs=tuple(build_pair(pair) for pair in document["pairs"]),
                comparisons=tuple(build(Comparison, each) for each in document.get("comparisons", ())),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise UnreadableInput(f"report is damaged ({one_line(str(error), 80)}); measure again") from error

    @classmethod
    def from_json(cls, text: str) -> TransferReport:
        try:
            document = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise UnreadableInput(f"report is not valid JSON ({error}); measure again") from error
        return cls.from_dict(document)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TransferReport:
        """Read what :meth:`save` wrote."""
        path = files.require_readable(path)
        with files.reading(path):
            content = path.read_bytes()
        try:
            return cls.from_json(content.decode())
        except UnicodeDecodeError as error:
            raise UnreadableInput(f"{path} is not a UTF-8 text; give a saved report") from error
        except UnreadableInput as error:
            raise UnreadableInput(f"{path}: {error}") from error

    def to_records(self) -> list[dict[str, Scalar]]:
        """One flat record per pair, nested fields dotted (``ladder.scaled``); long lists left out."""
        return [flat_fields(pair) for pair in self.pairs]

    def to_frame(self) -> Any:
        """The records as a pandas DataFrame; needs pandas."""
        import pandas

        return pandas.DataFrame(self.to_records())

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """The records as a CSV file with a header line; text that a spreadsheet would run is behind an apostrophe."""
        files.write_text(path, csv_text(self.to_records()))
        return Path(path)

    def plot(self, kind: str = "ladder", ax: Axes | None = None, **asked: str | None) -> Axes:
        """Draw a figure and return its matplotlib axes; :mod:`kernelscope.rendering.plots.kinds` lists the kinds."""
        from kernelscope.rendering.plots import kinds as plots

        return plots.plot(self, kind, ax, **asked)

    def to_html(self) -> str:
        """The whole page: one file, inline SVG, no script, no network."""
        from kernelscope.rendering import page

        return page.render(self)

    def card(self) -> str:
        """The Distillation Loss Statement of every student, as Markdown for a model card."""
        from kernelscope.rendering import card

        return card.markdown(self)

    def _repr_html_(self) -> str:
        from kernelscope.rendering import page

        return page.notebook(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """The text beside the table that notebooks keep: what ``print`` shows, and not every field."""
        printer.text(str(self))

    def __str__(self) -> str:
        from kernelscope.rendering import table as tables

        return tables.text(self)


def is_called(name: str, asked: str) -> bool:
    """Whether a network is asked for by its name, with or without its folder and its ending."""
    return asked in (name, Path(name).name, Path(name).stem)


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def network_of(report: TransferReport, name: str) -> NetworkReport | None:
    """The network of that name; None if it took no part."""
    return next((network for network in report.networks if network.name == name), None)


def difference_interval(report: TransferReport, a: PairReport, b: PairReport) -> Interval | None:
    """95 % interval of the loss of ``a`` minus that of ``b``, whichever of them the report names first."""
    for each in report.comparisons:
        if (each.teacher_layer, each.student_layer) != (a.teacher_layer, a.student_layer):
            continue
        if (each.first, each.second) == (a.student, b.student):
            return each.interval
        if (each.first, each.second) == (b.student, a.student):
            low, high = each.interval
            return 0.0 - high, 0.0 - low  # from 0, so that no -0.0 comes of it
    return None
