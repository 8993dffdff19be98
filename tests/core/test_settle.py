from __future__ import annotations

from dataclasses import replace

import pytest

from observatory.api.status import Phase, Status
from observatory.api.taskstatus import TaskPhase
from observatory.core.model import Answers, Outcome, PodRef, Refused
from observatory.core.settle import retry_at, settle
from observatory.core.tell import tell
from tests.core.builders import (
    CHAIN,
    FAILED,
    NOW,
    TRIO,
    begun,
    later,
    phases,
    planned,
    pod_of,
    running,
    settled,
    wanted,
)

QUOTA = Refused("QuotaExceeded", "exceeded quota: pods=10")
PLANNED = planned(CHAIN, begun(CHAIN))
DENIED = Refused("AdmissionDenied", "violates PodSecurity")


def refuse(status: Status, refused: Refused, seconds: float = 0) -> Status:
    """The status after the start of "a" in CHAIN was refused."""
    made = planned(CHAIN, status, now=later(seconds))
    return settle(made, Answers({}, {"a": refused}), CHAIN, later(seconds))


def test_without_answers_the_draft_is_the_status() -> None:
    made = planned(CHAIN, begun(CHAIN))

    assert settle(made, Answers({}, {}), CHAIN, NOW) is made.draft


def test_an_answered_start_is_recorded_with_its_uid() -> None:
    status = settled(planned(TRIO, begun(TRIO)), TRIO)

    assert phases(status) == dict.fromkeys("abc", "Running")
    assert [row.pod_uid for row in status.tasks] == ["uid-a", "uid-b", "uid-c"]


def test_a_start_that_nothing_was_heard_of_stays_open() -> None:
    made = planned(TRIO, begun(TRIO))

    status = settle(made, Answers({"b": PodRef("p", "u")}, {}), TRIO, NOW)

    assert phases(status) == {"a": "Pending", "b": "Running", "c": "Pending"}


def test_a_pod_that_is_gone_is_lost_and_its_attempt_is_over() -> None:
    made = planned(CHAIN, running(CHAIN, "a"))

    status = settle(made, Answers({}, {}, frozenset({"uid-a"})), CHAIN, NOW)

    assert (status.tasks[0].phase, status.tasks[0].reason) == (TaskPhase.FAILED, "PodLost")
    assert planned(CHAIN, status).starts == ()


def test_a_refusal_is_what_the_task_waits_for() -> None:
    status = refuse(begun(CHAIN), QUOTA)

    (row, *_) = status.tasks
    assert (row.phase, row.attempt, row.reason) == (TaskPhase.PENDING, 0, "QuotaExceeded")
    assert status.message == "QuotaExceeded: a: exceeded quota: pods=10"


def test_another_wording_of_a_refusal_is_no_news() -> None:
    status = refuse(begun(CHAIN), QUOTA)

    assert refuse(status, replace(QUOTA, message="exceeded quota: pods=11"), 5) == status


def test_a_refusal_whose_time_was_not_stored_is_tried_again_all_the_same() -> None:
    status = refuse(begun(CHAIN), QUOTA)
    first, *others = status.tasks
    stored = replace(status, tasks=(replace(first, since=None), *others))

    assert retry_at(PLANNED, refuse(stored, QUOTA, 9), {"a": QUOTA}, later(9)) == later(14)


def test_who_is_not_tried_because_the_namespace_takes_none_waits_for_the_same() -> None:
    made = planned(TRIO, begun(TRIO))

    status = settle(made, Answers({}, {"a": QUOTA}, held_back=QUOTA), TRIO, NOW)

    assert [(row.reason, row.message) for row in status.tasks] == [
        (QUOTA.reason, QUOTA.message)
    ] * 3
    again = planned(TRIO, status, now=later(5))
    worded = replace(QUOTA, message="exceeded quota: pods=11")
    assert settle(again, Answers({}, {"a": worded}, held_back=worded), TRIO, later(5)) == status


