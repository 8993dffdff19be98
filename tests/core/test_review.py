"""What admission answers. It is for people; the operator itself doesn't rely on it."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.types import JsonObject
from observatory.core.review import SHOWN, ReviewError, review
from observatory.core.validation import validate
from tests.core.test_advice import DIAMOND, observatory, task
from tests.fuzz.mutations import mutated

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
GOOD = observatory(*DIAMOND)
BAD = observatory(task("a", "b"), task("a"))
WORSE = observatory(task("a", "b", "c"), task("a"))


def asked(operation: str, obj: object, old: object = None, **more: object) -> JsonObject:
    request = {
        "uid": "u1",
        "operation": operation,
        "resource": {
            "group": "workflow.seventh-horizon.io",
            "version": "v1alpha1",
            "resource": "observatories",
        },
        "name": "x",
        "namespace": "default",
        "object": obj,
        "oldObject": old,
        **more,
    }
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": request,
    }


def answer(operation: str, obj: object, old: object = None, **more: object) -> JsonObject:
    answered = review(asked(operation, obj, old, **more), NOW)
    assert (answered["apiVersion"], answered["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response: JsonObject = answered["response"]
    assert response.pop("uid") == "u1"
    return response


def but(obj: JsonObject, **metadata: object) -> JsonObject:
    return {**obj, "metadata": {**obj["metadata"], **metadata}}


def test_a_valid_object_passes_with_its_plan() -> None:
    assert answer("CREATE", GOOD) == {
        "allowed": True,
        "warnings": ["plan: 4 tasks, 3 levels, widest 2"],
    }


def test_what_is_probably_not_meant_is_a_warning() -> None:
    obj = observatory(task("a", image="busybox"), schedule="* * * * *")
    response = answer("CREATE", obj)
    assert response["allowed"]
    assert [text.partition(" ")[0] for text in response["warnings"]] == [
        "plan:",
        "spec.tasks[0].image:",
        "spec.schedule:",
    ]


def test_all_errors_are_told_at_once_as_the_api_server_tells_its_own() -> None:
    response = answer("CREATE", BAD)
    dependency = 'spec.tasks[0].dependencies[0]: Not found: "b" (no task has this name)'
    name = 'spec.tasks[1].name: Duplicate value: "a" (first at spec.tasks[0])'
    assert not response["allowed"]
    status = response["status"]
    assert (status["status"], status["code"], status["reason"]) == ("Failure", 422, "Invalid")
    assert status["message"] == (
        f'Observatory.workflow.seventh-horizon.io "x" is invalid: [{dependency}, {name}]'
    )
    assert status["details"] == {
        "name": "x",
        "group": "workflow.seventh-horizon.io",
        "kind": "Observatory",
        "causes": [
            {
                "reason": "FieldValueNotFound",
                "field": "spec.tasks[0].dependencies[0]",
                "message": 'Not found: "b" (no task has this name)',
            },
            {
                "reason": "FieldValueDuplicate",
                "field": "spec.tasks[1].name",
                "message": 'Duplicate value: "a" (first at spec.tasks[0])',
            },
        ],
    }


def test_one_error_stands_without_brackets() -> None:
    message = answer("CREATE", observatory(task("a", "a")))["status"]["message"]
    error = 'spec.tasks[0].dependencies[0]: Invalid value: "a": task cannot depend on itself'
    assert message.endswith(f'"x" is invalid: {error}')


def test_more_errors_than_anybody_reads_are_counted() -> None:
    status = answer("CREATE", observatory(*(task("same") for _ in range(SHOWN + 6))))["status"]
    assert status["message"].endswith(", and 5 more]")
    assert len(status["details"]["causes"]) == SHOWN + 1
    assert status["details"]["causes"][-1]["message"] == "and 5 more"


def test_a_name_that_is_yet_to_be_made_is_told_by_its_prefix() -> None:
    obj = {**BAD, "metadata": {"generateName": "night-"}}
    assert answer("CREATE", obj, name="")["status"]["details"]["name"] == "night-"


def test_an_update_is_judged_by_what_it_would_be() -> None:
    assert not answer("UPDATE", BAD, GOOD)["allowed"]
    assert answer("UPDATE", GOOD, BAD)["allowed"]


@pytest.mark.parametrize(
    ("operation", "obj", "more"),
    [
        ("UPDATE", but(BAD, labels={"a": "b"}), {}),
        ("UPDATE", but(BAD, finalizers=[]), {}),
        ("UPDATE", but(WORSE, deletionTimestamp="2026-01-01T00:00:00Z"), {}),
        ("UPDATE", {**BAD, "status": {"phase": "Failed"}}, {}),
        ("UPDATE", WORSE, {"subResource": "status"}),
        ("DELETE", None, {}),
        ("CONNECT", None, {}),
        ("CREATE", WORSE, {"resource": {"group": "", "version": "v1", "resource": "pods"}}),
        ("CREATE", WORSE, {"resource": None}),
    ],
)
def test_what_is_not_about_a_new_spec_passes_in_silence(
    operation: str, obj: object, more: JsonObject
) -> None:
    assert answer(operation, obj, BAD, **more) == {"allowed": True}


def test_what_was_invalid_before_can_be_changed_where_that_makes_nothing_worse() -> None:
    suspended = copy.deepcopy(BAD)
    suspended["spec"]["suspend"] = True
    response = answer("UPDATE", suspended, BAD)
    assert response["allowed"]
    assert response["warnings"] == [
        "spec: it was invalid before and still is: 2 errors; nothing starts"
    ]
    assert not answer("UPDATE", WORSE, BAD)["allowed"]
    assert answer("UPDATE", observatory(task("a", "b")), BAD)["allowed"]


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"kind": "AdmissionReview"},
        {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1", "request": {}},
        {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"},
        asked("CREATE", None),
        asked("CREATE", []),
        asked("CREATE", {"spec": {}}),
        asked("CREATE", {"metadata": None}),
        asked("CREATE", GOOD, uid=""),
        asked("CREATE", GOOD, uid=7),
        asked("CREATE", GOOD, uid="x" * 257),
    ],
)
def test_what_is_no_review_is_one_line(body: object) -> None:
    with pytest.raises(ReviewError) as caught:
        review(body, NOW)
    assert "\n" not in str(caught.value)


@given(mutated([asked("CREATE", GOOD), asked("UPDATE", BAD, GOOD), asked("UPDATE", BAD, WORSE)]))
def test_any_json_is_answered_or_refused_in_one_line(body: object) -> None:
    try:
        answered = review(body, NOW)
    except ReviewError:
        return
    json.dumps(answered)
    response = answered["response"]
    assert response["allowed"] or response["status"]["details"]["causes"]


@given(st.data())
def test_what_is_denied_is_just_what_the_operator_calls_invalid(data: st.DataObject) -> None:
    obj = data.draw(mutated([GOOD, BAD]))
    try:
        response = answer("CREATE", obj)
    except ReviewError:
        return
    if not obj["metadata"].get("deletionTimestamp"):
        assert response["allowed"] == (validate(obj) == [])
