"""Intervals over examples hold the loss of the population as often as they say, whatever the features are like."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from kernelscope.kernels.distance.centring import centre
from kernelscope.kernels.distance.exact import well_scaled_sums
from kernelscope.kernels.statistics.row_forms import row_forms
from kernelscope.kernels.statistics.sampling import row_norms

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "coverage_of_the_sampling_interval.py"


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bench = load(SCRIPT)


def tallies(kind, n, draws, examples):
    rng = np.random.default_rng([n, 4])
    population = (bench.KINDS | bench.OTHERS)[kind](bench.Draw(rng, examples))
    return bench.coverage(population, n, draws, rng)


def test_row_norms_of_formed_kernels_are_the_packages_own():
    rng = np.random.default_rng(0)
    for make in bench.KINDS.values():
        population = make(bench.Draw(rng, 50))
        S, T = population.students[0], population.teacher
        scaled = well_scaled_sums(teacher=T, student=S)
        ours = row_norms(row_forms(scaled, centre(scaled)))
        formed = bench.norms(S @ S.T, T @ T.T)
        unit = (formed.teacher.sum() / ours.teacher.sum()) ** 0.5
        for name, power in (("difference", 2), ("difference_diagonal", 1), ("teacher", 2), ("teacher_diagonal", 1)):
            np.testing.assert_allclose(getattr(formed, name), unit**power * getattr(ours, name), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", bench.KINDS)
def test_the_interval_holds_the_populations_loss(kind):
    found = tallies(kind, 60, 100, 5_000)
    assert found["now"].none == 0
    assert found["now"].coverage >= (0.78 if kind == bench.HEAVY else 0.9)
    assert found["pair"].coverage >= 0.9


def test_the_loss_with_its_diagonal_is_not_the_populations():
    found = tallies("unrelated", 60, 100, 5_000)
    assert found["before"].coverage < 0.1 and found["now"].coverage > 0.9


def test_a_class_that_was_hardly_sampled_is_not_seen():
    assert tallies("a rare class lost", 30, 100, 5_000)["now"].coverage < 0.5


def test_frames_of_a_film_are_one_draw():
    found = bench.of_groups(20, 100, np.random.default_rng(0), films_in_all=2_000)
    assert found["whole films"].coverage > 0.9 > 0.75 > found["single frames"].coverage


@pytest.mark.long
@pytest.mark.parametrize("kind", bench.KINDS)
@pytest.mark.parametrize("n", bench.SIZES)
def test_a_thousand_draws_of_every_kind_are_covered_as_claimed(kind, n):
    found = tallies(kind, n, 1_000, bench.EXAMPLES)
    assert found["now"].none == found["pair"].none == 0
    assert found["now"].coverage >= (bench.LEAST_HEAVY if kind == bench.HEAVY else bench.LEAST)
    assert found["pair"].coverage >= bench.LEAST
    if n >= 300:
        assert max(found["now"].coverage, found["pair"].coverage) <= bench.MOST
