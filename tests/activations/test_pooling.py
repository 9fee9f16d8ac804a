"""Maps and tokens become rows."""

import pytest
import torch

from kernelscope.activations.pooling import pool, positions
from kernelscope.activations.units import POOLS, grid_of, require_known, unit_of
from kernelscope.errors import Mismatch, UsageError

TOKENS = torch.arange(30.0).reshape(2, 5, 3)
MASK = torch.tensor([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1]])  # padded behind, and in front


def test_pooling_makes_one_row_per_example():
    maps = torch.arange(48.0).reshape(2, 3, 2, 4)
    assert torch.equal(pool(maps), maps.flatten(2).mean(2))
    assert torch.equal(pool(maps, "avg"), pool(maps)) and torch.equal(pool(maps, "mean"), pool(maps))
    assert torch.equal(pool(maps, "max"), maps.flatten(2).amax(2))
    assert torch.equal(pool(maps, "flatten"), maps.reshape(2, 24))
    assert torch.equal(pool(TOKENS), torch.stack([t.mean(0) for t in TOKENS]))
    assert torch.equal(pool(TOKENS, "max"), torch.stack([t.amax(0) for t in TOKENS]))
    assert torch.equal(pool(TOKENS, "cls"), TOKENS[:, 0]) and torch.equal(pool(TOKENS, "last"), TOKENS[:, -1])
    rows = torch.arange(6.0).reshape(2, 3)
    assert all(torch.equal(pool(rows, how), rows) for how in POOLS)
    assert torch.equal(pool(torch.arange(3.0)), torch.tensor([[0.0], [1.0], [2.0]]))
    assert torch.equal(pool(torch.ones(2, 5, 3, dtype=torch.long)), torch.ones(2, 3))


@pytest.mark.parametrize(
    ("how", "row"), [("auto", lambda t: t.mean(0)), ("max", lambda t: t.amax(0)), ("last", lambda t: t[-1])]
)
def test_padding_counts_for_nothing_whatever_stands_there(how, row):
    spoilt = TOKENS.clone()
    spoilt[MASK == 0] = torch.nan if how != "max" else 1e9
    expected = torch.stack([row(t[m.bool()]) for t, m in zip(TOKENS, MASK)])
    torch.testing.assert_close(pool(spoilt, how, MASK), expected)


def test_every_position_is_a_row_and_knows_its_example():
    rows, example = positions(TOKENS)
    assert torch.equal(rows, TOKENS.reshape(10, 3)) and example.tolist() == [0] * 5 + [1] * 5
    rows, example = positions(TOKENS, MASK)
    assert torch.equal(rows, torch.cat([TOKENS[0, :3], TOKENS[1, 1:]])) and example.tolist() == [0] * 3 + [1] * 4
    maps = torch.arange(48.0).reshape(2, 3, 2, 4)
    rows, example = positions(maps)
    assert torch.equal(rows[5], maps[0, :, 1, 1]) and rows.shape == (16, 3) and example.tolist() == [0] * 8 + [1] * 8


def test_what_has_no_rows_and_ways_that_do_not_exist_are_refused():
    with pytest.raises(Mismatch, match="a row per example"):
        pool(torch.tensor(1.0))
    with pytest.raises(UsageError, match="choose one of auto, flatten, avg, max, cls, last, mean, token, patch"):
        pool(torch.ones(2, 2), "median")
    with pytest.raises(UsageError, match="is for tokens"):
        pool(torch.ones(2, 3, 4, 4), "cls")
    with pytest.raises(Mismatch, match=r"mask has shape \(2, 4\) and a layer's tokens \(2, 5\)"):
        pool(TOKENS, "avg", MASK[:, :4])
    with pytest.raises(Mismatch, match="without any token"):
        pool(TOKENS, "avg", 0 * MASK)
    with pytest.raises(Mismatch, match="has no positions"):
        positions(torch.ones(2, 3))


def test_a_map_on_a_grid_is_the_average_of_each_cell():
    maps = torch.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6)
    rows, example = positions(maps, grid=grid_of("grid:2x3"))
    assert rows.shape == (12, 3) and example.tolist() == [0] * 6 + [1] * 6
    places = [(i, 2 * r, 2 * c) for i in (0, 1) for r in (0, 1) for c in (0, 1, 2)]
    cells = [maps[i, :, r : r + 2, c : c + 2].mean((1, 2)) for i, r, c in places]
    assert torch.allclose(rows, torch.stack(cells))
    tokens = maps.flatten(2).transpose(1, 2)[:, :16]  # a square of 4 x 4, and with a class token before it
    square, _ = positions(tokens, grid=grid_of("grid:2x2"))
    as_map, _ = positions(tokens.transpose(1, 2).unflatten(2, (4, 4)), grid=grid_of("grid:2x2"))
    with_class, _ = positions(torch.cat([torch.full((2, 1, 3), 99.0), tokens], 1), grid=grid_of("grid:2x2"))
    assert torch.equal(square, as_map) and torch.equal(square, with_class)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.ones(2, 3, 4, 2), "4 x 2, smaller than the grid; pass pool='grid:3x2'"),
        (torch.ones(2, 7, 3), "7 tokens, which fill no square"),
        (torch.ones(2, 3), "no positions"),
        (torch.ones(2, 3, 4, 4, 4), "is no map"),
    ],
)
def test_what_has_no_grid_is_refused_by_its_own_shape(x, message):
    with pytest.raises(Mismatch, match=message):
        positions(x, grid=grid_of("grid:3x3"))


@pytest.mark.parametrize("written", ["grid", "grid:7", "grid:0x2", "grid:7x7x7", "grid:-1x2", "grids", "patches"])
def test_a_pooling_that_there_is_not_is_told_before_any_work(written):
    with pytest.raises(UsageError, match="pooling"):
        require_known(written)
    assert {unit_of(how) for how in (*POOLS, None)} == {"example"} and unit_of("grid:2x2") == "patch"
