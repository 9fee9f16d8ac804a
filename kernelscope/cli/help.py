"""``kernelscope help``: the topics, or one of them; of a verb, its own help."""

from __future__ import annotations

import click

from kernelscope.cli import options
from kernelscope.cli.grouping import Verb
from kernelscope.cli.streams import say


@click.command("help", cls=Verb)
@click.argument("topic", required=False)
@options.debug
@click.pass_context
def command(ctx: click.Context, topic: str | None) -> None:
    """Explain TOPIC, or list the topics; of a verb, its options."""
    from kernelscope.cli.topics import TOPICS
    from kernelscope.errors import UsageError

    top = ctx.find_root()
    assert isinstance(top.command, click.Group)
    formatter = ctx.make_formatter()
    if topic is None:
        with formatter.section("Topics"):
            formatter.write_dl([(name, line) for name, (line, _) in TOPICS.items()])
        formatter.write_paragraph()
        formatter.write_text(f"Of a verb, its options: {', '.join(top.command.list_commands(top))}.")
    elif topic in TOPICS:
        line, lines = TOPICS[topic]
        with formatter.section(f"{topic}: {line}"):
            formatter.write_dl(list(lines()))
    elif (verb := top.command.get_command(top, topic)) is not None:
        say(verb.get_help(click.Context(verb, parent=top, info_name=topic)))
        return
    else:
        raise UsageError(f"no topic or verb {topic!r}; topics are {', '.join(TOPICS)}")
    say(formatter.getvalue().rstrip("\n"))
