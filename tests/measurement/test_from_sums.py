"""Reports from sums: of shards in any order, of yesterday's sums and today's rows, and what does not add up."""

import itertools

import numpy as np
import pytest
import torch

import kernelscope as ks
from kernelscope.errors import CallError, Mismatch, NumericalError, UsageError
from kernelscope.features import shard_sums
from kernelscope.networks import zoo

N = 700
ENDS = (0, 300, 301, N)


def drawn(seed=0, classes=4):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, N)
    T = rng.standard_normal((N, 6)) + 2 * rng.standard_normal((classes, 6))[y]
    return y, T.astype(np.float32), (T[:, :4] @ rng.standard_normal((4, 5)) + 0.3).astype(np.float32)


Y, T, S = drawn()
IDS = np.random.default_rng(9).integers(0, 256, (N, 16)).astype(np.uint8)


def shard(folder, name, rows, ids=False, **other):
    """A teacher's and a student's file of these rows."""
    for side, X in (("t", T), ("s", S)):
        more = {"ids": IDS[rows]} if ids else {}
        np.savez(folder / f"{side}{name}.npz", features=X[rows], labels=Y[rows], **more, **other)
    return {"teacher": folder / f"t{name}.npz", "student": folder / f"s{name}.npz"}


@pytest.fixture
def parts(tmp_path):
    """Sums of three shards, one of them a single row."""
    for number, (a, b) in enumerate(itertools.pairwise(ENDS)):
        given = shard(tmp_path, number, slice(a, b), ids=True)
        ks.measure(**given, sums_out=tmp_path / f"p{number}.kss")
    return [tmp_path / f"p{number}.kss" for number in range(3)]


def numbers(value, where=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, f"{where}.{key}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield where, value


def pair(report):
    (found,) = report.to_dict()["pairs"]
    return found


def test_shards_in_any_order_have_the_loss_of_all_rows(parts):
    rows = pair(ks.measure(teacher=T, student=S, labels=Y))
    exact = [ks.transfer_loss(teacher=T.astype(np.float64), student=S.astype(np.float64)).value] * 2
    found = [ks.measure(sums=list(order)) for order in (parts, parts[::-1])]
    for report in found:
        low, high = report.rounding_interval
        assert report.rounding_certified and low <= exact[0] * (1 + 1e-12) and exact[1] * (1 - 1e-12) <= high
        assert report.n == N and report.resolved
        of_sums, elsewhere = dict(numbers(pair(report))), dict(numbers(rows))
        for name, value in of_sums.items():
            if not name.startswith((".ladder.head_held_out", ".intervals")):  # other halves; see the intervals above
                assert value == pytest.approx(elsewhere[name], rel=1e-9, abs=1e-12), name
        assert len(of_sums) > 60


def test_one_shard_has_the_report_of_one_pass(tmp_path):
    torch.manual_seed(0)
    given = {
        "teacher": zoo.build("mlp", in_features=64, hidden=8),
        "student": zoo.build("mlp", in_features=64, hidden=6),
    }
    given |= {"data": "digits", "features": False}
    streamed = ks.measure(**given)
    summed = ks.measure(**given, sums_out=tmp_path / "p.kss")
    for one, two, again in zip(streamed, summed, ks.measure(sums=tmp_path / "p.kss")):
        assert two.transfer_loss == again.transfer_loss and two.ladder == again.ladder
        assert two.rounding_interval == again.rounding_interval
        low, high = one.rounding_interval  # from plain sums
        assert low <= two.transfer_loss <= high and one.ladder.head == pytest.approx(two.ladder.head, rel=1e-9)
        assert one.order_sha256 == again.order_sha256 is not None
        assert again.anova is not None and again.within_class_cka is not None and again.cka_debiased is not None
        assert again.paper.theorem2 is None and again.sampling_interval is None and again.null.p_value is None
        assert any("theorem2 as printed needs the rows" in note for note in again.notes)
    assert [network.top1 for network in summed.networks] == [network.top1 for network in streamed.networks]


def test_yesterdays_sums_and_todays_rows_are_the_sums_of_both(parts, tmp_path):
    ks.measure(sums=parts[:2], sums_out=tmp_path / "yesterday.kss")
    today = shard(tmp_path, "today", slice(301, N), ids=True)
    found = ks.measure(sums=tmp_path / "yesterday.kss", **today, sums_out=tmp_path / "all.kss", expect=N)
    assert [each["rows"] for each in found.meta["shards"]] == [300, 1, N - 301]
    assert found.transfer_loss == ks.measure(sums=tmp_path / "p[0-2].kss").transfer_loss
    assert ks.measure(sums=tmp_path / "all.kss", expect=str(N)).transfer_loss == found.transfer_loss


def test_a_shard_that_is_given_twice_is_named(parts, tmp_path):
    with pytest.raises(Mismatch, match=r"shard .*s1\.npz \(.*p1\.kss\) is there twice"):
        ks.measure(sums=[*parts, parts[1]])
    bare = {"teacher": T[:99], "student": S[:99]}
    ks.measure(**bare, sums_out=tmp_path / "bare.kss")
    with pytest.raises(Mismatch, match="is there twice"):  # by its rows
        ks.measure(**bare, sums=tmp_path / "bare.kss")


def test_a_row_that_is_in_two_shards_is_found_by_its_id(parts, tmp_path):
    other = shard(tmp_path, "x", np.array([5, 650, 17]), ids=True)
    ks.measure(**other, sums_out=tmp_path / "x.kss")
    with pytest.raises(Mismatch, match=r"2 rows are in two shards by their ids, first row 0 of .*sx\.npz and row 5 of"):
        ks.measure(sums=[parts[0], tmp_path / "x.kss"])


def test_rows_beyond_the_ids_that_are_kept_are_counted_in_a_note(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_sums, "MOST_IDS", 300)
    found = ks.measure(sums=parts, sums_out=tmp_path / "all.kss")
    assert any("of 400 no ids are kept" in note for note in found.notes)
    assert [shard.ids is None for shard in shard_sums_of(tmp_path / "all.kss")] == [False, True, True]


def shard_sums_of(path):
    from kernelscope.features.sums_file import read_sums

    return read_sums(path).shards


def test_rows_and_shards_that_are_missing_are_told(parts, tmp_path):
    with pytest.raises(Mismatch, match="2 shards have 301 rows, expected 700; add the missing ones"):
        ks.measure(sums=parts[:2], expect=N)
    wanted = [each["fingerprint"] for each in ks.measure(sums=parts).meta["shards"]]
    (tmp_path / "list.txt").write_text("\n".join(wanted))
    assert ks.measure(sums=parts, expect=tmp_path / "list.txt").n == N
    with pytest.raises(Mismatch, match=f"1 shards are missing, the first is {wanted[2]}"):
        ks.measure(sums=parts[:2], expect=wanted)
    with pytest.raises(Mismatch, match=r"shard .*s2\.npz is not among those expected"):
        ks.measure(sums=parts, expect=wanted[:2])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda: {"teacher": {"other": T}, "student": S}, r"layers from .*teacher other, not teacher features"),
        (lambda: {"teacher": T[:, :5], "student": S}, r"teacher features of width from .*\(5, not 6\)"),
        (lambda: {"teacher": T.astype("float64"), "student": S}, r"of dtype from .*\(float64, not float32\)"),
        (lambda: {"teacher": T, "student": S, "labels": None}, r"labels from .*\(no, not yes\)"),
        (lambda: {"teacher": T, "student": S, "labels": [f"c{k}" for k in Y]}, r"classes from .*c0, c1"),
    ],
    ids=["layers", "width", "dtype", "labels", "classes"],
)
def test_sums_of_other_settings_are_told_apart(change, told, parts):
    given = {"labels": Y, **change()}
    with pytest.raises(Mismatch, match=told):
        ks.measure(sums=parts[0], **given)


