"""What `import kernelscope as ks` offers: documented by examples that run, and changed only on purpose."""

import doctest
import inspect
import re
from pathlib import Path

import pytest

import kernelscope as ks

SNAPSHOT = Path(__file__).parent / "public_api.txt"
PUBLIC = {name: getattr(ks, name) for name in ks.__all__ if callable(getattr(ks, name))}
PUBLIC |= {
    f"{room.__name__.rpartition('.')[2]}.{name}": getattr(room, name)
    for room in (ks.losses, ks.metrics)
    for name in room.__all__
    if callable(getattr(room, name))
}


def signature(thing: object) -> str:
    """Names, kinds and defaults, without types."""
    found = inspect.signature(thing)
    bare = [parameter.replace(annotation=parameter.empty) for parameter in found.parameters.values()]
    return str(found.replace(parameters=bare, return_annotation=found.empty))


def offered() -> str:
    """One line for each public name and for each public method and attribute of the classes among them."""
    lines = []
    for name, thing in PUBLIC.items():
        lines.append(f"{name}{signature(thing)}")
        if inspect.isclass(thing):
            own = {
                key: value
                for kind in reversed(thing.__mro__)
                if kind.__module__.startswith("kernelscope")
                for key, value in vars(kind).items()
            }
            members = {key for key in own if not key.startswith("_")}
            members |= {key for kind in thing.__mro__ for key in getattr(kind, "__dataclass_fields__", ())}
            for member in sorted(members):
                value = own.get(member)
                value = getattr(value, "__func__", value)  # of class methods
                lines.append(f"{name}.{member}{signature(value) if inspect.isfunction(value) else ''}")
    return "\n".join(lines) + "\n"


def test_public_names_change_only_on_purpose():
    """If this is meant, write the file again (the line below) and tell users in CHANGELOG.md."""
    # python -c "from tests.test_api import *; SNAPSHOT.write_text(offered())"
    assert offered() == SNAPSHOT.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_shows_an_example_that_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    thing = inspect.unwrap(PUBLIC[name])
    (found,) = doctest.DocTestFinder(recurse=False).find(thing, name, module=False, globs={**vars(ks.metrics)})
    assert found.examples, f"{name} has no example"
    wrong = []
    doctest.DocTestRunner(verbose=False).run(found, out=wrong.append)
    assert not wrong, "".join(wrong)


def test_arguments_of_measure_stand_under_the_headings_of_its_help():
    from kernelscope.cli.grouping import HEADING

    told = inspect.getdoc(ks.measure)
    groups = dict(re.findall(r"^Args: (.+)\n((?:    .*\n)+)", told, re.MULTILINE))
    where = {
        name: heading
        for heading, text in groups.items()
        for line in re.findall(r"^    (\w[\w, ]*):", text, re.MULTILINE)
        for name in line.split(", ")
    }
    shared = (where.keys() & HEADING.keys()) - {"plan"}  # to study it is a file
    assert len(shared) > 25 and set(groups) <= set(HEADING.values())
    assert {name: where[name] for name in shared} == {name: HEADING[name] for name in shared}
