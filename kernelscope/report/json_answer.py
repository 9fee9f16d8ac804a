"""What every answer that is written as JSON has in common."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from kernelscope import files


class JsonAnswer(ABC):
    """An answer as one JSON document."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """As plain values."""

    def to_json(self) -> str:
        """One JSON document; never NaN or Infinity."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False, ensure_ascii=False)

    @abstractmethod
    def to_records(self) -> list[dict[str, Any]]:
        """One flat record for each row of the answer."""

    def to_frame(self) -> Any:
        """The records as a pandas DataFrame; needs pandas."""
        import pandas

        return pandas.DataFrame(self.to_records())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """In IPython and Jupyter: what ``print`` shows."""
        printer.text(str(self))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the JSON to ``path``, whole or not at all."""
        files.write_text(path, self.to_json() + "\n")
        return Path(path)
