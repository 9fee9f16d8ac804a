"""Titles of the bounds for figures and tables, the tightest first, from the one table that knows all bounds."""

from __future__ import annotations

from kernelscope.kernels.nystrom.bounds import TABLE

_ORDERED = sorted(TABLE, key=lambda rule: rule.place)
TITLES = {rule.name: rule.title for rule in _ORDERED}
PRINTED = frozenset(rule.name for rule in _ORDERED if rule.printed)
