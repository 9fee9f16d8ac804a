"""docs/report.md says of every field its range and what it does not depend on; here that is tried."""

import fnmatch
import re
from pathlib import Path

import numpy as np
import pytest

import kernelscope as ks
from kernelscope.report.document import flat_fields
from kernelscope.report.fields import PairReport

PAGE = Path(__file__).parents[2] / "docs" / "report.md"
WORDS = ("rotation", "order", "scale", "shift", "a common scale of both", "an invertible map of the student")


def table() -> dict[str, tuple[str, set[str]]]:
    """Field -> (range, what it is unchanged by), as the page has it."""
    found = {}
    for name, said, _, _, unchanged in rows():
        for field in re.findall(r"`([^`]+)`", name):
            found[field] = (said, {word.strip() for word in unchanged.split(", ") if word.strip()})
    return found


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")] for line in lines]


TABLE = table()


def a_pair(seed, n=120):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    X_T = np.maximum(2 * rng.standard_normal((4, 6))[y] + rng.standard_normal((n, 6)), 0) + 0.5
    X_S = X_T @ rng.standard_normal((6, 6)) / 2 + 0.4 * rng.standard_normal((n, 6))
    return X_S, X_T, y


def changed(word, X_S, X_T, y, rng):
    if word == "rotation":
        return X_S @ np.linalg.qr(rng.standard_normal((6, 6)))[0], X_T @ np.linalg.qr(rng.standard_normal((6, 6)))[0], y
    if word == "order":
        order = rng.permutation(len(y))
        return X_S[order], X_T[order], y[order]
    if word == "scale":
        return 1.7 * X_S, X_T, y
    if word == "shift":
        return X_S + rng.standard_normal(6), X_T, y
    if word == "a common scale of both":
        return 1.7 * X_S, 1.7 * X_T, y
    return X_S @ (np.eye(6) + 0.2 * rng.standard_normal((6, 6))), X_T, y


def fields_of(X_S, X_T, y):
    """Every number of a pair by dotted name; lists as they are, intervals by both ends, classes in one order."""
    pair = ks.measure(teacher={"logits": X_T}, student={"logits": X_S}, labels=y, neighbours=5).pairs[0]
    flat = {name: value for name, value in flat_fields(pair).items() if isinstance(value, (int, float))}
    flat["classes.loss"] = np.array(pair.classes.loss)
    flat["sampling_interval"] = np.array(pair.sampling_interval)
    flat["outputs.flips.accuracy_interval"] = np.array(pair.outputs.flips.accuracy_interval)
    for role in ("teacher", "student"):
        flat[f"landmark_spectrum.{role}.eigenvalues"] = np.array(getattr(pair.landmark_spectrum, role).eigenvalues)
    flat["difference_spectrum.eigenvalues"] = np.array(pair.difference_spectrum.eigenvalues)
    return flat


def matching(pattern, flat):
    return [name for name in flat if fnmatch.fnmatch(name, pattern) or name == pattern]


def close(a, b):
    a, b = np.asarray(a, float), np.asarray(b, float)
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-6, atol=1e-9 * max(1.0, np.abs(a).max(initial=0)))


@pytest.mark.parametrize("word", WORDS)
def test_a_field_is_unchanged_by_what_the_page_says_and_by_nothing_else(word):
    rng = np.random.default_rng(WORDS.index(word))
    X_S, X_T, y = a_pair(0)
    before, after = fields_of(X_S, X_T, y), fields_of(*changed(word, X_S, X_T, y, rng))
    wrong = []
    for pattern, (_, unchanged) in TABLE.items():
        names = matching(pattern, before)
        if not unchanged or not names:
            continue
        moved = [name for name in names if not close(before[name], after[name])]
        if word in unchanged and moved:
            wrong.append(f"the page says that {moved} are unchanged by {word}")
        if word in ("rotation", "scale", "shift") and word not in unchanged and not moved:
            wrong.append(f"the page does not say that {pattern} is unchanged by {word}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("seed", range(6))
def test_every_field_is_within_the_range_the_page_gives(seed):
    rng = np.random.default_rng(seed)
    X_S, X_T, y = a_pair(seed)
    if seed % 3 == 1:
        X_S = rng.standard_normal(X_S.shape)  # unrelated
    if seed % 3 == 2:
        X_S = 30 * X_T + 1e-3 * X_S  # far too large, the same otherwise
    flat = fields_of(X_S, X_T, y)
    for pattern, (said, _) in TABLE.items():
        for name in matching(pattern, flat):
            value = np.asarray(flat[name], float)
            if said.startswith("≥ 0"):
                assert value.min() >= 0, name
            if said == "0 … 1":
                assert value.min() >= 0 and value.max() <= 1 + 1e-12, name
            if said == "≤ 1":
                assert value.max() <= 1 + 1e-12, name


def test_a_perfect_student_is_at_the_good_end_of_every_field_that_has_one():
    _, X_T, y = a_pair(0)
    flat = fields_of(X_T @ np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0] * (1 + 1e-4), X_T, y)
    lower, higher = ([row[0] for row in rows() if row[2] == word] for word in ("lower", "higher"))
    assert len(lower) > 5 and len(higher) > 4
    about_bases = {"neighbours.recall", "outputs.agreement", "outputs.kl"}  # which a rotation changes
    about_bases |= {"outputs.changed", "outputs.flips.right_to_wrong", "outputs.top_k.overlap"}
    residuals = {"nystrom.residual_*", "nystrom.partial_norm"}  # of the landmarks, or in units of the features
    for names, good in ((lower, 0.0), (higher, 1.0)):
        for cell in names:
            for pattern in set(re.findall(r"`([^`]+)`", cell)) - about_bases - residuals:
                for name in matching(pattern, flat):
                    assert flat[name] == pytest.approx(good, abs=1e-3), name


def test_every_field_of_a_pair_stands_on_the_page():
    text = PAGE.read_text()
    identity = {
        "teacher", "student", "teacher_layer", "student_layer", "pool", "split", "unit", "n", "d_teacher", "d_student",
        "order_sha256", "kernel", "route", "landmarks",
    }  # fmt: skip
    for name in PairReport.__dataclass_fields__:
        assert name in identity or f"`{name}" in text, name
