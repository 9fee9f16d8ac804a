"""Every target of the fuzzer takes its own seeds, without a fuzzer: it reads or refuses them."""

import pytest

from tests.fuzz.run import read
from tests.fuzz.targets import TARGETS
from tests.pickles.structures import STRUCTURES


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_reads_or_refuses_its_seeds(name, tmp_path):
    target = TARGETS[name]
    codes = [read(target, seed, tmp_path) for seed in target.seeds()]
    assert 0 in codes


def test_programs_without_end_are_among_the_seeds():
    for name in ("checkpoint_pickle", "cifar_pickle"):
        assert len(set(TARGETS[name].seeds()) & set(STRUCTURES.values())) > 15