def test_who_waits_for_something_of_its_own_keeps_that_while_it_is_held_back() -> None:
    first, *others = refuse(begun(TRIO), DENIED).tasks
    made = planned(TRIO, replace(begun(TRIO), tasks=(first, *others)))

    status = settle(made, Answers({}, {"b": QUOTA}, held_back=QUOTA), TRIO, later(9))

    assert [row.reason for row in status.tasks] == [DENIED.reason, QUOTA.reason, QUOTA.reason]
    assert status.tasks[0].since == NOW


def test_a_permanent_refusal_fails_the_task() -> None:
    status = refuse(begun(CHAIN), Refused("InvalidPod", "no", permanent=True))

    (row, *_) = status.tasks
    assert (row.phase, row.attempt, row.reason) == (TaskPhase.FAILED, 1, "InvalidPod")


@pytest.mark.parametrize(("seconds", "phase"), [(59, "Pending"), (60, "Failed")])
def test_admission_may_deny_for_a_minute(seconds: float, phase: str) -> None:
    status = refuse(refuse(begun(CHAIN), DENIED), DENIED, seconds)

    assert phases(status)["a"] == phase


def test_a_quota_may_be_full_for_ever() -> None:
    assert phases(refuse(refuse(begun(CHAIN), QUOTA), QUOTA, 10**6))["a"] == "Pending"


@pytest.mark.parametrize(("waited", "delay"), [(0, 5), (3, 5), (40, 40), (10_000, 300)])
def test_the_longer_it_waits_the_longer_it_waits(waited: float, delay: float) -> None:
    status = refuse(begun(CHAIN), QUOTA)

    assert retry_at(PLANNED, status, {"a": QUOTA}, later(waited)) == later(waited + delay)


def test_what_is_not_tried_again_needs_no_time() -> None:
    failed = refuse(begun(CHAIN), Refused("InvalidPod", "no", permanent=True))

    assert retry_at(PLANNED, failed, {"a": QUOTA}, NOW) is None


def reasons(before: Status, after: Status) -> list[str]:
    return [event.reason for event in tell(before, after, CHAIN)]


def test_each_failure_and_each_end_is_told_once() -> None:
    before = running(CHAIN, "a")
    after = planned(CHAIN, before, pod_of(CHAIN, "a", outcome=FAILED)).draft

    assert reasons(before, after) == ["TaskFailed", "RunFailed"]
    assert reasons(after, after) == []


@pytest.mark.parametrize(
    ("message", "note"),
    [("boom", 'Task "a" failed: Error: boom'), (None, 'Task "a" failed: Error')],
)
def test_an_event_of_a_failure_ends_where_there_is_no_more_to_tell(
    message: str | None, note: str
) -> None:
    before = running(CHAIN, "a")
    outcome = Outcome(succeeded=False, reason="Error", message=message, exit_code=1)
    after = planned(CHAIN, before, pod_of(CHAIN, "a", outcome=outcome)).draft

    assert tell(before, after, CHAIN)[0].note == note


def test_a_success_is_told_with_its_duration() -> None:
    before = running(CHAIN, "a")
    after = replace(
        before,
        phase=Phase.SUCCEEDED,
        completion_time=later(72),
        progress="3/3",
        duration="1m12s",
    )

    (event,) = tell(before, after, CHAIN)

    assert (event.reason, event.warning) == ("RunSucceeded", False)
    assert event.note == "Run 1 succeeded: 3/3 tasks in 1m12s"


def test_an_invalid_spec_is_told_once_and_again_when_its_errors_change() -> None:
    one = wanted({"a": ["x"]})
    before = planned(one, Status()).draft
    two = wanted({"a": ["y"]})

    assert [event.reason for event in tell(Status(), before, one)] == ["Invalid"]
    assert tell(before, before, one) == ()
    assert [e.reason for e in tell(before, planned(two, before).draft, two)] == ["Invalid"]