def test_sums_of_other_networks_do_not_add(tmp_path):
    for seed in (0, 1):
        torch.manual_seed(seed)
        student = zoo.build("mlp", in_features=64, hidden=4)
        given = {"teacher": student, "student": student, "data": "digits", "limit": 50 + seed, "features": False}
        ks.measure(**given, sums_out=tmp_path / f"{seed}.kss")
    with pytest.raises(Mismatch, match=r"the teacher's weights \(sha256\) from"):
        ks.measure(sums=tmp_path / "*.kss")


@pytest.mark.parametrize(
    "asked",
    [
        {"route": "pair"},
        {"neighbours": 3},
        {"kernel": "rbf"},
        {"centre": True},
        {"landmarks": "kmeans:5"},
        {"dims": [2]},
        {"groups": np.arange(N)},
        {"references": {"x": S}},
        {"plan": True},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_what_sums_do_not_have_is_refused_before_any_is_written(asked, tmp_path):
    with pytest.raises(UsageError, match="cannot be had from sums"):
        ks.measure(teacher=T, student=S, **asked, sums_out=tmp_path / "p.kss")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"labels": Y}, "labels= is about rows"),
        ({"cache": False}, "cache=False is about rows"),
        ({"memory_bytes": 5}, "memory_bytes= is about rows"),
        ({"neighbours": 3}, "neighbours= is about rows"),
        ({"teacher": T}, "no student given"),
        ({"expect": 0}, "is no number of rows"),
    ],
)
def test_files_of_sums_alone_take_nothing_that_is_about_rows(asked, told, tmp_path):
    with pytest.raises(UsageError, match=told):
        ks.measure(sums=tmp_path / "never_opened.kss", **asked)


def test_what_is_missing_is_told(tmp_path):
    with pytest.raises(CallError, match="no teacher given; pass teacher= and student=, or sums="):
        ks.measure()
    with pytest.raises(UsageError, match="expect= is about sums"):
        ks.measure(teacher=T, student=S, expect=5)
    with pytest.raises(UsageError, match="sums are of one student, and 2 were given"):
        ks.measure(teacher=T, student=[S, S], sums_out=tmp_path / "p.kss")
    with pytest.raises(UsageError, match="no sums given"):
        ks.measure(sums=[])


def test_features_too_large_for_sums_are_told_with_what_to_do(tmp_path):
    with pytest.raises(NumericalError, match="multiply the features of all shards by one power of two"):
        ks.measure(teacher=T.astype("float64") * 1e40, student=S, sums_out=tmp_path / "p.kss")


def test_the_command_line_adds_sums_and_keeps_files_that_exist(parts, run, tmp_path):
    code, out, _ = run("measure", "--sums", "p*.kss", "--sums-out", "all.kss", "--expect", N, "--json")
    assert code == 0 and '"shards"' in out
    code, out, err = run("measure", "--sums", "p0.kss", "--sums", "p1.kss", "--sums-out", "all.kss")
    assert (code, out) == (2, "") and "all.kss exists; pass --overwrite" in err
    code, out, _ = run("inspect", "all.kss")
    assert code == 0 and f"sums of {N} rows, 2 layers" in out and out.count("ids kept") == 3
