"""From figures to cells: what each shows, and what is refused."""

import pytest

from kernelscope.distill.methods import losses_of
from kernelscope.errors import UsageError
from kernelscope.paper.plan import FIGURES, plan
from kernelscope.paper.scenes import SHAPES, scenes
from kernelscope.paper.systems import AUTHORS, PAPER, SEARCHED, SYSTEMS, TABLE2


def test_the_whole_plan_has_every_system_of_the_paper_on_the_first_student():
    whole = plan()
    assert {cell.system for cell in whole.cells if (cell.scene, cell.role) == ("first", "S1")} == set(SYSTEMS)
    assert set(PAPER) <= set(SYSTEMS) and whole.figures == tuple(FIGURES)
    for scene in ("first", "second"):
        for role in ("S2", "S3"):
            shown = {cell.system for cell in whole.cells if (cell.scene, cell.role) == (scene, role)}
            assert shown == {*TABLE2, "running", "full_kernel"}


def test_figures_that_are_named_together_share_their_cells():
    assert plan(["fig3"]).figures == ("fig3a", "fig3b") == plan(["fig3b", "fig3a"]).figures
    both = plan(["fig3a", "fig2"])
    assert len(both.cells) == len({*FIGURES["fig2"], *FIGURES["fig3a"]}) < len(FIGURES["fig2"] + FIGURES["fig3a"])


@pytest.mark.parametrize(
    ("asked", "piece"),
    [
        ({"figures": ["fig33"]}, "nearest: fig3"),
        ({"figures": ["x" * 300]}, "there are fig2"),
        ({"figures": ["table3"], "data": ["digits"]}, "--data twice"),
        ({"data": ["digits", "shapes", "digits"]}, "--data twice at most"),
        ({"seeds": [0, 1, 0]}, "names a seed twice"),
        ({"size": "huge"}, "minutes, hour, paper"),
    ],
)
def test_a_plan_that_cannot_be_is_one_line(monkeypatch, asked, piece):
    monkeypatch.setattr("kernelscope.errors._writes_options", True)
    with pytest.raises(UsageError) as told:
        plan(**asked)
    assert piece in str(told.value) and len(str(told.value)) <= 200


def test_one_data_set_takes_the_first_ones_place_and_leaves_table_3_out():
    found = plan(data=["digits"])
    assert [scene.images.training for scene in found.scenes] == ["digits"] and found.scenes[0].key == "first"
    assert "table3" not in found.figures and "table2" in found.figures
    both = plan(["table3"], "paper", ["cifar100:A", "tiny-imagenet:B"])
    assert [(scene.key, scene.preset) for scene in both.scenes] == [("second", "paper-tiny-imagenet")]


def test_sizes_are_their_epochs_and_seeds():
    assert (scenes("minutes")[0].epochs, plan().seeds) == (16, (0, 1, 2))
    assert (scenes("hour")[0].epochs, plan(size="hour").seeds) == (28, (0, 1, 2, 3, 4))
    assert (scenes("paper")[0].epochs, scenes("paper")[0].batch_size) == (120, 256)


def test_validation_and_test_images_of_shapes_are_those_of_their_own_streams():
    for scene in SHAPES[:2]:
        from kernelscope.paper.training import examples_of

        training, validation, test = examples_of(scene.images)
        assert (validation.n, test.n) == (480, 2000) and training.n < 1000
        ids = [row.tobytes() for part in (training, validation, test) for row in part.ids]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("key", SYSTEMS)
def test_every_option_that_a_system_may_take_is_a_method(key):
    system = SYSTEMS[key]
    assert set(system.needs()) <= set(SEARCHED) and (key in system.needs()) == bool(system.tried)
    for options in (AUTHORS, *({**AUTHORS, key: tried} for tried in system.tried)):
        assert losses_of(system.method(options, SHAPES[0].layers)) or key == "ce"
