"""Words for layers find the same names in a feature file as in a network."""

import pytest

from kernelscope.activations.layer_names import among, split

NAMES = ("layer1", "layer1.0", "layer2", "layer2:in", "layer2@1", "embedding", "a.b(c)")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("layer*", "layer1 layer2"),
        ("layer*:in", "layer2:in"),
        ("layer?@1", "layer2@1"),
        ("re:layer[1,3](\\.0)?", "layer1 layer1.0"),
        ("embedding , layer2", "layer2 embedding"),
        ("a.b(c)", "a.b(c)"),
        ("layer3", ""),
    ],
)
def test_words_stand_for_names(asked, found):
    assert among(split(asked), NAMES) == found.split()


def test_a_word_is_no_pattern_unless_it_says_so():
    assert among(["layer1.0"], ["layer1x0"]) == []
