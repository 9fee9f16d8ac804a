"""A user's own plan, ``PLAN.toml``: methods, architectures, seeds and data of a study, checked key by key.

::

    methods = ["ce", "kda(weight=0.05|0.1|0.2)", "kd(T=4,weight=1)"]
    seeds = [0, 1, 2]
    epochs = 20

    [data]
    name = "digits"

    [teacher]
    arch = "resnet20"
    epochs = 40

    [[student]]
    arch = "resnet8"
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from kernelscope import files
from kernelscope.datasets import sources
from kernelscope.distill.methods import losses_of
from kernelscope.distill.recipe import recipe
from kernelscope.distill.searching import alternatives
from kernelscope.errors import KernelscopeError, UnreadableInput, UsageError, one_line, shown
from kernelscope.networks import zoo
from kernelscope.paper.scenes import Images

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kernelscope.distill.recipe import Recipe

MOST_BYTES = 2**20
MOST_NETWORKS = 10_000
TEACHER_SEED = 1000  #: where none is given
Kinds = dict[str, tuple[type, ...]]
NUMBER = (int, float)
WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list", dict: "a table"}
TRAINING: Kinds = {
    "preset": (str,), "epochs": (int,), "batch_size": (int,), "lr": NUMBER, "weight_decay": NUMBER, "momentum": NUMBER,
    "lr_warm_up": (int,), "pad": (int,), "flip": (bool,),
}  # fmt: skip
PLAN: Kinds = {
    "methods": (list,), "seeds": (list,), "layers": (str,), "data": (dict,), "teacher": (dict,), "student": (list,),
    **TRAINING,
}  # fmt: skip
DATA: Kinds = {"name": (str,), "validation": (str,), "test": (str,)}
TEACHER: Kinds = {"file": (str,), "arch": (str,), "epochs": (int,), "seed": (int,)}
STUDENT: Kinds = {"arch": (str,)}


@dataclass(frozen=True)
class UserPlan:
    """What a user's study trains; ``teacher_file`` or ``teacher`` says whom the students learn from.

    Attributes:
        methods: as written, those whose weight is searched for among them.
        training: fields of the students' recipes.
    """

    images: Images
    teacher_file: str | None
    teacher: Recipe | None
    students: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    layers: str
    training: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for a reader."""
        return dataclasses.asdict(self)

    def recipe(self, arch: str, method: str, seed: int) -> Recipe:
        """Of one student."""
        return recipe(arch=arch, method=method, seed=seed, **self.training)


def read(path: Path) -> UserPlan:
    """The plan at ``path``.

    Raises:
        UnreadableInput: it is missing or no TOML. UsageError: an unknown key, with the nearest; a value of another
            kind; an unknown method, architecture or data set; data that names code, which a file may not.
    """
    files.require_readable(path)
    with files.reading(path):
        if path.stat().st_size > MOST_BYTES:
            raise UnreadableInput(f"{shown(path)} is too large for a plan; give a TOML file")
        content = path.read_bytes()
    try:
        document = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise UnreadableInput(f"{shown(path)} is no TOML ({one_line(str(error), 60)}); see docs/study.md") from error
    try:
        return _checked(document)
    except KernelscopeError as error:
        raise UsageError(f"{shown(path, 50)}: {one_line(str(error), 145)}") from error


def _checked(document: dict[str, Any]) -> UserPlan:
    _require(document, PLAN, "the plan", needed=("methods", "data", "teacher", "student"))
    training = {key: document[key] for key in TRAINING if key in document}
    students = tuple(_architecture(student) for student in document["student"])
    methods, seeds = _texts(document["methods"]), _seeds(document.get("seeds", [0, 1, 2]))
    if not students or not methods:
        raise UsageError("there is no student or no method; give one [[student]] and one method at least")
    networks = len(students) * len(seeds) * sum(len(alternatives(method)) for method in methods)
    if networks > MOST_NETWORKS:
        raise UsageError(f"it asks for {networks:,} networks; plan {MOST_NETWORKS:,} at most")
    file, teacher = _teacher(document["teacher"], training)
    layers = document.get("layers", "embedding,logits")
    plan = UserPlan(_images(document["data"]), file, teacher, students, methods, seeds, layers, training)
    plan.recipe(students[0], "ce", 0)  # what a recipe refuses is refused now
    return plan


def _require(found: Mapping[str, Any], known: Kinds, where: str, needed: tuple[str, ...]) -> None:
    if not isinstance(found, dict):
        raise UsageError(f"{where} is no table; write [[student]] with arch = NAME")
    for key, value in found.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"nearest: {near[0]}" if near else f"there are {', '.join(known)}"
            raise UsageError(f"{where} has no key {one_line(key, 30)!r}; {hint}")
        kinds = known[key]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            expected = " or ".join(WORDS[kind] for kind in kinds)
            raise UsageError(f"{key} of {where} is {one_line(repr(value), 30)}; give {expected}")
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{key} of {where} is {value}; give a finite number")
    if missing := [key for key in needed if key not in found]:
        raise UsageError(f"{where} lacks {missing[0]!r}; add it")


def _images(data: dict[str, Any]) -> Images:
    _require(data, DATA, "[data]", needed=("name",))
    names = [data.get(key, data["name"]) for key in ("name", "validation", "test")]
    for name in names:
        if sources.names_code(name):
            raise UsageError(f"data {one_line(name, 40)!r} names code, which a file may not; name a data set")
    return Images(*names)


def _teacher(teacher: dict[str, Any], training: dict[str, Any]) -> tuple[str | None, Recipe | None]:
    _require(teacher, TEACHER, "[teacher]", needed=())
    if ("file" in teacher) == ("arch" in teacher):
        raise UsageError("[teacher] has file and arch, or neither; give the file, or arch and epochs to train one")
    if "file" in teacher:
        if others := sorted(set(teacher) - {"file"}):
            raise UsageError(f"[teacher] has a file, which {others[0]} does not go with; leave one out")
        return teacher["file"], None
    arch = _architecture({"arch": teacher["arch"]})
    own = {key: value for key, value in teacher.items() if key != "arch"}
    changes: dict[str, Any] = {"seed": TEACHER_SEED, **training, **own}
    return None, recipe(arch=arch, **changes)


def _architecture(student: dict[str, Any]) -> str:
    _require(student, STUDENT, "[[student]]", needed=("arch",))
    arch: str = student["arch"]
    with torch.device("meta"):  # takes no memory
        zoo.build(arch)
    return arch


def _texts(methods: list[Any]) -> tuple[str, ...]:
    for method in methods:
        if not isinstance(method, str):
            raise UsageError(f"method {one_line(repr(method), 30)} is no text; write for example 'kda(weight=0.1)'")
        for alternative in alternatives(method)[:1]:
            losses_of(alternative)
    if len(set(methods)) < len(methods):
        raise UsageError("methods has one of them twice; name each once")
    return tuple(methods)


def _seeds(seeds: list[Any]) -> tuple[int, ...]:
    if not seeds or not all(type(seed) is int and 0 <= seed < 2**63 for seed in seeds):
        raise UsageError(f"seeds are {one_line(repr(seeds), 40)}; give whole numbers such as [0, 1, 2]")
    if len(set(seeds)) < len(seeds):
        raise UsageError("seeds has one of them twice; name each once")
    return tuple(seeds)
