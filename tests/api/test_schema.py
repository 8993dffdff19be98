"""What holds for every field, so that a new one cannot forget it."""

from collections.abc import Iterator
from typing import Any

import pytest

from observatory.api.conditions import TYPES, Reason
from observatory.api.crd import custom_resource_definition
from observatory.api.openapi import PATTERN_HELP
from observatory.api.reference import reference
from observatory.api.schema import OBSERVATORY
from observatory.api.specschema import SPEC
from observatory.api.statusschema import PHASES, STATUS
from observatory.api.taskstatus import TaskPhase
from observatory.api.types import JsonObject


def fields(schema: JsonObject, path: str) -> Iterator[tuple[str, JsonObject]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from fields(inner, f"{path}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")


ALL = dict([*fields(SPEC, "spec"), *fields(STATUS, "status")])
every_field = pytest.mark.parametrize("path", ALL)


@every_field
def test_every_field_has_a_description_that_is_a_sentence(path: str) -> None:
    description = ALL[path]["description"]
    assert description[0].isupper() or description[0] == "`"
    assert description.endswith(".")


@every_field
def test_no_field_has_a_default(path: str) -> None:
    assert "default" not in ALL[path]


@every_field
def test_every_list_says_how_it_is_merged_and_how_long_it_may_be(path: str) -> None:
    schema = ALL[path]
    if schema.get("type") == "array":
        assert schema["x-kubernetes-list-type"] in ("atomic", "set", "map")
        assert schema["maxItems"] > 0


@every_field
def test_every_required_field_exists(path: str) -> None:
    schema = ALL[path]
    assert set(schema.get("required", ())) <= set(schema.get("properties", ()))


@pytest.mark.parametrize(
    "path", [path for path in ALL if path.startswith("spec") and "pattern" in ALL[path]]
)
def test_every_pattern_of_the_spec_has_words(path: str) -> None:
    assert ALL[path]["pattern"] in PATTERN_HELP


@every_field
def test_every_field_is_in_the_reference(path: str) -> None:
    parent, _, name = path.rpartition(".")
    if not parent or name.endswith("[]"):
        return
    section = reference().split(f"\n## {parent}\n")[1].split("\n## ")[0]
    assert f"`{name}`" in section


def test_tasks_are_atomic_so_that_managed_fields_stay_small() -> None:
    assert ALL["spec.tasks"]["x-kubernetes-list-type"] == "atomic"
    assert ALL["status.tasks"]["x-kubernetes-list-type"] == "atomic"


def test_the_limits_hold_real_workflows() -> None:
    assert ALL["spec.tasks"]["maxItems"] == 4000
    assert ALL["spec.tasks[].dependencies"]["maxItems"] == 4000
    assert ALL["spec.tasks[].name"]["maxLength"] == 63
    assert ALL["spec.tasks[].dependencies[]"]["maxLength"] == 63


def test_the_base_fields_are_there() -> None:
    assert set(SPEC["properties"]) >= {"tasks", "schedule", "suspend", "maxConcurrent"}
    assert SPEC["required"] == ["tasks"]
    task = ALL["spec.tasks[]"]
    assert set(task["properties"]) >= {"name", "image", "command", "args", "dependencies", "env"}
    assert sorted(task["required"]) == ["image", "name"]
    wanted = {"phase", "tasks", "startTime", "completionTime", "conditions", "observedGeneration"}
    assert set(STATUS["properties"]) >= wanted
    assert PHASES == ("Pending", "Running", "Succeeded", "Failed")
    assert [*PHASES, "Skipped"] == [phase.value for phase in TaskPhase]


def test_env_is_the_whole_env_var() -> None:
    assert set(ALL["spec.tasks[].env[]"]["properties"]) == {"name", "value", "valueFrom"}
    assert set(ALL["spec.tasks[].env[].valueFrom"]["properties"]) == {
        "configMapKeyRef",
        "fieldRef",
        "fileKeyRef",
        "resourceFieldRef",
        "secretKeyRef",
    }


def test_the_definition_is_complete() -> None:
    crd = custom_resource_definition()
    assert crd["metadata"]["name"] == "observatories.workflow.seventh-horizon.io"
    (version,) = crd["spec"]["versions"]
    assert version["subresources"] == {"status": {}}
    assert version["selectableFields"] == [{"jsonPath": ".status.phase"}]
    assert version["schema"]["openAPIV3Schema"] is OBSERVATORY


def test_names_collide_with_nobodys() -> None:
    names = custom_resource_definition()["spec"]["names"]
    taken = {
        "wf",
        "cwf",
        "cronwf",
        "wftmpl",
        "cwft",
        "po",
        "job",
        "cj",
        "es",
        "all",
        "api-extensions",
    }
    own = {names["plural"], names["singular"], *names["shortNames"]}
    assert not own & taken
    # kubectl looks for resources before categories: a category with a resource's name is no use.
    assert not set(names["categories"]) & (own | taken)


def test_columns_answer_how_far_and_why_not_further() -> None:
    columns: list[Any] = custom_resource_definition()["spec"]["versions"][0][
        "additionalPrinterColumns"
    ]
    narrow = [column["name"] for column in columns if not column.get("priority")]
    assert narrow == ["Phase", "Progress", "Duration", "Next Run", "Age", "Message"]
    wide = [column["name"] for column in columns if column.get("priority")]
    assert wide == ["Run", "Revision", "Schedule", "Last Run", "Last Success", "Suspend"]


@pytest.mark.parametrize(
    "column",
    custom_resource_definition()["spec"]["versions"][0]["additionalPrinterColumns"],
    ids=lambda column: column["name"],
)
def test_every_column_shows_a_field_that_exists(column: JsonObject) -> None:
    path = column["jsonPath"].removeprefix(".").replace("[0]", "[]")
    assert path in ALL or path == "metadata.creationTimestamp"


def test_the_reference_lists_conditions_and_reasons() -> None:
    text = reference()
    for name in (*TYPES, *(reason.value for reason in Reason)):
        assert f"| `{name}` |" in text
