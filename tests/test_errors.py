"""Messages name options on the command line and keywords in Python; inputs go in by name."""

import inspect

import click
import numpy as np
import pytest

import kernelscope as ks
from kernelscope.checkpoints.loading import load
from kernelscope.cli.main import VERBS, kernelscope, main
from kernelscope.distill.recipe import Recipe
from kernelscope.distill.training import train_cohort
from kernelscope.errors import KernelscopeError, UnreadableInput, UsageError, with_keywords
from kernelscope.features.extraction import Extraction, extract
from kernelscope.features.request import Request
from kernelscope.measurement.audit import audit
from kernelscope.measurement.inspection import describe
from kernelscope.measurement.measure import measure

#: of each verb, the functions that take its options as keywords
TAKEN = {
    "measure": (measure,),
    "gate": (measure,),
    "audit": (audit,),
    "extract": (extract, load, Request, Extraction.write),
    "inspect": (describe,),
    "train": (Recipe, train_cohort),
}
X = np.random.default_rng(0).standard_normal((20, 3))


def options():
    """``(option, keyword, is a flag)`` of every option that becomes a keyword."""
    context = click.Context(kernelscope)
    for verb in VERBS:
        keywords = {name for each in TAKEN.get(verb, ()) for name in inspect.signature(each).parameters}
        for parameter in kernelscope.get_command(context, verb).params:
            name = "plan" if parameter.name == "announce" else parameter.name
            if isinstance(parameter, click.Option) and name in keywords:
                yield pytest.param(parameter.opts[0], name, parameter.is_flag, id=f"{verb} {parameter.opts[0]}")


@pytest.mark.parametrize(("option", "keyword", "flag"), list(options()))
def test_every_option_is_told_as_the_keyword_it_becomes(option, keyword, flag):
    value = ("False" if option.startswith("--no-") else "True") if flag else ""
    assert with_keywords(f"wrong; pass {option}") == f"wrong; pass {keyword}={value}"
    assert with_keywords(f"{option}, or {option}") == f"{keyword}={value}, or {keyword}={value}"
    if not flag:
        assert with_keywords(f"pass {option} NAME or less") == f"pass {keyword}= or less"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("pass --align ids to pair them", "pass align='ids' to pair them"),
        ("pass --pairs T=S", "pass pairs="),
        ("pass --neighbours 10", "pass neighbours=10"),
        ("the row -- or --ks-name: -1", "the row -- or ks_name=: -1"),
        ("a--b --", "a--b --"),
    ],
)
def test_values_and_what_is_no_option_stay(written, told):
    assert with_keywords(written) == told


def test_python_hears_of_keywords_and_the_command_line_of_options(tmp_path, capsys):
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(UsageError, match=r"^split= is about running networks"):
        ks.measure(teacher=X, student=X, split="test")
    with pytest.raises(SystemExit):
        main(["measure", "--teacher", f"{tmp_path}/x.npy", "--student", f"{tmp_path}/x.npy", "--split", "test"])
    assert "--split is about running networks" in capsys.readouterr().err
    assert str(UnreadableInput("pass --split NAME")) == "pass split="


@pytest.mark.parametrize("function", [ks.measure, ks.audit, ks.transfer_loss])
def test_inputs_by_place_are_told_how_to_call(function):
    with pytest.raises(TypeError, match=rf"call {function.__name__}\(teacher=..., student=...\)") as caught:
        function(X, X)
    assert isinstance(caught.value, KernelscopeError)
    kinds = {each.kind for each in inspect.signature(function).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}
