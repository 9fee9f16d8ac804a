"""A method as losses: what ``kda@embedding(weight=0.04)+kd(T=4)`` adds to cross-entropy."""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING

from kernelscope.distill.losses import LOSSES
from kernelscope.errors import UsageError
from kernelscope.terms import Term, parse_sum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kernelscope.distill.losses.step import Loss


def losses_of(method: str | Sequence[Term]) -> dict[str, Loss]:
    """The losses of a method by the words that name them; cross-entropy is always part of the sum, so ``ce`` adds none.

    ``NAME[@LAYER][(key=value,...)]`` joined by ``+``, as text or parsed.

    Raises:
        UsageError: an unknown name or option (with the nearest), or a value the loss does not take.
    """
    found: dict[str, Loss] = {}
    for term, loss in _made(method):
        found[term.text if term.text not in found else f"{term.text}#{len(found)}"] = loss
    return found


def described(method: str | Sequence[Term]) -> list[tuple[str, object, str]]:
    """Every hyper-parameter of a method: ``(term.option, value, where the value comes from)``."""
    found = []
    for term, loss in _made(method):
        for option in inspect.signature(type(loss)).parameters:
            source = "given" if option in _given(term) else loss.sources.get(option, "kernelscope")
            found.append((f"{term.name}.{option}", getattr(loss, option), source))
    return found


def _made(method: str | Sequence[Term]) -> Iterator[tuple[Term, Loss]]:
    for term in parse_sum(method) if isinstance(method, str) else method:
        if term.name == "ce":
            continue
        if term.name not in LOSSES:
            near = difflib.get_close_matches(term.name, [*LOSSES, "ce"], n=2)
            known = ", ".join(near or ["ce", *LOSSES])
            raise UsageError(f"unknown method {term.name!r}; {'nearest' if near else 'there are'}: {known}")
        yield term, _loss(term.name, LOSSES[term.name], _given(term))


def _given(term: Term) -> dict[str, object]:
    return {**term.options, **({} if term.layer is None else {"layer": term.layer})}


def _loss(name: str, make: Callable[..., Loss], options: dict[str, object]) -> Loss:
    accepted = list(inspect.signature(make).parameters)
    for option in options:
        if option not in accepted:
            near = difflib.get_close_matches(option, accepted, n=1)
            hint = f"did you mean {near[0]}" if near else f"it takes {', '.join(accepted)}"
            raise UsageError(f"method {name} has no option {option!r}; {hint}")
    try:
        return make(**options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"method {name} does not take {options} ({error}); give another value") from error
