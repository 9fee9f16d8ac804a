"""Which layers of teacher and student are compared: the words that name them, before and after networks ran."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kernelscope.activations.layer_names import among, is_pattern, split
from kernelscope.errors import UsageError, one_line

Has = Callable[[str], bool]  #: whether a word stands for a layer
Words = str | Sequence[str] | None
GRID = "all"  #: the pairs of every teacher layer and every student layer


@dataclass(frozen=True)
class LayerChoice:
    """What was asked for.

    Attributes:
        layers: words for both networks; teacher_layers, student_layers: for one of them alone, paired in their order.
        pairs: ``T=S,...``, or :data:`GRID`.
    """

    layers: Words = None
    teacher_layers: Words = None
    student_layers: Words = None
    pairs: str | None = None

    def __post_init__(self) -> None:
        own = {"--teacher-layers": self.teacher_layers, "--student-layers": self.student_layers}
        for option, words in own.items():
            if words is not None and self.layers is not None:
                raise UsageError(f"--layers names layers of both networks; drop it or {option}")
            if words is not None and self.pairs not in (None, GRID):
                raise UsageError(f"--pairs T=S names layers of both networks; drop {option}, or write --pairs all")

    @property
    def grid(self) -> bool:
        return self.pairs == GRID

    @property
    def _in_order(self) -> bool:
        """Whether the sides have lists of their own, whose layers are paired in their order."""
        return not self.grid and (self.teacher_layers is not None or self.student_layers is not None)

    @property
    def of_teacher(self) -> Words:
        return self._of_side(self.teacher_layers, 0)

    @property
    def of_student(self) -> Words:
        return self._of_side(self.student_layers, 1)

    def _of_side(self, own: Words, side: int) -> Words:
        if own is not None or self.layers is not None or self.pairs is None or self.grid:
            return own if own is not None else self.layers
        return list(dict.fromkeys(pair[side] for pair in self._named()))

    def _named(self) -> list[tuple[str, str]]:
        """The pairs of ``T=S,...``; a word alone is the layer of both."""
        found = []
        for text in str(self.pairs).split(","):
            t, equals, s = text.partition("=")
            found.append((t.strip(), s.strip() if equals else t.strip()))
        return found

    def words_for(self, words: Words, name: str, has: Has, another_has: Has) -> Words:
        """Those of ``words`` that a network is asked for: one that is only another's layer is passed over.

        In a grid any word may be, elsewhere patterns may.

        Args:
            name: of the network. has: whether a word stands for a layer of it; another_has: for one of another's.

        Raises:
            UsageError: none is left.
        """
        if words is None:
            return None
        asked = split(words)
        kept = [w for w in asked if has(w) or not ((self.grid or is_pattern(w)) and another_has(w))]
        if not kept:
            raise UsageError(
                f"{one_line(name, 60)} has none of the layers {one_line(','.join(asked), 60)}; "
                "name its own by --teacher-layers or --student-layers"
            )
        return kept

    def pairs_of(self, teacher: Sequence[str], student: Sequence[str]) -> list[tuple[str, str]]:
        """Which teacher layer against which student layer.

        Args:
            teacher, student: layers that there are features of.

        Raises:
            UsageError: if a named layer does not exist, or nothing pairs up.
        """
        if self.pairs and not self.grid:
            return self._require_there(teacher, student)
        if self.layers is not None:
            _require_known(split(self.layers), teacher, student)
        for own, names in ((self.teacher_layers, teacher), (self.student_layers, student)):
            if own is not None:
                _require_known(split(own), names)
        of_teacher, of_student = _asked_for(self.of_teacher, teacher), _asked_for(self.of_student, student)
        if self.grid:
            return [(t, s) for t in of_teacher for s in of_student]
        if self._in_order:
            return _paired_in_order(of_teacher, of_student)
        if self.layers is None and len(teacher) == len(student) == 1:
            return [(teacher[0], student[0])]
        shared = [name for name in of_teacher if name in of_student]
        if not shared:
            raise UsageError(
                f"no layer is in both; teacher: {one_line(', '.join(teacher), 60)}; "
                f"student: {one_line(', '.join(student), 60)}; pass --pairs T=S, or --pairs all"
            )
        return [(name, name) for name in shared]

    def _require_there(self, teacher: Sequence[str], student: Sequence[str]) -> list[tuple[str, str]]:
        named = self._named()
        for t, s in named:
            if t not in teacher or s not in student:
                raise UsageError(
                    f"pair {f'{t}={s}'!r} names a layer that is not there; teacher: {', '.join(teacher)}; "
                    f"student: {', '.join(student)}"
                )
        return named


def _asked_for(words: Words, names: Sequence[str]) -> list[str]:
    """Names that the words stand for, in the words' order; all of them where there are none."""
    if words is None:
        return list(names)
    return list(dict.fromkeys(name for word in split(words) for name in among([word], names)))


def _paired_in_order(teacher: list[str], student: list[str]) -> list[tuple[str, str]]:
    if len(teacher) != len(student) or not teacher:
        raise UsageError(
            f"{len(teacher)} teacher layers and {len(student)} student layers, which are paired in their order; "
            "name as many of both, or pass --pairs all"
        )
    return list(zip(teacher, student))


def _require_known(words: Sequence[str], *of_networks: Sequence[str]) -> None:
    """Every word stands for a layer of one network at least; networks that ran have refused others already.

    Raises:
        UsageError: with the nearest names.
    """
    known = list(dict.fromkeys(name for names in of_networks for name in names))
    for word in words:
        if not among([word], known):
            near = difflib.get_close_matches(word, known, n=3, cutoff=0.4) or known[:6]
            raise UsageError(f"unknown layer {one_line(word, 60)!r}; nearest: {', '.join(near)}")
