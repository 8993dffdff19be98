from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.openapi import (
    DNS_LABEL,
    array,
    boolean,
    count,
    integer,
    label,
    map_by,
    mapping,
    set_of,
    string,
)
from observatory.api.structural import check
from observatory.api.types import JsonObject

LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name' or '123-abc')"
)
PERSON = mapping(
    "A person.",
    "name",
    name=label("The name."),
    age=count("The age.", minimum=1, maximum=150),
    alive=boolean("Whether it lives."),
    mood=string("How it feels.", enum=["good", "bad"]),
    friends=set_of("Names.", label("A name."), maxItems=3),
    pets=map_by("name", "Animals.", mapping("One.", "name", name=string("Its name."))),
    address=mapping("One of these.", street=string("s"), box=string("b"))
    | {"minProperties": 1, "maxProperties": 1},
)


def texts(value: object, schema: JsonObject = PERSON) -> list[str]:
    return [str(error) for error in check(value, schema, "p")]


def person(**fields: object) -> JsonObject:
    return {"name": "ann", **fields}


def test_a_good_value_has_no_error() -> None:
    good = person(age=30, alive=False, mood="bad", friends=["bob", "cy"], pets=[{"name": "x"}])
    assert texts(good) == []


@pytest.mark.parametrize(
    ("value", "errors"),
    [
        ({}, ["p.name: Required value"]),
        ({"name": None}, ["p.name: Required value"]),
        (person(age=None, friends=None), []),
        ("x", ['p: Invalid value: "x": must be an object']),
        (None, ["p: Invalid value: null: must be an object"]),
        (person(age="5"), ['p.age: Invalid value: "5": must be an integer']),
        (person(age=True), ["p.age: Invalid value: true: must be an integer"]),
        (person(age=1.5), ["p.age: Invalid value: 1.5: must be an integer"]),
        (person(age=1e2), []),
        (person(age=float("nan")), ["p.age: Invalid value: NaN: must be an integer"]),
        (person(age=float("inf")), ["p.age: Invalid value: Infinity: must be an integer"]),
        (person(age=0), ["p.age: Invalid value: 0: must be greater than or equal to 1"]),
        (person(age=151), ["p.age: Invalid value: 151: must be less than or equal to 150"]),
        pytest.param(
            person(age=10**5000),
            ["p.age: Invalid value: an integer of 16610 bits: must be less than or equal to 150"],
            id="huge",
        ),
        (person(alive="yes"), ['p.alive: Invalid value: "yes": must be a boolean']),
        (person(alive=1), ["p.alive: Invalid value: 1: must be a boolean"]),
        (
            person(mood="sad"),
            ['p.mood: Unsupported value: "sad": supported values: "good", "bad"'],
        ),
        (person(mood=5), ["p.mood: Invalid value: 5: must be a string (put it into quotes)"]),
        (
            person(mood=True),
            ["p.mood: Invalid value: true: must be a string (put it into quotes)"],
        ),
        (
            person(friends="bob"),
            ['p.friends: Invalid value: "bob": must be an array (write ["bob"])'],
        ),
        (
            person(friends={"a": 1}),
            ["p.friends: Invalid value: an object of 1 field: must be an array"],
        ),
        (person(friends=[None]), ["p.friends[0]: Invalid value: null: must be a string"]),
        (person(friends=list("abcd")), ["p.friends: Too many: 4: must have at most 3 items"]),
        (
            person(friends=["a", "b", "a"]),
            ['p.friends[2]: Duplicate value: "a" (first at p.friends[0])'],
        ),
        (
            person(pets=[{"name": "x"}, {"name": "x"}, {"name": "x"}, 5]),
            [
                "p.pets[3]: Invalid value: 5: must be an object",
                'p.pets[1].name: Duplicate value: "x" (first at p.pets[0])',
                'p.pets[2].name: Duplicate value: "x" (first at p.pets[0])',
            ],
        ),
        (person(address={}), ["p.address: Required value: must have one of street, box"]),
        (
            person(address={"street": "s", "box": "b"}),
            ["p.address: Too many: 2: must have at most 1 field"],
        ),
        (person(address={"street": "s", "box": None}), []),
        (person(agee=5), ['p.agee: Forbidden: unknown field (did you mean "age"?)']),
        (person(**{"\u202e": 5}), [r'p["\u202e"]: Forbidden: unknown field']),
        (person(zzz=None), []),
        ({"name": ""}, ["p.name: Required value: must not be empty"]),
        ({"name": "x" * 64}, ["p.name: Too long: may not be more than 63 characters"]),
        ({"name": "x" * 63}, []),
        ({"name": "Ann"}, [f'p.name: Invalid value: "Ann": {LABEL_TEXT}']),
        ({"name": "ann\n"}, [rf'p.name: Invalid value: "ann\n": {LABEL_TEXT}']),
    ],
)
def test_what_is_wrong_is_said_in_words(value: object, errors: list[str]) -> None:
    assert texts(value) == errors


def test_all_errors_are_reported_at_once() -> None:
    value = {"age": 0, "alive": "no", "friends": ["A", "b", "b"], "unknown": 1}
    assert [error.path for error in check(value, PERSON, "p")] == [
        "p.age",
        "p.alive",
        "p.friends[0]",
        "p.friends[2]",
        "p.unknown",
        "p.name",
    ]


def test_a_list_must_have_enough_items() -> None:
    schema = array("Things.", string("One."), minItems=1)
    assert texts([], schema) == ["p: Required value: must have at least 1 item"]


def test_an_integer_or_string_may_be_either() -> None:
    schema: JsonObject = {"x-kubernetes-int-or-string": True, "pattern": DNS_LABEL}
    assert texts(5, schema) == []
    assert texts("a", schema) == []
    assert texts("A", schema) == [f'p: Invalid value: "A": {LABEL_TEXT}']
    assert texts(1.5, schema) == ["p: Invalid value: 1.5: must be an integer or a string"]


def test_a_pattern_without_words_is_shown_itself() -> None:
    assert texts("b", string("x", pattern="^a+$")) == ['p: Invalid value: "b": must match ^a+$']


def test_values_nested_deeper_than_any_stack_are_judged() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert texts(person(age=deep)) == [
        "p.age: Invalid value: an array of 1 item: must be an integer"
    ]
    assert texts(person(unknown=deep)) == ["p.unknown: Forbidden: unknown field"]


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=15,
)


@given(json_values | st.dictionaries(st.sampled_from(sorted(PERSON["properties"])), json_values))
def test_any_json_gives_errors_and_never_an_exception(value: object) -> None:
    for text in texts(value):
        assert text.isascii()
        assert text.isprintable()


@given(st.integers())
def test_formats_do_not_narrow_what_limits_allow(number: int) -> None:
    assert texts(number, integer("x")) == []
