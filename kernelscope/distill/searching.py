"""Numbers of a method to choose among, ``kda(weight=0.05|0.2|0.8)``, by training examples held out and other seeds."""

from __future__ import annotations

import dataclasses
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernelscope.datasets.sampling import draw
from kernelscope.distill.balance import AUTO
from kernelscope.errors import UsageError, one_line
from kernelscope.terms import parse_sum

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kernelscope.datasets.examples import Examples
    from kernelscope.distill.recipe import Recipe

SHARE = 0.2  #: of the training examples that a search holds out
SEEDS = 2  #: that every alternative is trained with
MOST = 64  #: alternatives of one method
FIRST_SEED = 1000


def alternatives(method: str) -> tuple[str, ...]:
    """The methods that ``a|b|c`` in the place of numbers stands for, every combination; ``(method,)`` without any.

    Raises:
        UsageError: a list in which something is no number and not ``auto``, or more than 64 combinations.
    """
    texts = []
    for term in parse_sum(method):
        lists = {key: str(value) for key, value in term.options.items() if isinstance(value, str) and "|" in value}
        lists = {key: value for key, value in lists.items() if not value.startswith("re:")}
        found = []
        for values in itertools.product(*(_numbers(key, value) for key, value in lists.items())):
            text = term.text
            for (key, written), value in zip(lists.items(), values):
                text = re.sub(rf"\b({key}\s*=\s*){re.escape(written)}", rf"\g<1>{value}", text)
            found.append(text)
        texts.append(found)
    methods = tuple("+".join(parts) for parts in itertools.product(*texts))
    if len(methods) > MOST:
        raise UsageError(f"{one_line(method, 60)} stands for {len(methods)} methods; write {MOST} at most")
    return methods


def _numbers(key: str, written: str) -> list[str]:
    found = [value.strip() for value in written.split("|")]
    for value in found:
        try:
            float(value) if value != AUTO else None
        except ValueError:
            raise UsageError(
                f"{key}={one_line(written, 40)} is to be chosen among numbers, and {one_line(value, 20)!r} is none; "
                f"write {key}=0.05|0.2|0.8"
            ) from None
    return found


def left_open(recipes: Sequence[Recipe]) -> list[Recipe]:
    """Those whose method leaves something to choose."""
    return [recipe for recipe in recipes if len(alternatives(recipe.method)) > 1]


def held_out(data: tuple[Examples, Examples, Examples]) -> tuple[Examples, Examples, Examples]:
    """Of the training examples four fifths to train on, and the others, every class in proportion, as the other two.

    Raises:
        UsageError: fewer than ten training examples.
    """
    training = data[0]
    if training.n < 10:
        raise UsageError(
            f"{training.name} has {training.n} training examples, too few to hold some out; give one weight"
        )
    rows = draw(training.labels, training.n, round(SHARE * training.n), 0, training.name).rows
    rest = training.take(np.setdiff1d(np.arange(training.n), rows))
    part = training.take(rows)
    return rest, part, part


def seeds_of(recipes: Sequence[Recipe]) -> tuple[int, ...]:
    """Seeds that none of the recipes has."""
    taken = {seed for recipe in recipes for seed in (recipe.seed, recipe.weights_seed)}
    return tuple(itertools.islice((seed for seed in itertools.count(FIRST_SEED) if seed not in taken), SEEDS))


@dataclass(frozen=True)
class Choice:
    """The method chosen, and how: top-1 on the examples held out by method, one number a seed, None where it failed."""

    chosen: str
    tried: dict[str, list[float | None]]
    note: str


def choose(method: str, tried: dict[str, list[float | None]], n: int, seeds: Sequence[int]) -> Choice:
    """The best mean over the seeds, the first of equals; a failure counts as 0.

    Args:
        n: examples that were held out.
    """
    # rounded, as sums of equal shares in another order may differ in their last bit
    means = {name: round(float(np.mean([score or 0.0 for score in scores])), 9) for name, scores in tried.items()}
    chosen = max(means, key=means.__getitem__)
    scores = ", ".join(f"{100 * mean:.1f}" for mean in means.values())
    note = (
        f"{one_line(chosen, 80)} was chosen of {one_line(method, 80)} by top-1 on {n} training examples held out, "
        f"seeds {', '.join(map(str, seeds))}: {scores} %"
    )
    return Choice(chosen, tried, note)


def search(
    recipes: Sequence[Recipe],
    data: tuple[Examples, Examples, Examples],
    scored: Callable[[Sequence[Recipe], tuple[Examples, Examples, Examples]], Sequence[float | None]],
    announce: Callable[[str], None] | None = None,
) -> dict[str, Choice]:
    """By method, what was chosen; of methods that leave something to choose.

    Args:
        scored: trains recipes that share what a cohort shares, and gives their top-1 on the examples that are last;
            None for one that failed.
        announce: called with what will be tried, and with what was chosen.
    """
    open_methods = {recipe.method: recipe for recipe in left_open(recipes)}
    if not open_methods:
        return {}
    parts, seeds = held_out(data), seeds_of(recipes)
    wanted = [
        dataclasses.replace(recipe, method=alternative)
        for recipe in open_methods.values()
        for alternative in alternatives(recipe.method)
    ]
    say = announce or (lambda text: None)
    say(
        f"choosing among {len(wanted)} methods, {SEEDS} seeds each, on {parts[0].n} training examples; "
        f"{parts[2].n} held out decide"
    )
    scores: dict[str, list[float | None]] = {recipe.method: [] for recipe in wanted}
    for seed in seeds:
        cohort = [dataclasses.replace(recipe, seed=seed, init_seed=None) for recipe in wanted]
        for recipe, score in zip(cohort, scored(cohort, parts)):
            scores[recipe.method].append(score)
    found = {
        method: choose(method, {a: scores[a] for a in alternatives(method)}, parts[2].n, seeds)
        for method in open_methods
    }
    for choice in found.values():
        say(choice.note)
    return found
