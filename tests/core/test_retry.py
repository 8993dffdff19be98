"""Retry policies: two budgets, rules, pauses, memory."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.quantity import format_bytes, parse_quantity
from observatory.api.taskstatus import FailureClass
from observatory.core.retry import Decision, Facts, Memory, RetryPolicy, decide, delay, grown

ERROR = Facts(FailureClass.APPLICATION_ERROR, "Error", 3)
EVICTED = Facts(FailureClass.DISRUPTION, "Evicted", 137, frozenset({("DisruptionTarget", "True")}))
CLASSES = st.sampled_from(list(FailureClass))


def policy(**fields: object) -> RetryPolicy:
    return RetryPolicy.from_wire(fields)


def test_nothing_is_retried_unless_asked_for_but_what_the_cluster_interrupts() -> None:
    assert decide(policy(), 0, 0, ERROR) == Decision(retry=False)
    assert decide(policy(), 0, 19, EVICTED) == Decision(retry=True, ignored=True)
    last = decide(policy(), 0, 20, EVICTED)
    assert last == Decision(retry=False, why="disruption limit 20 reached")


@pytest.mark.parametrize("class_", [FailureClass.DISRUPTION, FailureClass.NODE_LOST])
def test_what_the_cluster_does_has_a_budget_of_its_own(class_: FailureClass) -> None:
    assert decide(policy(limit=1), 1, 0, Facts(class_)).ignored
    assert not decide(policy(limit=9, disruptionLimit=0), 0, 0, Facts(class_)).retry


@pytest.mark.parametrize("class_", [FailureClass.CONFIGURATION, FailureClass.REJECTED])
def test_what_trying_again_cannot_help_is_not_retried(class_: FailureClass) -> None:
    assert decide(policy(limit=5), 0, 0, Facts(class_)).why == f"{class_} is not retried"


@pytest.mark.parametrize(
    ("rule", "facts", "matches"),
    [
        ({"onExitCodes": {"operator": "In", "values": [3, 4]}}, ERROR, True),
        ({"onExitCodes": {"operator": "In", "values": [4]}}, ERROR, False),
        ({"onExitCodes": {"operator": "NotIn", "values": [4]}}, ERROR, True),
        ({"onExitCodes": {"operator": "NotIn", "values": [3]}}, ERROR, False),
        ({"onExitCodes": {"operator": "NotIn", "values": [3]}}, Facts(FailureClass.LOST), False),
        ({"onPodConditions": [{"type": "DisruptionTarget"}]}, EVICTED, True),
        ({"onPodConditions": [{"type": "DisruptionTarget", "status": "False"}]}, EVICTED, False),
        ({"onPodConditions": [{"type": "DisruptionTarget"}]}, ERROR, False),
        ({"onReasons": ["Evicted"]}, EVICTED, True),
        ({"onReasons": ["Timeout", "Disruption"]}, EVICTED, True),
        ({"onReasons": ["Timeout"]}, EVICTED, False),
    ],
)
def test_what_a_rule_looks_at(rule: dict[str, object], facts: Facts, *, matches: bool) -> None:
    made = policy(limit=9, rules=[{"action": "FailTask", **rule}])

    assert (not decide(made, 0, 0, facts).retry) is matches


def test_the_first_rule_that_matches_decides() -> None:
    any_code = {"operator": "NotIn", "values": [0]}
    rules = [
        {"action": "FailWorkflow", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [75]}},
        {"action": "FailTask", "onExitCodes": any_code},
    ]
    made = policy(limit=3, rules=rules)

    def about(code: int) -> Decision:
        return decide(made, 0, 0, Facts(FailureClass.APPLICATION_ERROR, "Error", code))

    assert about(42) == Decision(retry=False, fails_run=True, why="rule 1 of retry: FailWorkflow")
    assert about(75) == Decision(retry=True, ignored=True)
    assert about(1) == Decision(retry=False, why="rule 3 of retry: FailTask")


@given(st.lists(CLASSES, max_size=60), st.integers(0, 5), st.integers(0, 5))
def test_no_sequence_of_failures_exceeds_a_budget(
    failures: list[FailureClass], limit: int, disruptions: int
) -> None:
    made = policy(limit=limit, disruptionLimit=disruptions)
    counted = ignored = 0
    for class_ in failures:
        decision = decide(made, counted, ignored, Facts(class_))
        if not decision.retry:
            assert decision.why or not (limit and disruptions)
            break
        counted, ignored = counted + (not decision.ignored), ignored + decision.ignored
    assert counted <= limit
    assert ignored <= disruptions


def test_a_task_says_otherwise_field_by_field() -> None:
    workflow = {"limit": 3, "backoff": {"initialSeconds": 5, "factor": 3}, "disruptionLimit": 1}
    task = {"limit": 0, "backoff": {"factor": 1}, "disruptionLimit": None}

    made = RetryPolicy.from_wire(workflow, task)

    assert (made.limit, made.initial_seconds, made.factor) == (0, 5, 1)
    assert (made.disruption_limit, made.max_seconds) == (1, 360)


@given(
    st.integers(0, 10_000),
    st.floats(1, 10),
    st.integers(0, 10_000),
    st.integers(1, 10**6),
    st.text(max_size=9),
)
def test_a_pause_is_within_a_tenth_of_what_is_written_and_always_the_same(
    initial: int, factor: float, most: int, nth: int, seed: str
) -> None:
    backoff = {"initialSeconds": initial, "factor": factor, "maxSeconds": most}
    made = policy(backoff=backoff)
    exact = min(most, initial if nth == 1 else initial * factor ** min(nth - 1, 300))

    pause = delay(made, nth, seed).total_seconds()

    assert exact * 0.9 - 1e-3 <= pause <= exact + 1e-3
    assert delay(made, nth, seed) == timedelta(seconds=pause)


def test_two_tasks_do_not_come_back_at_the_same_moment() -> None:
    assert len({delay(policy(), 1, f"task-{number}") for number in range(100)}) > 90


@pytest.mark.parametrize(
    ("current", "factor", "most", "wanted"),
    [
        ("64Mi", "1.5", "1Gi", "96Mi"),
        ("1Gi", "1.5", "16Gi", "1536Mi"),
        ("1Gi", "4", "2Gi", "2Gi"),
        ("2Gi", "2", "2Gi", None),
        ("100M", "1.5", "1Gi", "150000000"),
        ("1e3", "2", "1Gi", "2000"),
        ("1.5", "1.1", "10", "2"),
        ("64Mi", "1", "1Gi", None),
    ],
)
def test_memory_grows_up_to_the_most(
    current: str, factor: str, most: str, wanted: str | None
) -> None:
    assert grown(Memory(Decimal(factor), most), current) == wanted


@given(st.integers(0, 2**62))
def test_bytes_are_written_exactly(count: int) -> None:
    assert parse_quantity(format_bytes(count)) == count


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", "0.5"), ("1k", "1000"), ("2Ki", "2048"), ("1E", "1e18"), ("3e2", "300"), ("-1", "-1"),
     ("5u", "0.000005"), ("7n", "0.000000007"), (".5Gi", "536870912"), ("1e-3", "0.001")],
)  # fmt: skip
def test_a_quantity_has_an_exact_value(text: str, value: str) -> None:
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "abc", "1 Gi", "1gi", "Gi", "1.2.3", "0x10", "\u0661"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(text)
