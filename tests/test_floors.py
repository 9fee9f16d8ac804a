"""The house stands: rooms import only rooms below them, no import goes in a circle, and tests mirror the rooms."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "kernelscope"

FLOOR = {
    "errors": 0,
    "version": 0,
    "terms": 1,
    "kernels": 1,
    "file_parts": 1,
    "files": 1,
    "isolated": 1,
    "labels": 1,
    "masked": 1,
    "memory": 1,
    "numpy_files": 2,
    "plain_file": 1,
    "devices": 1,
    "pickles": 1,
    "processes": 1,
    "exchange": 1,
    "metrics": 2,
    "networks": 2,
    "datasets": 3,
    "checkpoints": 3,
    "report": 3,
    "activations": 4,
    "features": 5,
    "distill": 5,
    "measurement": 6,
    "rendering": 7,
    "paper": 8,
    "cli": 9,
}
ALSO_ALLOWED = {
    ("kernels", "masked"),
    ("labels", "masked"),
    ("kernels", "processes"),
    ("kernels", "devices"),
    ("processes", "devices"),
    ("kernels", "exchange"),
    ("exchange", "processes"),
}
ONLY = {
    "networks": {"errors"},
    "rendering": {"report", "errors", "files"},
    "kernels": {"errors", "exchange", "processes", "devices", "masked"},
}
NEVER = {("datasets", "kernels"), ("checkpoints", "kernels"), ("measurement", "distill")}
FRONT_DOOR = {"__init__", "__main__"}
#: the one upward arrow: a report's convenience methods load the room that shows it, inside the call
UPWARD = ("report", "rendering")


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(module: str) -> set[tuple[str, bool]]:
    """What a module imports of the package, lazily and for types too; and whether only inside a function."""
    tree = ast.parse(MODULES[module].read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {(name, id(node) in inside) for name in names if name in MODULES and name != module}
    return found


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def is_excepted(module: str, other: str, lazy: bool) -> bool:
    return lazy and (room(module), room(other)) == UPWARD


ARROWS = {
    (module, other) for module in MODULES for other, lazy in imports(module) if not is_excepted(module, other, lazy)
}


def test_every_room_has_a_floor():
    rooms = {p.name for p in PACKAGE.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    rooms |= {p.stem for p in PACKAGE.glob("*.py")} - FRONT_DOOR
    assert rooms == set(FLOOR)


def may_import(here: str, there: str) -> bool:
    if here in FRONT_DOOR or here == there or (here, there) in ALSO_ALLOWED:
        return True
    if there in FRONT_DOOR or (here, there) in NEVER or there not in ONLY.get(here, {there}):
        return False
    return FLOOR[there] < FLOOR[here]


def test_a_room_imports_only_rooms_below_it():
    wrong = [f"{a} imports {b}" for a, b in sorted(ARROWS) if not may_import(room(a), room(b))]
    assert not wrong, "\n".join(wrong)


def circles(arrows: set[tuple[str, str]]) -> list[list[str]]:
    """Modules that are left once every module whose imports all lead out is taken away, again and again."""
    left = {module for arrow in arrows for module in arrow}
    while True:
        inside = {module for module in left if any(a == module and b in left for a, b in arrows)}
        inside = {module for module in inside if any(b == module and a in inside for a, b in arrows)}
        if inside == left:
            return [sorted(left)] if left else []
        left = inside


def test_no_import_goes_in_a_circle():
    assert circles(ARROWS) == []


@pytest.mark.parametrize("arrow", [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")], ids="-".join)
def test_a_circle_is_seen_until_one_of_its_arrows_is_cut(arrow):
    ring = {("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")}
    assert circles(ring) == [["a", "b", "c"]]
    assert (circles(ring - {arrow}) == []) == (arrow != ("c", "d"))


def test_no_drawer_for_odds_and_ends():
    banned = {"utils", "helpers", "common", "core", "manager", "registry", "misc"}
    assert not {p.stem for p in PACKAGE.rglob("*")} & banned


def test_names_of_tests_stay_under_75_characters():
    tests = Path(__file__).parent
    names = {
        node.name
        for path in tests.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test")
    }
    assert {name for name in names if len(name) >= 75} == set()


def test_every_room_has_tests_in_a_folder_of_its_name():
    tests = Path(__file__).parent
    rooms = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    assert rooms <= {p.name for p in tests.iterdir() if p.is_dir() and any(p.rglob("test_*.py"))}
