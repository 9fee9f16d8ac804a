"""Help: verbs under headings, options in groups, topics, completion; and what is said where there is no terminal."""

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from kernelscope.cli import streams
from kernelscope.cli.grouping import FIRST, GROUPS, HEADING
from kernelscope.cli.main import HEADINGS, VERBS, kernelscope, main
from kernelscope.cli.outputs import extraction_progress
from kernelscope.cli.topics import TOPICS
from kernelscope.report.columns import LOSS_COLUMNS

PROGRAM = [sys.executable, "-m", "kernelscope"]


def parameters(verb: str) -> list[click.Parameter]:
    return kernelscope.get_command(click.Context(kernelscope), verb).params


def sections(verb: str, width: int = 80) -> dict[str, str]:
    """Heading → the text under it."""
    text = CliRunner().invoke(kernelscope, [verb, "--help"], terminal_width=width).output
    found, heading = {}, ""
    for line in text.splitlines():
        heading = line.rstrip(":") if line.endswith(":") and not line.startswith(" ") else heading
        found[heading] = found.get(heading, "") + line + "\n"
    return found


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "help"])
def test_every_parameter_of_a_verb_stands_under_a_heading_once(verb):
    told = sections(verb)
    assert set(told) - {""} <= {"Most used", *GROUPS}
    for parameter in parameters(verb):
        assert parameter.name in HEADING, f"cli/grouping.py gives {parameter.name} no heading"
        if isinstance(parameter, click.Option):
            listed = [heading for heading, text in told.items() if heading and f"\n  {parameter.opts[0]} " in text]
            assert len(listed) == 1, (parameter.name, listed)


def test_headings_name_only_parameters_that_exist():
    known = {parameter.name for verb in VERBS for parameter in parameters(verb)}
    assert set(HEADING) | set(FIRST) <= known


def test_what_people_need_first_stands_first_in_a_long_help():
    told = sections("measure")
    assert next(heading for heading in told if heading) == "Most used"
    assert told["Most used"].count("\n  --") == len(FIRST) == 10
    assert "Most used" not in sections("pin")


def test_the_list_of_verbs_imports_none_of_them():
    code = (
        "import sys; from click.testing import CliRunner; from kernelscope.cli.main import VERBS, kernelscope;"
        "told = CliRunner().invoke(kernelscope, ['--help']).output;"
        "assert all(f'\\n  {verb} ' in told for verb in VERBS), told;"
        "assert not set(VERBS.values()) & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert [verb for verbs in HEADINGS.values() for verb in verbs] == list(VERBS)


@pytest.mark.parametrize("topic", TOPICS)
def test_each_topic_is_explained_within_sixty_columns(topic, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit) as stop:
        main(["help", topic])
    told = capsys.readouterr().out
    assert stop.value.code == 0 and len(told.splitlines()) > 4
    for name, _ in TOPICS[topic][1]():
        assert name in told
    if topic != "completion":  # whose lines are to be copied
        assert max(map(len, told.splitlines())) <= 60


def test_help_of_a_verb_is_its_own_and_a_wrong_topic_names_the_topics(capsys):
    with pytest.raises(SystemExit):
        main(["help", "inspect"])
    told = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["inspect", "--help"])
    assert told == capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["help", "colums"])
    assert stop.value.code == 2 and "columns, files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "word", "offered"), [("kernelscope mea", "1", "measure"), ("kernelscope measure --ht", "2", "--html")]
)
def test_a_shell_completes_verbs_and_options(words, word, offered):
    told = {**os.environ, "_KERNELSCOPE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": word}
    done = subprocess.run(PROGRAM, env=told, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and f"plain,{offered}\n" in done.stdout, done


def test_the_columns_are_explained_where_it_is_asked_for(tmp_path, capsys):
    import numpy as np

    X = np.random.default_rng(0).standard_normal((40, 6))
    np.save(tmp_path / "t.npy", X)
    np.save(tmp_path / "s.npy", X[:, :4])
    meanings = " ".join(column.meaning for column in LOSS_COLUMNS if "width" in column.heading)
    said = {}
    for words in ([], ["--explain"]):
        with pytest.raises(SystemExit):
            main(["measure", "--teacher", str(tmp_path / "t.npy"), "--student", str(tmp_path / "s.npy"), *words])
        said[len(words)] = " ".join(capsys.readouterr().out.split())
    assert meanings not in said[0] and "kernelscope help columns" in said[0]
    assert meanings in said[1] and "kernelscope help columns" not in said[1]
    with pytest.raises(SystemExit) as stop:
        main(["measure", "--teacher", "none.npy", "--student", "none.npy", "--explain", "--json"])
    assert stop.value.code == 2 and "drop one of the two" in capsys.readouterr().err


def test_without_a_terminal_progress_is_a_line_a_minute(capsys, monkeypatch):
    seconds = iter([0.0, 30.0, 61.0, 90.0, 122.0])
    monkeypatch.setattr(streams.time, "monotonic", lambda: next(seconds))
    progress = extraction_progress(quiet=False)
    for done in (1_000, 2_000, 3_000, 4_000):
        progress("teacher.pt", done, 5_000)
    assert capsys.readouterr().err.splitlines() == [
        "features of teacher.pt: 2,000 of 5,000 examples",
        "features of teacher.pt: 4,000 of 5,000 examples",
    ]
    assert extraction_progress(quiet=True) is None
