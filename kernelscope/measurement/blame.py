"""``blame``: which layer of a compressed network broke it; own, inherited and total loss of every layer.

With a layer's input and output in both networks, ``in_T, out_T, in_S, out_S`` (docs/blame.md):

    own = d(layer_S(in_T), out_T),   inherited = d(layer_T(in_S), out_T),   total = d(out_S, out_T),

d(Y, Y_T) = ‖Y − Y_T‖_F / ‖Y_T‖_F over all examples: two forward passes, and every layer twice more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernelscope import devices
from kernelscope.activations.example_rows import ForwardPass
from kernelscope.activations.pooling import pool
from kernelscope.activations.unit_calls import Call, UnitCalls, copied, floats, in_types_of
from kernelscope.errors import Mismatch, NumericalError, UsageError, by_name, one_line
from kernelscope.features.request import Progress, Request, taking
from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.similarity import ladder
from kernelscope.measurement.evaluation_data import examples_for, require_inputs
from kernelscope.measurement.opening import Network, opened
from kernelscope.report.blame import Blame, LayerBlame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


Key = tuple[str, int]  #: a layer's path and the number of its call, from 1


@by_name
@devices.faults()
def blame(
    *,
    teacher: Any,
    student: Any,
    data: Any = None,
    split: str | None = None,
    limit: int | None = None,
    n: int | None = None,
    sample: int | None = None,
    skip_unreadable: bool = False,
    preprocess: list[dict[str, Any]] | None = None,
    device: str = "cpu",
    seed: int = 0,
    batch_size: int = 64,
    teacher_arch: str | None = None,
    teacher_arch_kwargs: dict[str, Any] | None = None,
    student_arch: str | None = None,
    student_arch_kwargs: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Blame:
    """Which layers of a quantised, pruned or otherwise compressed network differ from the original's, each by itself.

    Examples:
        >>> import copy, torch, kernelscope as ks
        >>> net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
        >>> broken = copy.deepcopy(net)
        >>> _ = broken[2].weight.data.mul_(1.5)
        >>> ks.blame(teacher=net, student=broken, data=torch.randn(200, 6)).named
        ('2',)

    Args:
        teacher: the network as it was: a checkpoint or a module. student: the same, compressed; its layers have the
            original's names. Layers of one network alone are passed over, with a note.

    The other arguments are those of :func:`kernelscope.measurement.measure.measure`.

    Raises:
        UnreadableInput, Mismatch, NumericalError, ResourceError, UsageError: see :mod:`kernelscope.errors`.
    """
    device = devices.require_device(device)
    asked = dict(locals())
    request = taking(Request, asked)
    networks = {}
    for role in ("teacher", "student"):
        found = opened(asked[role], role, (asked[f"{role}_arch"], asked[f"{role}_arch_kwargs"]))
        if not isinstance(found, Network):
            raise UsageError(f"{role} is features, and layers are run by themselves; give a network")
        networks[role] = found.loaded
    examples = examples_for({each.name: each for each in networks.values()}, request)
    for loaded in networks.values():
        require_inputs(loaded.name, loaded, examples, preprocess)
    passes = {
        role: ForwardPass(
            loaded.module,
            examples,
            (),
            name=loaded.name,
            operations=None if loaded.checkpoint is None or preprocess is not None else loaded.checkpoint.preprocess,
            device=device,
            trial=False,
        )
        for role, loaded in networks.items()
    }
    losses = _Losses()
    for start in range(0, examples.n, batch_size):
        stop = min(start + batch_size, examples.n)
        with passes["teacher"] as forward, UnitCalls(forward.network) as calls:
            forward.run(start, stop)
        with passes["student"] as forward, UnitCalls(forward.network, losses.beside(calls.calls)):
            forward.run(start, stop)
        losses.note_alone(calls.calls)
        request.report(networks["student"].name, stop, examples.n)
    return losses.blame(networks["teacher"].name, networks["student"].name, examples.n)


@dataclass(eq=False)
class _Sums:
    """Of one layer over batches: squared norms of the three differences and of the teacher's output.

    ``same``: both networks' layers do the same to the same input.
    """

    kind: str
    same: bool
    own: float = 0.0
    inherited: float = 0.0
    total: float = 0.0
    teacher: float = 0.0

    def loss(self, squared: float) -> float | None:
        return math.sqrt(squared / self.teacher) if self.teacher > 0 else None


class _Losses:
    """What batches add up to, layer by layer."""

    def __init__(self) -> None:
        self._sums: dict[Key, _Sums] = {}
        self._rows: dict[Key, tuple[_Rows, _Rows]] = {}
        self._alone: dict[str, None] = {}

    def beside(self, teacher: dict[Key, Call]) -> Callable[[Key, Call], None]:
        """What is to be done with the student's calls as they end; the teacher's, of the same batch, are used up."""

        def meet(key: Key, student: Call) -> None:
            if (call := teacher.pop(key, None)) is None:
                self._alone[key[0]] = None
            elif call.tensors():
                self._add(key, call, student)

        return meet

    def note_alone(self, left: Mapping[Key, Call]) -> None:
        """Calls of the teacher that no call of the student met."""
        self._alone |= {name: None for name, _ in left}

    def _add(self, key: Key, teacher: Call, student: Call) -> None:
        if _alike(teacher.out, student.out) and _alike(teacher.given, student.given):
            if key not in self._sums:
                same = _does_the_same(teacher.module, student.module)
                self._sums[key] = _Sums(type(student.module).__name__, same)
            _add(self._sums[key], teacher, student)
            return
        ins, outs = self._rows.setdefault(key, (_Rows(), _Rows()))
        ins.add(teacher.given, student.given)
        outs.add(teacher.out, student.out)

    def blame(self, teacher: str, student: str, n: int) -> Blame:
        """Of all that was added, in the order in which layers ran."""
        layers = [self._measured(key, sums) for key, sums in self._sums.items()]
        layers += [_by_head(key, *rows) for key, rows in self._rows.items()]
        if not layers:
            raise Mismatch(f"{teacher} and {student} run no layer of one name; give one network and it compressed")
        notes = []
        if self._alone:
            shown = one_line(", ".join(self._alone), 80)
            notes.append(f"{len(self._alone)} layers run in one of the two networks alone and are passed over: {shown}")
        if self._rows:
            notes.append(
                f"{len(self._rows)} layers differ in shape: theirs is what a linear head leaves on examples held out"
            )
        return Blame(teacher, student, n, tuple(layers), tuple(notes))

    def _measured(self, key: Key, sums: _Sums) -> LayerBlame:
        parts = (sums.own, sums.inherited, sums.total)
        if not all(map(math.isfinite, (*parts, sums.teacher))):
            raise NumericalError(f"layer {_shown(key)} gives NaN or infinite values; check the network")
        own, inherited, total = map(sums.loss, parts)
        return LayerBlame(_shown(key), sums.kind, own, inherited, total)


def _add(sums: _Sums, teacher: Call, student: Call) -> None:
    given_T, given_S = teacher.given, student.given
    total = _squared(student.out, teacher.out)
    sums.total += total
    sums.teacher += _squared(teacher.out)
    if sums.same:  # what the teacher's makes of the student's input is what the student's makes of it
        sums.inherited += total
        return
    sums.own += _squared(_run(student.module, in_types_of(given_T, given_S)), teacher.out)
    sums.inherited += _squared(_run(teacher.module, in_types_of(given_S, given_T)), teacher.out)


def _run(module: torch.nn.Module, given: Any) -> Any:
    """On copies, where the module may change what it is given."""
    args, kwargs = copied(given) if getattr(module, "inplace", True) else given
    return module(*args, **kwargs)


def _squared(value: Any, other: Any = None) -> float:
    """‖value − other‖² over all their floating-point tensors."""
    of_other = [None] * len(floats(value)) if other is None else floats(other)
    found = 0.0
    for x, y in zip(floats(value), of_other):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        gap = wide if y is None else wide - y.to(device=x.device, dtype=wide.dtype)
        found += float(torch.linalg.vector_norm(gap)) ** 2
    return found


def _does_the_same(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    """Whether two modules are of one class, with the same options and numbers, and neither depends on chance."""
    if type(one) is not type(two) or repr(one) != repr(two) or not type(one).__module__.startswith("torch.nn."):
        return False
    of_one, of_two = ({**dict(each.named_parameters()), **dict(each.named_buffers())} for each in (one, two))
    return of_one.keys() == of_two.keys() and all(
        x.dtype == of_two[name].dtype and torch.equal(x, of_two[name].to(x.device)) for name, x in of_one.items()
    )


def _alike(one: Any, two: Any) -> bool:
    """Whether both hold floating-point tensors of the same shapes."""
    return [tuple(x.shape) for x in floats(one)] == [tuple(x.shape) for x in floats(two)]


class _Rows:
    """Rows of both networks at one place, averaged over positions, where shapes differ."""

    def __init__(self) -> None:
        self._parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])

    def add(self, teacher: Any, student: Any) -> None:
        for part, value in zip(self._parts, (teacher, student)):
            x = next(iter(floats(value)), None)
            if x is not None and x.dim() > 1:
                part.append(pool(x, "auto").float().cpu().numpy())

    def head(self) -> float | None:
        """What a linear head leaves of the teacher's kernel on rows held out; None where there are too few."""
        if not all(self._parts):
            return None
        T, S = (np.concatenate(part) for part in self._parts)
        if len(T) != len(S) or not T.any():
            return None
        scaled = well_scaled_sums(teacher=T, student=S, halves=True)
        rung = ladder.rungs(scaled, centre(scaled)).head_held_out
        return None if rung is None else float(rung)


def _by_head(key: Key, ins: _Rows, outs: _Rows) -> LayerBlame:
    before, after = ins.head(), outs.head()
    own = None if before is None or after is None else max(0.0, after - before)
    return LayerBlame(_shown(key), "", own, before, after, by_head=True)


def _shown(key: Key) -> str:
    name, number = key
    return name if number == 1 else f"{name}@{number}"
