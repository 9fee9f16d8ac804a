"""The pickles that ``torch.save`` writes of weights: operations that torch knows, and calls that it may make."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

from kernelscope.errors import one_line
from kernelscope.pickles import program
from kernelscope.pickles.things import BYTES, Dialect, Survey, UnsafeProgram, operations

if TYPE_CHECKING:
    from kernelscope.pickles.things import Thing

#: torch looks a refused class up in a list of all of them, each time one is made
MAX_LOOKUPS = 5_000_000

#: what torch lets a pickle call, and what is made of arguments alone: these must be plain, as a set of a tensor that
#: claims a terabyte would take all its values, one by one
_OF_PLAIN = {
    "builtins.set", "builtins.complex", "collections.Counter", "collections.OrderedDict", "torch.Size", "torch.device",
    "torch.serialization._get_layout", "builtins.bytearray", BYTES,
}  # fmt: skip
#: bytes are written as text; of a number, or through another codec, a few of them would become gigabytes
_OF_TEXT = frozenset({"builtins.bytearray", BYTES})
#: calls that make memory out of a number, or convert whole tensors, which no file of plain weights needs
_FORBIDDEN = re.compile(
    r"torch\.(\w+\.)?\w*(Tensor|Storage)|torch\._utils\._rebuild_(device_tensor_from_\w+|qtensor|nested_tensor)"
)
_REBUILD = "torch._utils._rebuild_"


def _require_harmless(call: str, arguments: tuple[Thing, ...]) -> None:
    """A call that torch would make takes what ``torch.save`` gives it, and no more."""
    if call == "torch._tensor._rebuild_from_type_v2":  # calls its first argument
        call = arguments[0].origin
        if not call.startswith(_REBUILD):
            raise UnsafeProgram(f"a tensor made by {one_line(call, 40)}")
    if (found := _FORBIDDEN.fullmatch(call)) is not None:
        kinds = {"qtensor": "a quantized tensor", "nested_tensor": "a nested tensor"}
        raise UnsafeProgram(kinds.get(found[3] or "", f"a call of {one_line(call, 60)}"))
    if call in _OF_PLAIN and any(item.origin not in ("", BYTES) for item in arguments):
        raise UnsafeProgram(f"a call of {call} on an object")


TORCH = Dialect(
    operations=operations(
        "PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE SHORT_BINSTRING "
        "EMPTY_LIST EMPTY_DICT EMPTY_SET EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 BINPUT LONG_BINPUT BINGET LONG_BINGET "
        "GLOBAL REDUCE NEWOBJ BUILD APPEND APPENDS SETITEM SETITEMS BINPERSID"
    ),
    most=2_000_000,  # more than checkpoints have
    require_harmless=_require_harmless,
    of_text=_OF_TEXT,
)


def survey(stream: BinaryIO, size: int, *, before: int = 0, after: int = 0) -> Survey:
    """As :func:`kernelscope.pickles.program.survey`.

    Raises:
        UnsafeProgram, UnpicklingError: as there.
    """
    found = program.survey(stream, size, TORCH, before=before, after=after)
    if found.made * len(found.globals) > MAX_LOOKUPS:
        raise UnsafeProgram(f"{len(found.globals):,} classes in {found.made:,} objects")
    return found
