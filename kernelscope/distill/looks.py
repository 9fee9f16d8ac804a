"""The records that a probe took, as rows, a table and a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernelscope.errors import UsageError, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Looks:
    """Records of one training, in their order.

    Attributes:
        trajectory: the records so far, see :meth:`kernelscope.distill.probe.Probe.look`.
    """

    trajectory: list[dict[str, Any]]

    def to_records(self) -> list[dict[str, Any]]:
        """One flat record for each layer of each look; nested numbers dotted (``theorem2.bound``)."""
        return [
            {"step": record["step"], "layer": name, **_flat(numbers or {})}
            for record in self.trajectory
            for name, numbers in record["layers"].items()
        ]

    def to_frame(self) -> Any:
        """The records as a pandas DataFrame; needs pandas."""
        import pandas

        return pandas.DataFrame(self.to_records())

    def plot(self, quantity: str = "transfer_loss", ax: Axes | None = None) -> Axes:
        """Draw one number of every layer over steps and return matplotlib's axes.

        Raises:
            UsageError: no look has such a number.
        """
        from matplotlib import pyplot

        records = [each for each in self.to_records() if each.get(quantity) is not None]
        if not records:
            raise UsageError(f"no look has a number {one_line(quantity, 40)!r}; to_frame() has those there are")
        ax = pyplot.subplots(layout="constrained")[1] if ax is None else ax
        for layer in dict.fromkeys(each["layer"] for each in records):
            own = [each for each in records if each["layer"] == layer]
            ax.plot([each["step"] for each in own], [each[quantity] for each in own], marker="o", label=layer)
        ax.set_xlabel("step")
        ax.set_ylabel(quantity)
        ax.legend()
        return ax

    def __repr__(self) -> str:
        last = f", the last at step {self.trajectory[-1]['step']}" if self.trajectory else ""
        return f"<{type(self).__name__}: {len(self.trajectory)} looks{last}>"


def _flat(numbers: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in numbers.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
