"""``kernelscope measure``: two files in, the report out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from kernelscope.cli import options


def feature_inputs(required: bool = True) -> Any:
    """Every option that decides what is measured; shared by the verbs that read networks or features."""
    return options.together(
        options.networks(required),
        options.data,
        options.split,
        options.limit,
        options.n,
        options.skip_unreadable,
        options.preprocess,
        click.option("--labels", type=options.PATH, metavar="FILE.npy", help="Class of each row, for feature files."),
        click.option(
            "--groups",
            type=options.PATH,
            metavar="FILE.npy",
            help="Group of each row; intervals leave out whole groups.",
        ),
        click.option("--align", type=click.Choice(["ids"]), help="Pair the rows of re-ordered files by example id."),
        options.layers,
        click.option("--pairs", metavar="T=S,...", help="Which teacher layer against which student layer; or `all`."),
        options.pool,
        click.option(
            "--landmarks",
            metavar="SPEC",
            help="class-means[:k], kmeans:m, uniform:m, leverage:m, or FILE.npy of row indices.",
        ),
        options.device,
        options.dtype,
        options.seed,
        options.batch_size,
        options.no_cache,
        options.no_accuracy_check,
    )


def measurement_inputs(required: bool = True) -> Any:
    """The same, and every option that decides how it is measured."""
    return options.together(
        feature_inputs(required),
        click.option(
            "--kernel",
            default="linear",
            show_default=True,
            metavar="K",
            help="linear, cosine, ridge[:RHO], rbf[:GAMMA] or poly[:P[,C]].",
        ),
        click.option("--centre", is_flag=True, help="Take off each layer's mean first."),
        click.option("--normalize", is_flag=True, help="Scale every row to length 1 first."),
        click.option(
            "--neighbours",
            type=click.IntRange(min=0),
            metavar="K",
            help="Nearest neighbours to compare [default: 10 of up to 10,000 examples].",
        ),
        click.option(
            "--dims",
            metavar="K1,K2,...",
            help="Also compare the first K features of both networks, as of Matryoshka embeddings.",
        ),
        click.option(
            "--reference",
            "references",
            multiple=True,
            metavar="[NAME=]FILE",
            help="Another network to read the loss by, such as a reseeded teacher; may be repeated.",
        ),
        click.option("--untrained", is_flag=True, help="Also measure an untrained copy of each student."),
        click.option(
            "--route",
            type=click.Choice(["auto", "gram", "pair", "tsqr", "blocked"]),
            default="auto",
            show_default=True,
            help="How the transfer loss is computed.",
        ),
        click.option(
            "--rtol", type=float, default=1e-6, show_default=True, help="Relative half-width to resolve the loss to."
        ),
        click.option(
            "--no-features",
            is_flag=True,
            help="Straight from the networks into the sums: no file, fewer numbers.",
        ),
        click.option("--plan", is_flag=True, help="Say on stderr what each pair will cost before it is computed."),
        click.option("--max-memory", metavar="SIZE", default="512M", show_default=True, help="For the blocked route."),
    )


@click.command("measure")
@measurement_inputs()
@options.outputs
def command(**given: Any) -> None:
    """How much of the teacher's kernel a student inherited: the transfer loss and what it means.

    Nothing but the two files is needed when they are kernelscope checkpoints. Feature files (.h5, .npy, .npz)
    are told apart by content.
    """
    outputs = options.take_outputs(given)
    refuse_outputs(outputs)
    finish(measurement(given, outputs), outputs)


def measurement(given: dict[str, Any], outputs: dict[str, Any]) -> Any:
    """The report the options ask for."""
    from kernelscope.measurement.measure import measure

    return measure(**measurement_options(given), progress=progress_for(outputs))


def measurement_options(given: dict[str, Any]) -> dict[str, Any]:
    """Command-line values as keyword arguments of :func:`kernelscope.measurement.measure.measure`."""
    given = feature_options(given)
    return {
        "memory_bytes": size_in_bytes(given.pop("max_memory")),
        "announce": _to_stderr if given.pop("plan") else None,
        "references": _named(given.pop("references")),
        "features": not given.pop("no_features"),
        "dims": parse_dims(given.pop("dims")),
        **given,
    }


def feature_options(given: dict[str, Any]) -> dict[str, Any]:
    """The options of :func:`feature_inputs` as keyword arguments; the others as they are."""
    given = dict(given)
    students = given.pop("students")
    return {
        "student": list(students),
        "cache": not given.pop("no_cache"),
        "accuracy_check": not given.pop("no_accuracy_check"),
        "student_arch": _one_each("--student-arch", given.pop("student_archs"), len(students)),
        "student_arch_kwargs": [
            parse_json("--student-arch-kwargs", text)
            for text in _one_each("--student-arch-kwargs", given.pop("student_archs_kwargs"), len(students))
        ],
        "teacher_arch_kwargs": parse_json("--teacher-arch-kwargs", given.pop("teacher_arch_kwargs")),
        "preprocess": parse_operations(given.pop("preprocess")),
        **given,
    }


def _named(references: tuple[str, ...]) -> dict[str, str]:
    """``NAME=FILE``, or a file that is named by itself."""
    found = {}
    for text in references:
        name, equals, path = text.partition("=")
        found[name if equals else Path(text).name] = path if equals else text
    return found


def _to_stderr(line: str) -> None:
    click.echo(line, err=True)


def refuse_outputs(outputs: dict[str, Any]) -> None:
    """Stop before any work if an output exists and may not be replaced."""
    from kernelscope.files import refuse_existing

    refuse_existing(*(p for k in ("save", "csv", "html") if (p := outputs[k])), overwrite=outputs["overwrite"])


def finish(report: Any, outputs: dict[str, Any], *, table: bool = True) -> None:
    """Write the files asked for, then the JSON, or the table, on stdout."""
    from kernelscope.files import write_text

    if outputs["save"]:
        report.save(outputs["save"])
    if outputs["csv"]:
        report.to_csv(outputs["csv"])
    if outputs["html"]:
        write_text(outputs["html"], report.to_html())
    if outputs["as_json"]:
        click.echo(report.to_json())
    elif table:
        from kernelscope.rendering import table as tables

        tables.show(report)


def progress_for(outputs: dict[str, Any]) -> Any:
    """A progress display on stderr, unless told to be quiet or nobody is looking."""
    if outputs["quiet"] or not sys.stderr.isatty():
        return None
    from kernelscope.cli.progress import ExtractionProgress

    return ExtractionProgress()


def size_in_bytes(text: str) -> int:
    """``512M``, ``2G``, ``1.5GiB`` or a plain number as bytes."""
    units = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    word = text.strip().upper().removesuffix("IB").removesuffix("B")
    number, unit = (word[:-1], word[-1]) if word and word[-1] in units else (word, "")
    try:
        return int(float(number) * units[unit])
    except (ValueError, OverflowError):
        raise click.BadParameter(f"--max-memory {text!r} is not a size; write for example 512M or 2G") from None


def parse_dims(text: str | None) -> list[int] | None:
    """``64,128,256`` as whole numbers."""
    try:
        return None if text is None else [int(word) for word in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"--dims {text!r} is no list of whole numbers; write for example 64,128") from None


def parse_json(option: str, text: str | None) -> dict[str, Any] | None:
    """A JSON object given on the command line."""
    import json

    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"{option} is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise click.BadParameter(f'{option} must be a JSON object such as {{"num_classes": 10}}')
    return value


def parse_operations(text: str | None) -> list[dict[str, Any]] | None:
    """Preprocessing given on the command line: a JSON list of operations."""
    import json

    if text is None:
        return None
    from kernelscope.datasets.preprocess import require_known

    try:
        return require_known(json.loads(text))
    except ValueError as error:
        raise click.BadParameter(f"--preprocess is no JSON list of operations ({error}); see docs/data.md") from None


def _one_each(option: str, values: tuple[str, ...], count: int) -> list[str | None]:
    if len(values) not in (0, 1, count):
        raise click.UsageError(
            f"{option} was given {len(values)} times for {count} students; give it once, or once each"
        )
    return list(values) if len(values) == count and count else [values[0] if values else None] * count
