import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.cli.documents import read_documents
from observatory.cli.yamlvalues import MAX_DEPTH, MAX_NODES, DocumentError


def read(text: str) -> list[Any]:
    return [document.value for document in read_documents(text)]


def refusal(text: str) -> tuple[str, int]:
    with pytest.raises(DocumentError) as caught:
        read(text)
    return str(caught.value), caught.value.line


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("a: [1, 'x', {b: null}]", {"a": [1, "x", {"b": None}]}),
        ("a:\nb: ~", {"a": None, "b": None}),
        ("[yes, No, on, y, 'yes', True]", [True, False, True, True, "yes", True]),
        ("[012, 0x1F, 0b11, 1_000, +5, -7, 0o17]", [10, 31, 3, 1000, 5, -7, 15]),
        ("[1.5, .5, 1e3, -1., 1_0.5]", [1.5, 0.5, 1000.0, -1.0, 10.5]),
        ("[1e400, 0x, 1e, 0o8, 0b2, _1]", ["1e400", "0x", "1e", "0o8", "0b2", "_1"]),
        ("[0x_, 0b__, -0o_, 0_, 0x_1]", ["0x_", "0b__", "-0o_", 0, 1]),
        # kubectl takes these as strings, PyYAML by itself as a number, a time and a version.
        ("[12:30:45, 2025-01-31, 1.2.3, 08]", ["12:30:45", "2025-01-31", "1.2.3", 8.0]),
        ("[.inf, -.inf]", [float("inf"), float("-inf")]),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
        ("1: a\ntrue: b", {"1": "a", "true": "b"}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}", {"a": {"k": 1, "l": 2}, "b": {"l": 3, "k": 1}}),
        ("b: {<<: [{k: 1}, {k: 2, m: 3}]}", {"b": {"k": 1, "m": 3}}),
        ("'<<': 1", {"<<": 1}),
        ("a: !!str 5", {"a": "5"}),
        ("a: !!int '5'", {"a": 5}),
        ("{a: b}", {"a": "b"}),
        ('{"a": "\\ud83d\\ude00", "b": "\\ud800"}', {"a": "\U0001f600", "b": "\ud800"}),
        ("9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_values_are_those_that_kubectl_would_send(text: str, value: object) -> None:
    (result,) = read(text)
    assert result == value
    assert repr(result) == repr(value)


def test_empty_documents_are_left_out() -> None:
    assert read("---\n---\na: 1\n---\n# nothing\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]
    assert read("") == []


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("a: 1\nb: 2\na: 3", 'key "a" is given twice in one object', 3),
        ('{"a": 1, "a": 2}', 'key "a" is given twice in one object', 0),
        ("a: *nobody", "alias *nobody stands for nothing before it", 1),
        ("a: &x [*x]", "alias *x stands for nothing before it", 1),
        ("a: b: c", "not YAML: mapping values are not allowed in this context", 1),
        ("a: 1\n\tb: 2", "not YAML: a tab; indent with spaces", 2),
        ("a:\n  b:\n  \tc: 2", "not YAML: a tab; indent with spaces", 3),
        ("\ta: 1", "not YAML: a tab; indent with spaces", 1),
        ("a: b\tc\nd: %", "not YAML: found character that cannot start any token", 2),
        ("? [a]\n: b", "a key must be a string", 1),
        ("~: b", "a key must be a string, not null", 1),
        ("a: !!python/object:os.system x", "tag tag:yaml.org,2002:python/object:os.system is", 1),
        ("a: !x {}", "tag !x is not supported", 1),
        ("a: {<<: 5}", "<< must be given an object, or a list of objects", 1),
        ('{"a": NaN}', "NaN is not a JSON number", 0),
        ('{"a": ' + "9" * 5000 + "}", "a number has too many digits", 0),
        ('{"a": ' * 100_000, "nested too deep", 0),
        ("a: \x07", "not YAML: ", 0),
    ],
    ids=range(18),
)  # fmt: skip
def test_what_is_refused_says_why_and_where(text: str, message: str, line: int) -> None:
    said, where = refusal(text)
    assert said.startswith(message)
    assert "\n" not in said
    assert where == line


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ('{"a": 1,\n "b": 2,\n}', "not JSON: column ", 2),
        ('{"a": 1, # one\n "b": 2}', "not JSON: column 10: expecting property name", 1),
        ("[1, 2,]", "not JSON: column ", 1),
        ("a: 1", "not JSON: column 1: expecting value", 1),
        ("{a: 1}", "not JSON: column 2: expecting property name", 1),
        ('{"a": 1}\n  x', "not JSON: column 3: expecting value", 2),
        ('{"a": 1, "a": 2}', 'key "a" is given twice in one object', 0),
        ('{"a": 1', "not JSON: column 8: expecting ',' delimiter", 1),
    ],
)
def test_json_may_have_to_be_json(text: str, message: str, line: int) -> None:
    with pytest.raises(DocumentError) as caught:
        list(read_documents(text, json_only=True))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    # Python 3.13 points at the comma, older versions at what comes after it.
    assert line <= caught.value.line <= (line + 1 if ",\n}" in text else line)


def test_json_texts_may_follow_each_other() -> None:
    texts = '\n{"a": 1}\n{"a": 2}[]\n'
    assert [document.value for document in read_documents(texts, json_only=True)] == [
        {"a": 1},
        {"a": 2},
        [],
    ]
    assert list(read_documents(" \n", json_only=True)) == []


def test_depth_is_bounded() -> None:
    assert read("- " * MAX_DEPTH + "x") != []
    assert refusal("- " * (MAX_DEPTH + 1) + "x")[0] == f"nested more than {MAX_DEPTH} deep"


def test_aliases_that_expand_to_billions_are_refused_at_once() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    message, line = refusal(bomb)
    assert message == f"more than {MAX_NODES} values, aliases expanded"
    assert line == 6


def test_lines_are_those_of_the_fields() -> None:
    text = "kind: x\nspec:\n  tasks:\n    - name: a\n      image: b\n    -\n      name: c\n"
    (document,) = read_documents(text)
    assert document.line("kind") == 1
    assert document.line("spec") == 2
    assert document.line("spec.tasks[0]") == 4
    assert document.line("spec.tasks[0].image") == 5
    assert document.line("spec.tasks[1].name") == 7
    # What is not there is reported at what is around it.
    assert document.line("spec.tasks[1].image") == document.line("spec.tasks[1]")
    assert document.line("spec.schedule") == 2
    assert document.line("nothing") == 1


def test_the_line_of_a_document_is_that_of_its_first_field() -> None:
    first, second = read_documents("# about\n---\n\na: 1\n---\n- b\n")
    assert (first.line(""), second.line("spec")) == (4, 6)
    (json_text,) = read_documents('{"a": 1}')
    assert json_text.line("a") == 0


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc", min_size=1), inner),
    max_leaves=20,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text("abc", min_size=1), json_values))
def test_what_json_and_yaml_write_is_read_back(value: dict[str, Any]) -> None:
    assert read(json.dumps(value)) == [value]
    # Quoted, since the writer would leave a plain `Y`, which kubectl takes for true.
    assert read(yaml.safe_dump(value, default_style='"')) == [value]


@given(st.text(alphabet="ab:-[]{}&*!|<>'\"#\n \t0.,?%", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        outcome = repr(read(text))
    except DocumentError as error:
        outcome = str(error)
    assert outcome.isprintable()
