"""Notes of a report that other code recognises: changing their words makes saved reports unrecognisable to gates."""

from __future__ import annotations

#: of a pair measured with all others at once, so that a gate can name the option that gives it the rest
ONE_PASS = "one pass over all layers: what needs another one was left out; name the pair with --pairs T=S for the rest"
#: of networks whose features were not kept
STREAMED = "straight from the networks in one pass: what needs another one was left out; keep features for the rest"
#: the same of networks that ran twice
TWO_RUNS = (
    "straight from the networks in two runs: neighbours, shares by pairs of classes and landmarks by clusters were "
    "left out; keep features for the rest"
)
#: of rows that were added up, here or elsewhere
SUMMED = "from sums alone: what needs the rows once more was left out; measure the rows themselves for the rest"
NOT_SAMPLED = "no sampling interval: "  #: begins the note whose rest is the reason that a gate repeats
ONE_BY_ONE = "sampling interval by jackknife over single "  #: begins the note of rows that were not grouped

ROWS_TELL = 1e-5  #: below this loss single rows of K_S − K_T drown in rounding
