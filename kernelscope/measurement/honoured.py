"""What was asked for and cannot be done is refused before any work: an option is honoured or refused, never ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernelscope.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernelscope.kernels.nonlinear.functions import Kernel
    from kernelscope.measurement.preparation import Preparation


def require_one_pass(preparation: Preparation, asked: Mapping[str, Any]) -> None:
    """Refuse what cannot come from networks that run once, straight into the sums."""
    route = asked["route"]
    _refuse(
        {
            "another kernel": not preparation.leaves_rows,
            f"the route {route}": route not in ("auto", "gram"),
            "landmarks": asked["landmarks"] is not None,
            "neighbours": bool(asked["neighbours"]),
            "baselines": bool(asked["references"]) or asked["untrained"],
            "groups": asked["groups"] is not None,
            "prefixes": asked["dims"] is not None,
            "alignment by ids": asked["align"] is not None,
            "labels": asked["labels"] is not None,
        },
        "cannot come from one pass; leave out --no-features",
    )


def require_of_kernel(kernel: Kernel, asked: Mapping[str, Any]) -> None:
    """Refuse what a kernel without features of finite width does not have."""
    if kernel.has_features:
        return
    route = asked["route"]
    _refuse(
        {
            f"the route {route}": route not in ("auto", "blocked"),
            "landmarks": asked["landmarks"] is not None,
            "neighbours": bool(asked["neighbours"]),
            "baselines": bool(asked["references"]) or asked["untrained"],
        },
        f"cannot be had of a {kernel.name} kernel, which has no features of finite width; leave it out",
    )


def needs_own_passes(asked: Mapping[str, Any]) -> bool:
    """Whether pairs of a grid must be measured one by one: their common pass gives none of this."""
    return bool(
        asked["route"] not in ("auto", "gram")
        or asked["landmarks"] is not None
        or asked["neighbours"]
        or asked["references"]
        or asked["untrained"]
        or asked["groups"] is not None
        or asked["labels"] is not None
    )


def _refuse(asked: Mapping[str, bool], why: str) -> None:
    if names := [name for name, given in asked.items() if given]:
        raise UsageError(f"{names[0]} {why}")
