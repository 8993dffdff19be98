from __future__ import annotations

import pytest

from observatory.core.desired import desire
from tests.core.builders import KEY, UID, manifest


def test_a_valid_observatory() -> None:
    desired = desire(manifest({"a": []}, maxConcurrent=2, suspend=True, schedule="@daily"))

    assert (desired.key, desired.uid, desired.generation, desired.errors) == (KEY, UID, 1, ())
    assert (desired.max_concurrent, desired.suspend, desired.scheduled) == (2, True, True)
    assert desired.schedule is not None
    assert desired.program is not None
    assert desired.size > 0


def test_an_invalid_one_has_nothing_to_run_and_says_all_that_is_wrong() -> None:
    desired = desire(manifest({"a": ["x"], "b": ["y"]}, maxConcurrent=2))

    assert desired.program is None
    assert len(desired.errors) == 2
    assert desired.max_concurrent == 2
    assert desired.size > 0  # it shares the object with the status all the same


@pytest.mark.parametrize(
    "field",
    [
        ("maxConcurrent", 0),
        ("maxConcurrent", -1),
        ("maxConcurrent", "5"),
        ("maxConcurrent", 1.5),
        ("maxConcurrent", True),
        ("maxConcurrent", []),
        ("suspend", "no"),
        ("suspend", 0),
        ("suspend", {}),
    ],
)
def test_a_run_whose_limits_cannot_be_read_starts_nothing(field: tuple[str, object]) -> None:
    assert desire(manifest({"a": []}, **dict([field]))).suspend


def test_more_tasks_than_an_operator_allows_are_an_error_with_its_remedy() -> None:
    three = manifest({"a": [], "b": ["a"], "c": ["b"]})

    assert desire(three, max_tasks=3).program is not None
    refused = desire(three, max_tasks=2)
    assert refused.program is None
    (error,) = refused.errors
    assert error == (
        "spec.tasks: Too many: 3: this operator lets a run have at most 2 tasks "
        "(--max-tasks-per-run) (split the workflow, or ask the operator's admin for more)"
    )


def test_what_is_invalid_anyway_is_told_without_the_limit() -> None:
    (error,) = desire(manifest({"a": ["x"], "b": []}), max_tasks=1).errors
    assert "Not found" in error


DEEP: object = "bottom"
for _ in range(400):
    DEEP = {"deeper": DEEP}


@pytest.mark.parametrize(
    "spec", [None, [], "x", {}, {"tasks": None}, {"tasks": [1, None]}, {"tasks": DEEP}]
)
def test_no_spec_is_too_odd(spec: object) -> None:
    odd = manifest({}) | {"spec": spec}

    assert desire(odd).errors


def test_deletion_may_leave_the_pods_alone() -> None:
    obj = manifest({"a": []})
    obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert (desire(obj).deleting, desire(obj).orphaning) == (True, False)

    obj["metadata"]["finalizers"] = ["orphan"]
    assert desire(obj).orphaning
