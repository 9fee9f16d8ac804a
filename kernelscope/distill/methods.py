"""Method strings: ``kda@embedding(weight=0.04)+kd(T=4)`` as a list of losses."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
from typing import Any

from kernelscope.distill.losses import LOSSES
from kernelscope.errors import UsageError

TERM = re.compile(r"\s*(?P<name>\w+)\s*(?:@\s*(?P<layer>[^(]+?))?\s*(?:\((?P<options>.*)\))?\s*", re.DOTALL)


def losses_of(method: str) -> dict[str, Any]:
    """The losses of a method by the words that name them; cross-entropy is always part of the sum, so ``ce`` adds none.

    ``NAME[@LAYER][(key=value,...)]`` joined by ``+``.

    Raises:
        UsageError: an unknown name or option (with the nearest), or a value the loss does not take.
    """
    found: dict[str, Any] = {}
    for text in _split_terms(method):
        match = TERM.fullmatch(text)
        if match is None:
            raise UsageError(
                f"method {text!r} is not NAME[@LAYER][(key=value,...)]; write for example kda(weight=0.04)"
            )
        name, layer, options = match["name"], match["layer"], _options(match["options"] or "", text)
        if name == "ce":
            continue
        if name not in LOSSES:
            near = difflib.get_close_matches(name, [*LOSSES, "ce"], n=2)
            raise UsageError(
                f"unknown method {name!r}; {'nearest' if near else 'there are'}: {', '.join(near or ['ce', *LOSSES])}"
            )
        if layer:
            options["layer"] = layer.strip()
        key = text.strip() if text.strip() not in found else f"{text.strip()}#{len(found)}"
        found[key] = _make(name, options)
    return found


def described(method: str) -> list[tuple[str, Any, str]]:
    """Every hyper-parameter of a method: ``(term.option, value, where the value comes from)``."""
    found = []
    for text, loss in losses_of(method).items():
        match = TERM.fullmatch(text.partition("#")[0])
        assert match is not None  # it was read before
        given = {*_options(match["options"] or "", text), *(["layer"] if match["layer"] else [])}
        for option in inspect.signature(type(loss)).parameters:
            source = "given" if option in given else loss.sources.get(option, "kernelscope")
            found.append((f"{match['name']}.{option}", getattr(loss, option), source))
    return found


def _make(name: str, options: dict[str, Any]) -> Any:
    accepted = list(inspect.signature(LOSSES[name]).parameters)
    for option in options:
        if option not in accepted:
            near = difflib.get_close_matches(option, accepted, n=1)
            hint = f"did you mean {near[0]}" if near else f"it takes {', '.join(accepted)}"
            raise UsageError(f"method {name} has no option {option!r}; {hint}")
    try:
        return LOSSES[name](**options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"method {name} does not take {options} ({error}); mend the value") from error


def _split_terms(method: str) -> list[str]:
    """Cut at ``+`` outside brackets."""
    terms, depth, current = [], 0, ""
    for character in method:
        depth += (character == "(") - (character == ")")
        if character == "+" and depth == 0:
            terms.append(current)
            current = ""
        else:
            current += character
    return [*terms, current]


def _options(text: str, term: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise UsageError(
                f"option {part!r} of method {term.strip()!r} is not key=value; write for example weight=0.04"
            )
        try:
            options[key.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            options[key.strip()] = value.strip()
    return options
