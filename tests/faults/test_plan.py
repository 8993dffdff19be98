from __future__ import annotations

from typing import Any

import pytest

from tests.faults.calls import classify
from tests.faults.case import parse_case
from tests.faults.plan import Armory, Fault, On, PlanError, parse

PODS = "/api/v1/namespaces/ns/pods"
RUNS = "/apis/workflow.seventh-horizon.io/v1alpha1/namespaces/ns/observatories"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/observatory-operator"
GET_POD = classify("GET", f"{PODS}/a")
POST_POD = classify("POST", PODS)
PUT_STATUS = classify("PUT", f"{RUNS}/run/status?fieldManager=x")
RENEW = classify("PATCH", LEASE)


@pytest.mark.parametrize(
    ("method", "target", "told"),
    [
        ("GET", f"{PODS}/a", "get pods a"),
        ("GET", f"{PODS}?limit=500", "list pods"),
        ("GET", f"{PODS}?watch=true&resourceVersion=5", "watch pods"),
        ("GET", "/api/v1/pods?watch=true", "watch pods"),
        ("POST", PODS, "create pods"),
        ("PUT", f"{RUNS}/run/status", "update observatories/status run"),
        ("PATCH", f"{PODS}/a", "patch pods a"),
        ("DELETE", f"{PODS}/a", "delete pods a"),
        ("PATCH", LEASE, "patch leases observatory-operator"),
        ("GET", "/api/v1/namespaces/ns", "get namespaces ns"),
        ("GET", "/version", "get"),
    ],
)
def test_a_request_is_called_as_the_audit_log_calls_it(method: str, target: str, told: str) -> None:
    assert str(classify(method, target)) == told


def test_leases_and_events_are_not_among_the_writes_of_a_run() -> None:
    event = classify("POST", "/apis/events.k8s.io/v1/namespaces/ns/events")
    assert [call.counts for call in (POST_POD, PUT_STATUS, RENEW, event, GET_POD)] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_the_kth_write_is_counted_over_operators_and_reads_do_not_count() -> None:
    armory = Armory.of([Fault(On(write=3), "kill")])
    calls = [(POST_POD, 0), (GET_POD, 0), (RENEW, 1), (PUT_STATUS, 1), (POST_POD, 0), (POST_POD, 0)]
    fired = [bool(armory.fired(call, operator, 0.0)) for call, operator in calls]
    assert fired == [False, False, False, False, True, False]
    assert armory.all_fired


def test_a_fault_may_be_meant_for_one_operator_and_for_all_but_a_resource() -> None:
    armory = Armory.of([Fault(On(resource="!leases", operator=1), "hang", times=0)])
    assert not armory.fired(POST_POD, 0, 0.0)
    assert not armory.fired(RENEW, 1, 0.0)
    assert armory.fired(POST_POD, 1, 0.0)


def test_a_window_begins_with_the_first_match_and_ends_by_the_clock() -> None:
    fault = Fault(On(resource="pods", nth=2), "status", window=3.0)
    armory = Armory.of([fault])
    fired = [bool(armory.fired(POST_POD, 0, now)) for now in (0.0, 10.0, 12.9, 13.1)]
    assert fired == [False, True, True, False]
    assert armory.left(fault, 11.0) == 2.0


def test_faults_that_heal_do_not_happen_any_more() -> None:
    armory = Armory.of([Fault(On(), "status", times=0)])
    assert armory.fired(POST_POD, 0, 0.0)
    armory.healed = True
    assert not armory.fired(POST_POD, 0, 0.0)


def test_a_share_is_the_same_requests_each_time() -> None:
    def play() -> list[bool]:
        armory = Armory.of([Fault(On(), "status", times=0, share=0.3)])
        return [bool(armory.fired(POST_POD, 0, 0.0)) for _ in range(200)]

    assert play() == play()
    assert 30 < sum(play()) < 90


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"do": "kill"}, '"on" is missing'),
        ({"on": {"write": 1}, "do": "explode"}, '"explode" is unknown'),
        ({"on": {"writes": 1}, "do": "kill"}, "writes: no such field"),
        ({"on": {"write": 1}, "do": "kill", "whenever": 1}, "whenever: no such field"),
        ({"on": {"write": 1}, "do": "kill", "when": "during"}, "neither"),
        ({"on": {"write": 1}, "do": "drop_request", "when": "after"}, "only before"),
        ({"on": {"write": 1}, "do": "slow", "when": "before"}, "only after"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_by_name(fault: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanError, match=says):
        parse(fault)


def test_a_case_is_the_same_after_a_journey_through_its_file() -> None:
    case = parse_case(
        {
            "name": "x",
            "spec": {"tasks": [{"name": "a", "image": "b"}]},
            "faults": [
                {"on": {"resource": "leases", "operator": 0}, "do": "hang", "for": 6},
                {"on": {"write": 3}, "do": "drop_answer"},
            ],
            "steps": [{"when": {"after": 1}, "do": {"delete": "Background"}}],
            "expect": {"gone": True, "disturbed": ["a"]},
        }
    )
    assert parse_case(case.to_json()) == case
    assert case.faults[1].when == "after"


def test_a_case_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(PlanError, match="flavour"):
        parse_case({"name": "x", "spec": {}, "flavour": 2})
