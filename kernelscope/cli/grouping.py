"""The help of a verb in groups; in that of a long one, what people need first stands first."""

from __future__ import annotations

import click

LONG = 30  #: options, from which on the first ten have a group of their own
FIRST = ("teacher", "student", "data", "labels", "layers", "limit", "memory_bytes", "html", "save", "as_json")
#: each heading with the parameters under it; the verb's own order stands within each
GROUPS = {
    "What to compare": (
        "model path plan figures teacher student arch arch_kwargs teacher_arch teacher_arch_kwargs student_arch "
        "student_arch_kwargs methods best preset references untrained pinned dims kernel centre normalize neighbours "
        "teacher_queries student_queries queries similarity by allow"
    ),
    "Which rows and layers": (
        "data split limit n sample skip_unreadable preprocess labels groups teacher_ids student_ids align join "
        "layers teacher_layers student_layers pairs pool landmarks shape sums expect every"
    ),
    "How to train": "epochs lr weight_decay momentum lr_warm_up pad flip amp deterministic seeds size",
    "How to compute": (
        "device dtype seed batch_size memory_bytes nproc cache accuracy_check features passes route rtol reproducible "
        "grid announce k rank jobs resume dry_run reruns verify"
    ),
    "What must hold": "at_most at_least no_worse_than sampling alarm enough synthetic",
    "What to write": "out paper explain as_json save csv html card figure junit sums_out overwrite quiet debug",
}
HEADING = {name: heading for heading, names in GROUPS.items() for name in names.split()}
LAST = [*GROUPS][-1]  #: of click's own, which is --help


class Verb(click.Command):
    """A command whose help lists its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = self.get_params(ctx)
        long = len(options) > LONG
        groups: dict[str, list[tuple[str, str]]] = {"Most used": [], **{heading: [] for heading in GROUPS}}
        for option in options:
            record = option.get_help_record(ctx)
            if record is not None:
                groups["Most used" if long and option.name in FIRST else HEADING.get(str(option.name), LAST)].append(
                    record
                )
        for heading, records in groups.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
