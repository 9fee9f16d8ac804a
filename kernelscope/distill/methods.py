"""A method as losses: what ``kda@embedding(weight=0.04)+kd(T=4)`` adds to cross-entropy."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernelscope.distill.balance import AUTO, RATIO, Balance
from kernelscope.distill.losses import LOSSES
from kernelscope.errors import Mismatch, UsageError
from kernelscope.terms import Term, parse_sum

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch

    from kernelscope.distill.losses.loss import Loss


@dataclass(frozen=True, eq=False)
class PlacedLoss:
    """A loss and the layer it reads; ``balance`` if its weight is to be found.

    ``layer``: of student and teacher alike, or ``T=S`` where they call it otherwise.
    """

    loss: Loss
    layer: str
    balance: Balance | None = None

    @property
    def of_teacher(self) -> str:
        return self.layer.partition("=")[0].strip()

    @property
    def of_student(self) -> str:
        return self.layer.partition("=")[2].strip() or self.of_teacher

    def __call__(
        self, student: Mapping[str, torch.Tensor], teacher: Mapping[str, torch.Tensor], labels: torch.Tensor
    ) -> torch.Tensor:
        """Of both networks' outputs by layer.

        Raises:
            Mismatch: the loss cannot be had of this layer, naming it.
        """
        try:
            value: torch.Tensor = self.loss(student[self.of_student], teacher[self.of_teacher], labels)
        except Mismatch as error:
            raise Mismatch(f"layer {self.layer}: {error}") from error
        return value


def losses_of(method: str | Sequence[Term]) -> dict[str, PlacedLoss]:
    """The losses of a method by the words that name them; cross-entropy is always part of the sum, so ``ce`` adds none.

    ``NAME[@LAYER][(key=value,...)]`` joined by ``+``, as text or parsed; ``@T=S`` where networks name layers otherwise.

    Raises:
        UsageError: an unknown name or option (with the nearest), or a value the loss does not take.
    """
    found: dict[str, PlacedLoss] = {}
    for term, loss in _made(method):
        found[term.text if term.text not in found else f"{term.text}#{len(found)}"] = loss
    balances = [loss.balance for loss in found.values() if loss.balance is not None]
    for balance in balances:
        balance.aim = RATIO / len(balances)
    return found


def described(method: str | Sequence[Term]) -> list[tuple[str, object, str]]:
    """Every hyper-parameter of a method: ``(term.option, value, where the value comes from)``."""
    found = []
    for term, placed in _made(method):
        loss = placed.loss
        options: dict[str, object] = {"layer": placed.layer} if loss.movable else {}
        options |= {option: getattr(loss, option) for option in loss.options()}
        options |= {"weight": AUTO} if placed.balance is not None else {}
        for option, value in options.items():
            source = "given" if option in _given(term) else loss.sources.get(option, "kernelscope")
            found.append((f"{term.name}.{option}", value, source))
    return found


def _made(method: str | Sequence[Term]) -> Iterator[tuple[Term, PlacedLoss]]:
    for term in parse_sum(method) if isinstance(method, str) else method:
        if term.name == "ce":
            continue
        if term.name not in LOSSES:
            near = difflib.get_close_matches(term.name, [*LOSSES, "ce"], n=2)
            known = ", ".join(near or ["ce", *LOSSES])
            raise UsageError(f"unknown method {term.name!r}; {'nearest' if near else 'there are'}: {known}")
        yield term, _placed(term.name, LOSSES[term.name], _given(term))


def _given(term: Term) -> dict[str, object]:
    return {**term.options, **({} if term.layer is None else {"layer": term.layer})}


def _placed(name: str, kind: type[Loss], options: dict[str, object]) -> PlacedLoss:
    accepted = [*(["layer"] if kind.movable else []), *kind.options()]
    balance = Balance() if options.get("weight") == AUTO else None
    if balance is not None:  # over the loss's own weights, of which there may be several
        options.pop("weight")
    for option in options:
        if option not in accepted:
            near = difflib.get_close_matches(option, accepted, n=1)
            hint = f"did you mean {near[0]}" if near else f"it takes {', '.join(accepted)}"
            raise UsageError(f"method {name} has no option {option!r}; {hint}")
    layer = str(options.pop("layer", kind.layer))
    if not all(layer.partition("=")[::2]) and "=" in layer:
        raise UsageError(
            f"method {name} reads layer {layer!r}, expected T=S; write the teacher's layer, =, the student's"
        )
    try:
        return PlacedLoss(kind(**options), layer, balance)
    except (TypeError, ValueError) as error:
        raise UsageError(f"method {name} does not take {options} ({error}); give another value") from error
