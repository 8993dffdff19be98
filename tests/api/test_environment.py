import pytest

from observatory.api.environment import FIELD_PATHS, RESOURCES, check_variable
from observatory.api.types import JsonObject

FIELDS = ", ".join(
    f'"{path}"' for path in (*FIELD_PATHS, "metadata.labels['KEY']", "metadata.annotations['KEY']")
)
SIZES = ", ".join(f'"{resource}"' for resource in RESOURCES)


def texts(**variable: object) -> list[str]:
    return [str(error) for error in check_variable({"name": "A", **variable}, "env[0]")]


@pytest.mark.parametrize(
    "source",
    [
        {"fieldRef": {"fieldPath": "metadata.name"}},
        {"fieldRef": {"fieldPath": "metadata.labels['a/b']", "apiVersion": "v1"}},
        {"fieldRef": {"fieldPath": "metadata.annotations['x']"}},
        {"resourceFieldRef": {"resource": "limits.cpu"}},
        {"resourceFieldRef": {"resource": "requests.hugepages-2Mi"}},
        {"secretKeyRef": {"name": "a", "key": "b"}},
        {},
    ],
)
def test_a_good_source_has_no_error(source: JsonObject) -> None:
    assert texts(valueFrom=source) == []
    assert texts(valueFrom=source, value="") == []


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (
            {"fieldRef": {"fieldPath": "metadata.names"}},
            (
                f'fieldRef.fieldPath: Unsupported value: "metadata.names": '
                f"supported values: {FIELDS} "
                '(did you mean "metadata.name"?)'
            ),
        ),
        (
            {"fieldRef": {"fieldPath": "metadata.labels"}},
            (
                'fieldRef.fieldPath: Unsupported value: "metadata.labels": '
                "supported values: "
                f'{FIELDS} (did you mean "metadata.name"?)'
            ),
        ),
        (
            {"fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v2"}},
            'fieldRef.apiVersion: Unsupported value: "v2": supported values: "v1"',
        ),
        (
            {"resourceFieldRef": {"resource": "limits.gpu"}},
            (
                f'resourceFieldRef.resource: Unsupported value: "limits.gpu": supported values: '
                f'{SIZES} (did you mean "limits.cpu"?)'
            ),
        ),
        (
            {"fileKeyRef": {"volumeName": "cfg", "path": "a", "key": "b"}},
            'fileKeyRef.volumeName: Not found: "cfg" (tasks have no volumes in this version)',
        ),
    ],
)
def test_a_bad_source_is_told_what_is_supported(source: JsonObject, error: str) -> None:
    assert texts(valueFrom=source) == [f"env[0].valueFrom.{error}"]


def test_a_value_and_a_source_exclude_each_other() -> None:
    assert texts(value="x", valueFrom={"secretKeyRef": {"name": "a", "key": "b"}}) == [
        'env[0].valueFrom: Forbidden: may not be specified when "value" is not empty'
    ]


@pytest.mark.parametrize(
    "source",
    ["x", 5, None, {"fieldRef": "x"}, {"fieldRef": {"fieldPath": 5}}, {"resourceFieldRef": []},
     {"fileKeyRef": {"volumeName": {}}}],
)  # fmt: skip
def test_what_has_the_wrong_type_is_left_to_the_schema(source: object) -> None:
    assert texts(valueFrom=source) == []
