"""What ``kernelscope help TOPIC`` explains; the columns are those of the tables themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_CODES = (
    ("0", "done"),
    ("1", "a bug in kernelscope"),
    ("2", "the call is wrong: unknown option, an output that exists"),
    ("3", "an input is missing, unreadable, corrupt or unsafe"),
    ("4", "the inputs do not match each other"),
    ("5", "numbers: NaN features, an all-zero teacher, a precision that was not reached"),
    ("6", "a gate failed"),
    ("7", "resources: disk, memory, a lock, a device, another process"),
    ("129, 130, 143", "hung up, interrupted, terminated"),
)
FILES = (
    ("checkpoints", "state dicts with any prefix, .pt, .safetensors, Lightning, timm, Hugging Face folders"),
    ("features", ".h5, .npy, .npz, .pt, .safetensors, .csv, .tsv, .parquet, .arrow, .fbin, .f16bin, .u8bin, .i8bin"),
    ("shards", "a folder, or 'shards:feats/*.npy': the rows of many files, one after another"),
    ("parts", "FILE::NAME is one layer, dataset, column or network of a file"),
    ("labels, groups", "a file of one column, FILE::COLUMN of a table, or a dataset FILE.h5::NAME"),
)
LAYERS = (
    ("embedding", "what the last linear layer takes in; logits: what the network returns"),
    ("layer3.1", "what that module puts out; layer3.1:in what it takes in; kernelscope inspect FILE lists the names"),
    ("'layer*.1'", "every module that matches; a star stays within one level"),
    ("re:layer[1-3]", "every module whose whole name the regular expression matches"),
    ("neck[p3]", "of several tensors one by its key or place; attention@1 is the second call in one pass"),
    ("--pairs T=S", "which teacher layer against which student layer; --pairs all: every one against every one"),
    ("--pool", "what becomes a row: avg over positions, cls, last, or token and patch for every position"),
)
GATES = (
    ("--max FIELD=X", "fails if any value in the interval of the number is above X"),
    ("--min FIELD=X", "fails if any value in it is below X; yes and no are 1 and 0"),
    ("--no-worse-than OTHER", "fails if the student may lose more than OTHER, by a paired interval"),
    ("--pinned FILE", "fails if a release has drifted from pinned rows"),
    ("FIELD", "any number of the report by its dotted name: transfer_loss, ladder.scaled, cka, neighbours.overlap"),
)
COMPLETION = (
    ("bash", 'eval "$(_KERNELSCOPE_COMPLETE=bash_source kernelscope)"'),
    ("zsh", 'eval "$(_KERNELSCOPE_COMPLETE=zsh_source kernelscope)"'),
    ("fish", "_KERNELSCOPE_COMPLETE=fish_source kernelscope | source"),
    ("", "put the line into ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish to keep it"),
)
ENVIRONMENT = (
    ("KERNELSCOPE_CACHE", "folder of extracted features; else XDG_CACHE_HOME/kernelscope, else ~/.cache/kernelscope"),
    ("NO_COLOR", "set to anything: no colour"),
    ("COLUMNS", "width of tables and of this help"),
    ("OMP_NUM_THREADS", "threads of the arithmetic, as for NumPy and torch"),
    ("TMPDIR", "folder of features that are not kept"),
)


def columns() -> tuple[tuple[str, str], ...]:
    """Each column of the tables, what it is and what follows from it."""
    from kernelscope.report.columns import LOSS_COLUMNS, THEORY_COLUMNS

    return tuple((c.name, f"{c.meaning}. {c.advice}".strip()) for c in (*LOSS_COLUMNS, *THEORY_COLUMNS))


#: the line of each topic in the list, and what is said of it
TOPICS: dict[str, tuple[str, Callable[[], tuple[tuple[str, str], ...]]]] = {
    "columns": ("what each column of the tables means", columns),
    "files": ("what --teacher and --student may be", lambda: FILES),
    "layers": ("how layers are named and paired", lambda: LAYERS),
    "gates": ("what a CI job can hold a student to", lambda: GATES),
    "exit-codes": ("what the exit code says", lambda: EXIT_CODES),
    "environment": ("variables that are read", lambda: ENVIRONMENT),
    "completion": ("how a shell completes verbs and options", lambda: COMPLETION),
}
