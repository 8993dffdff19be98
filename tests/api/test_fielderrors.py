import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.fielderrors import (
    VALUE_LENGTH,
    FieldError,
    by_place,
    child,
    did_you_mean,
    duplicate,
    forbidden,
    invalid,
    list_errors,
    not_found,
    quote,
    required,
    too_long,
    too_many,
    unsupported,
)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (invalid("a", 5, "must be even"), "a: Invalid value: 5: must be even"),
        (required("a.b"), "a.b: Required value"),
        (required("a", "must not be empty"), "a: Required value: must not be empty"),
        (duplicate("a[1]", "x", "a[0]"), 'a[1]: Duplicate value: "x" (first at a[0])'),
        (not_found("a", "x", "why"), 'a: Not found: "x" (why)'),
        (not_found("a", "x"), 'a: Not found: "x"'),
        (
            unsupported("a", "x", ["y", "z"]),
            'a: Unsupported value: "x": supported values: "y", "z"',
        ),
        (forbidden("a", "unknown field"), "a: Forbidden: unknown field"),
        (too_long("a", 63), "a: Too long: may not be more than 63 characters"),
        (too_many("a", 5, 4), "a: Too many: 5: must have at most 4 items"),
    ],
)
def test_errors_read_as_those_of_kubernetes(error: FieldError, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", '"a"'),
        ('say "x"\n', r'"say \"x\"\n"'),
        ("\u0430", r'"\u0430"'),  # a Cyrillic letter that looks like a Latin one
        ("\u202eevil", r'"\u202eevil"'),  # turns the direction of writing
        ("\ud800", r'"\ud800"'),  # half of a character
        ("\x1b[31m", r'"\u001b[31m"'),  # colours a terminal
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        (float("nan"), "NaN"),
        pytest.param(10**5000, "an integer of 16610 bits", id="huge"),
        ([], "[]"),
        ([1, 2], "an array of 2 items"),
        ({}, "{}"),
        ({"a": 1}, "an object of 1 field"),
        ("x" * 200, f'"{"x" * 120}"... (200 characters)'),
    ],
)
def test_values_are_quoted_so_that_they_can_be_seen(value: object, text: str) -> None:
    assert quote(value) == text


@given(json_values)
def test_any_value_is_quoted_in_one_short_printable_line(value: object) -> None:
    text = quote(value)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= 12 * VALUE_LENGTH + 50


@given(st.text(st.characters(), max_size=VALUE_LENGTH))
def test_a_quoted_string_is_json(value: str) -> None:
    assert json.loads(quote(value)) == value


def test_unusual_keys_are_quoted_in_paths() -> None:
    assert child("spec", "tasks") == "spec.tasks"
    assert child("", "spec") == "spec"
    assert child("spec", "a b") == 'spec["a b"]'
    assert child("spec", "") == 'spec[""]'
    assert child("spec", "x" * 64) == f'spec["{"x" * 64}"]'


def test_the_nearest_candidate_is_suggested() -> None:
    assert did_you_mean("bild", ["test", "build"]) == 'did you mean "build"?'
    assert did_you_mean("zzz", ["test", "build"]) == ""
    assert did_you_mean("build" * 1000, ["build"]) == ""


@pytest.mark.parametrize("slip", ["shrad-17", "hard-17", "shard-717", "shard-1", "xhard-17"])
def test_a_slip_is_found_among_many_candidates(slip: str) -> None:
    others = [f"{kind}-{index}" for kind in ("load", "index", "report") for index in range(100)]
    near = did_you_mean(slip, [*others, "shard-17"])
    assert near == 'did you mean "shard-17"?'


def test_errors_are_ordered_by_place_with_indexes_as_numbers() -> None:
    paths = ["spec.tasks[10].name", "spec.tasks[9].name", "spec.tasks", "metadata.name"]
    ordered = [error.path for error in by_place(map(required, paths))]
    assert ordered == ["metadata.name", "spec.tasks", "spec.tasks[9].name", "spec.tasks[10].name"]


def test_ordering_survives_indexes_of_any_length() -> None:
    paths = ["a[" + "9" * 6000 + "]", "a[1]"]
    assert by_place(map(required, paths))[0].path == "a[1]"


def test_a_summary_shows_ten_errors_and_counts_the_rest() -> None:
    errors = [required(f"a[{index}]") for index in range(13)]
    text = list_errors(errors)
    assert text.startswith("a[0]: Required value; a[1]: Required value; ")
    assert text.endswith("a[9]: Required value; and 3 more")
    assert list_errors(errors[:2]) == "a[0]: Required value; a[1]: Required value"
    assert list_errors(errors[:3], limit=1) == "a[0]: Required value; and 2 more"
    assert list_errors([]) == ""
