"""Methods and data sets have one notation: what is printed is read back, what is wrong is named with its place."""

import re
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelscope.errors import UsageError
from kernelscope.terms import Term, parse_sum, parse_term

WORDS = st.from_regex(r"[A-Za-z_][\w.\-:*/]{0,8}", fullmatch=True)
NAMES = st.from_regex(r"[A-Za-z_][\w.\-]{0,6}(:[A-Za-z_][\w.]{0,6})?", fullmatch=True)
LAYERS = st.from_regex(r"[A-Za-z_*.:@\d]{1,8}|re:[a-z]\[[0-9]-[0-9]\]", fullmatch=True)
KEYS = st.from_regex(r"[A-Za-z_][A-Za-z_0-9]{0,6}", fullmatch=True)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
TERMS = st.builds(Term, NAMES, st.none() | LAYERS, st.dictionaries(KEYS, VALUES, max_size=4))


@settings(max_examples=200)
@given(TERMS)
def test_a_term_that_is_printed_is_read_back(term):
    again = parse_term(str(term))
    assert again == term
    assert repr(again.options) == repr(dict(term.options))  # 1 is not 1.0, nor true
    assert again.text == str(term)


@given(st.lists(TERMS, min_size=1, max_size=4))
def test_a_sum_that_is_printed_is_read_back(terms):
    assert parse_sum(" + ".join(map(str, terms))) == tuple(terms)


@given(KEYS, WORDS)
def test_a_word_needs_no_quotes(key, word):
    constants = {"true": True, "false": False, "none": None, "True": True, "False": False, "None": None}
    assert parse_term(f"x({key}={word})").options == {key: constants.get(word, word)}


@settings(max_examples=500)
@given(st.text(alphabet="ab1@(=,)[]{}+'\"\\ .:-\n", max_size=30) | st.text(max_size=30))
def test_any_text_is_read_or_refused_in_one_line_with_the_place(text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            terms = parse_sum(text)
        except UsageError as error:
            message = str(error)
            place = re.search(r" at character (\d+); write for example ", message)
            assert place is not None and 1 <= int(place[1]) <= len(text) + 1
            assert message.isprintable() and len(message) <= 200
        else:
            assert parse_sum("+".join(map(str, terms))) == terms


@pytest.mark.parametrize(
    ("written", "options"),
    [
        ("(a=1,b=-2.5,c=1e+5,d=0x10,e=1_000)", {"a": 1, "b": -2.5, "c": 1e5, "d": 16, "e": 1000}),
        ("(a=true,b=False,c=none,d=None)", {"a": True, "b": False, "c": None, "d": None}),
        ("(a='none',b=\"x,y)+(\",c='it\\'s')", {"a": "none", "b": "x,y)+(", "c": "it's"}),
        ("(a=[1,2],b=[x,'y',none],c=[[1],[x:2]])", {"a": [1, 2], "b": ["x", "y", None], "c": [[1], ["x:2"]]}),
        ("(a=[],b=[1,])", {"a": [], "b": [1]}),
        ("(a=(1,2),b={'k': 3})", {"a": (1, 2), "b": {"k": 3}}),
        ("( a = uniform:20 , b=class-means,)", {"a": "uniform:20", "b": "class-means"}),
        ("(a=running[:5],b=layer*.1,c=a/b.npy)", {"a": "running[:5]", "b": "layer*.1", "c": "a/b.npy"}),
        ("(a=re:layer(1|2),b=re:a\\(b)", {"a": "re:layer(1|2)", "b": "re:a\\(b"}),
        ("()", {}),
        ("", {}),
    ],
)  # fmt: skip
def test_values_are_numbers_words_texts_constants_and_lists(written, options):
    term = parse_term(f"x{written}")
    assert term.options == options and repr(term.options) == repr(options)


def test_a_term_knows_its_name_its_layer_and_how_it_was_written():
    first, second, third = parse_sum(" kda @ re:layer[1-3] ( weight = 0.04 )+kd(T=4) + ce")
    assert (first.name, first.layer, first.options) == ("kda", "re:layer[1-3]", {"weight": 0.04})
    assert first.text == "kda @ re:layer[1-3] ( weight = 0.04 )"
    assert (second.name, second.layer, third.text, third.options) == ("kd", None, "ce", {})
    assert parse_term("torchvision.datasets:CIFAR10(train=false)").name == "torchvision.datasets:CIFAR10"


@pytest.mark.parametrize(
    ("text", "what", "place"),
    [
        ("", "no name but ''", 1),
        ("kda++kd", "no name but ''", 5),
        ("a/b", "no name but 'a/b'", 1),
        ("kda@(a=1)", "no layer after @", 4),
        ("kda(", r"the \( is not closed", 4),
        ("kda(a='x)", "the ' is not closed", 7),
        ("kda(a=[1,2)", r"\) closes no bracket", 11),
        ("kda(a=1)x", "'x' after the bracket", 9),
        ("kd(T=4,T=5)", "option 'T' is given twice", 8),
        ("kda(1)", "option '1' is not key=value", 5),
        ("kda(a=)", "option 'a=' is not key=value", 5),
        ("kda(**a)", r"option '\*\*a' is not key=value", 5),
        ("kda(a=f(1))", r"'f\(1\)' is not a number, a word, a quoted text or a list", 7),
        ("kda(a=b c)", "'b c' is not a number", 7),
        ("kda(a=[1,b c])", "'b c' is not a number", 10),
        ("x" * 20_000, "more than 10,000 characters", 10_001),
        (f"kda(a={'[' * 4000}b{']' * 4000})", "lists nested too deep", None),
    ],
)
def test_what_is_written_otherwise_is_refused_with_its_place(text, what, place):
    at = r"\d+" if place is None else place
    with pytest.raises(
        UsageError, match=rf"method .* is not NAME.*: {what}.* at character {at}; write for example kda"
    ):
        parse_sum(text)


def test_a_message_names_what_was_to_be_named():
    with pytest.raises(UsageError, match=r"data set 'shapes\(5\)' is not NAME\(key=value,...\): .* example shapes\("):
        parse_term("shapes(5)", "data set")
