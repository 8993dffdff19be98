from __future__ import annotations

import pytest

from observatory.api.names import LABEL_OBSERVATORY, Key
from observatory.core.revision import program_of, revision_manifest, stored_program
from tests.core.builders import CHAIN, KEY, UID, manifest, program

SPEC = manifest({"a": [], "b": ["a"]})["spec"]


def name(key: Key = KEY, uid: str = UID, **spec: object) -> str:
    return program_of(key, uid, SPEC | spec).revision


def test_the_same_tasks_have_the_same_revision_however_they_are_driven() -> None:
    assert name() == name(suspend=True) == name(maxConcurrent=3) == name(schedule="@daily")


def test_any_change_of_a_task_is_another_revision() -> None:
    a, b = SPEC["tasks"]
    others = [[a], [b, a], [a | {"image": "busybox:2"}, b], [a, b | {"env": [{"name": "X"}]}]]

    assert len({name(), *(name(tasks=tasks) for tasks in others)}) == 5


def test_the_order_of_fields_does_not_matter() -> None:
    assert name(tasks=[dict(reversed(task.items())) for task in SPEC["tasks"]]) == name()


def test_a_namesake_has_revisions_of_its_own() -> None:
    assert name(uid="other") != name()


def test_what_is_stored_is_what_is_read() -> None:
    wanted = program(CHAIN)

    assert stored_program(revision_manifest(CHAIN, wanted, run=3)) == wanted


def test_a_revision_is_owned_and_numbered_by_its_run() -> None:
    stored = revision_manifest(CHAIN, program(CHAIN), run=3)

    assert stored["revision"] == 3
    assert stored["metadata"]["labels"][LABEL_OBSERVATORY] == "night"
    assert stored["metadata"]["ownerReferences"][0]["uid"] == UID


def test_order_and_dependencies_are_indexes() -> None:
    made = program_of(KEY, UID, manifest({"z": ["y"], "y": []})["spec"])

    assert (made.order, made.dependencies) == ((1, 0), ((1,), ()))


@pytest.mark.parametrize("data", [None, {}, {"spec": {}}, {"spec": {"tasks": [{}]}}])
def test_a_revision_of_somebody_else_is_refused(data: object) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        stored_program({"metadata": {"name": "x"}, "data": data})


A = {"name": "a", "image": "x"}


@pytest.mark.parametrize(
    ("tasks", "error"),
    [
        ([{"name": 5, "image": "x"}], r"data.spec.tasks\[0\].name: Invalid value: 5: must be"),
        ([{**A, "dependencies": "b"}], r"data.spec.tasks\[0\].dependencies: Invalid value"),
        ([A, A], "a task that can never start"),
        ([{**A, "dependencies": ["a"]}], "a task that can never start"),
        ([{**A, "dependencies": ["b"]}, {**A, "name": "b", "dependencies": ["a"]}], "cycle"),
    ],
)
def test_tasks_that_could_never_end_are_not_taken_from_a_revision(
    tasks: list[object], error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        stored_program({"metadata": {"name": "x"}, "data": {"spec": {"tasks": tasks}}})


def test_fields_that_another_version_knows_keep_no_revision_from_being_read() -> None:
    data = {"spec": {"tasks": [{**A, "retries": 3}], "finally": []}}

    assert stored_program({"metadata": {"name": "x"}, "data": data}).tasks[0].name == "a"
