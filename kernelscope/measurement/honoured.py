"""What was asked for and cannot be done is refused before any work: an option is honoured or refused, never ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernelscope.errors import CallError, UsageError, option_of
from kernelscope.files import refuse_existing
from kernelscope.measurement.landmark_numbers import before_rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from inspect import Parameter

    from kernelscope.kernels.nonlinear.functions import Kernel
    from kernelscope.measurement.preparation import Preparation

#: keywords that mean something of sums alone
BESIDE_SUMS = {"sums", "sums_out", "expect", "reproducible", "rtol", "progress", "announce"}


def _needing_more(preparation: Preparation, asked: Mapping[str, Any]) -> dict[str, bool]:
    """What one pass into the sums does not give, by its name, and whether it was asked for."""
    route = asked["route"]
    return {
        "another kernel": not preparation.leaves_rows,
        f"the route {route}": route not in ("auto", "gram"),
        "landmarks": asked["landmarks"] is not None,
        "neighbours": bool(asked["neighbours"]),
        "baselines": bool(asked["references"]) or asked["untrained"],
        "prefixes": asked["dims"] is not None,
    }


def require_one_pass(preparation: Preparation, asked: Mapping[str, Any]) -> None:
    """Refuse what cannot come from networks that run once, straight into the sums."""
    _refuse(
        {
            **_needing_more(preparation, asked),
            "landmarks": not before_rows(asked["landmarks"]),
            "alignment by ids": asked["align"] is not None or asked["join"] is not None,
            "groups of all pairs of layers": asked["groups"] is not None and asked["pairs"] == "all",
        },
        "cannot come from one pass; leave out --no-features",
    )


def require_passes(passes: int, asked: Mapping[str, Any]) -> None:
    """Refuse a number of passes that is not to be had, or means nothing.

    Raises:
        UsageError: naming it.
    """
    if passes not in (1, 2):
        raise UsageError(f"--passes {passes} is not to be had; pass 1 or 2")
    if passes == 1:
        return
    if asked["features"]:
        raise UsageError("--passes 2 is about networks whose features are not kept; pass --no-features too")
    if asked["pairs"] == "all":
        raise UsageError("--passes 2 is about pairs of layers by name, not all of them; pass --pairs T=S")
    if asked["sums"] is not None or asked["sums_out"] is not None or asked["reproducible"]:
        raise UsageError("--passes 2 leaves no sums; leave out --sums, --sums-out and --reproducible, or --passes")


def require_sums(preparation: Preparation, asked: Mapping[str, Any]) -> None:
    """Refuse what sums of a teacher's and a student's rows do not have; labels they do, for class means.

    Raises:
        UsageError: naming it.
    """
    _refuse(
        {
            **_needing_more(preparation, asked),
            "groups": asked["groups"] is not None,
            "a plan": asked["plan"],
        },
        "cannot be had from sums, which need one pass; leave out --sums, --sums-out and --reproducible, or this",
    )


def require_inputs(asked: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> None:
    """Refuse what is missing before anything is read, and beside files of sums alone whatever is about rows.

    Args:
        parameters: of the function whose keywords were ``asked``.

    Raises:
        CallError: no teacher or no student, and no sums. UsageError: an option without what it is about, or an output
            that cannot be written.
    """
    given = [role for role in ("teacher", "student") if asked[role] is not None]
    if len(given) == 1 or (not given and asked["sums"] is None):
        lacking = "student" if given == ["teacher"] else "teacher"
        raise CallError(f"no {lacking} given; pass --teacher FILE and --student FILE, or --sums FILE")
    if asked["expect"] is not None and asked["sums"] is asked["sums_out"] is None:
        raise UsageError("--expect is about sums; pass --sums or --sums-out too, or leave it out")
    if asked["grid"] is not None and not asked["reproducible"]:
        raise UsageError("--grid is about sums that are reproducible; pass --reproducible too, or leave it out")
    if not given:
        others = (name for name in parameters if name not in BESIDE_SUMS)
        for name in others:
            if not _same(asked[name], parameters[name].default):
                raise UsageError(f"{option_of(name)} is about rows, and sums alone have none; leave it out")
    if asked["sums_out"] is not None:
        refuse_existing(asked["sums_out"], overwrite=True)


def _same(value: object, default: object) -> bool:
    """Whether a keyword is what it is by default; the command line gives empty lists for what was not asked for."""
    if value is default:
        return True
    plain = isinstance(value, (str, int, float, list, tuple, dict))
    return plain and (value == default or not (value or default))


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
