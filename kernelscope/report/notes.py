"""Notes of a report that other code recognises."""

from __future__ import annotations

NOTE = "one pass over all layers: what needs another one was left out; name the pair with --pairs T=S for the rest"


STREAMED = "straight from the networks in one pass: what needs another one was left out; keep features for the rest"


NOT_SAMPLED = "no sampling interval: "


ROWS_TELL = 1e-5  #: below this loss single rows of K_S − K_T drown in rounding
