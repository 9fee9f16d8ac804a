"""The house stands: a room imports only rooms below it, and every room has a floor."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "kernelscope"

FLOOR = {
    "errors": 0,
    "kernels": 1,
    "files": 1,
    "processes": 1,
    "metrics": 2,
    "networks": 2,
    "datasets": 2,
    "features": 3,
    "distill": 3,
    "report": 4,
    "cli": 5,
    "paper": 5,
}
# beyond "strictly below": what DESIGN allows or forbids by name
ALLOWED = {("kernels", "processes")}
FORBIDDEN = {("networks", "kernels"), ("datasets", "kernels"), ("report", "distill")}
FRONT_DOOR = {"__init__", "__main__"}


def imports_between_rooms() -> set[tuple[str, str, str]]:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
                if node.module == "kernelscope":
                    names = [f"kernelscope.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                parts = name.split(".")
                if parts[0] == "kernelscope" and len(parts) > 1 and parts[1] != room:
                    found.add((room, parts[1], str(path.relative_to(PACKAGE))))
    return found


def test_every_room_has_a_floor():
    rooms = {p.name for p in PACKAGE.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    rooms |= {p.stem for p in PACKAGE.glob("*.py")} - FRONT_DOOR
    assert rooms <= set(FLOOR), f"no floor for {rooms - set(FLOOR)}"


def test_a_room_imports_only_rooms_below_it():
    wrong = [
        f"{where}: {room} (floor {FLOOR[room]}) imports {other} (floor {FLOOR.get(other)})"
        for room, other, where in sorted(imports_between_rooms())
        if room not in FRONT_DOOR
        and (other in FRONT_DOOR or other in FLOOR)
        and ((room, other) in FORBIDDEN or (FLOOR.get(other, 9) >= FLOOR[room] and (room, other) not in ALLOWED))
    ]
    assert not wrong, "\n".join(wrong)


def test_no_drawer_for_odds_and_ends():
    banned = {"utils", "helpers", "common", "core", "manager", "registry", "misc"}
    assert not {p.stem for p in PACKAGE.rglob("*")} & banned
