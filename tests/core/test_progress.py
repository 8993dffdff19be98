from __future__ import annotations

from dataclasses import replace

import pytest

from observatory.api.taskstatus import TaskPhase
from observatory.core.allowance import Allowance
from observatory.core.fit import LIMIT, room_for_pods
from observatory.core.model import Answers, Observed, Refused
from observatory.core.plan import plan
from observatory.core.progress import STARTS_AT_ONCE
from observatory.core.settle import settle
from tests.core.builders import (
    CHAIN,
    FAILED,
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


def test_a_wide_fan_out_takes_several_plans() -> None:
    wide = wanted({f"t{index}": [] for index in range(STARTS_AT_ONCE + 1)})

    made = planned(wide, begun(wide))

    assert len(made.starts) == STARTS_AT_ONCE
    last = settled(made, wide).tasks[-1]
    assert (last.phase, last.reason) == (TaskPhase.PENDING, "StartPending")


@pytest.mark.parametrize(
    ("reason", "order"),
    [
        ("AdmissionDenied", ["b", "c", "a"]),
        ("WebhookFailed", ["b", "c", "a"]),
        ("QuotaExceeded", ["a", "b", "c"]),
        ("StartPending", ["a", "b", "c"]),
    ],
)
def test_whose_own_pod_was_refused_is_tried_last(reason: str, order: list[str]) -> None:
    first, *others = begun(TRIO).tasks
    waits = replace(first, reason=reason, since=later(0))
    status = replace(begun(TRIO), tasks=(waits, *others))

    made = planned(TRIO, status)

    assert [start.attempt.task for start in made.starts] == order
    assert made.draft.tasks[0] == waits


def test_a_failure_skips_down_to_the_last_dependent_and_says_whose_fault_it_is() -> None:
    made = planned(CHAIN, running(CHAIN, "a"), pod_of(CHAIN, "a", outcome=FAILED))

    _, b, c = made.draft.tasks
    assert (b.reason, b.message) == ("DependencyFailed", 'Task "a", which it depends on, failed')
    assert c.message == 'Task "b", which it depends on, was skipped'


def test_one_failed_need_of_two_is_enough() -> None:
    join = wanted({"a": [], "b": [], "j": ["a", "b"]})

    made = planned(join, running(join, "a", "b"), pod_of(join, "a", outcome=FAILED),
                   pod_of(join, "b"))  # fmt: skip

    assert phases(made.draft) == {"a": "Failed", "b": "Running", "j": "Skipped"}


def test_a_wait_for_a_slot_is_told_and_forgotten_when_there_is_one() -> None:
    limited = wanted({"a": [], "b": [], "c": []}, maxConcurrent=1)

    made = planned(limited, begun(limited))
    reasons = [row.reason for row in made.draft.tasks]
    assert reasons == ["StartPending", "MaxConcurrent", "MaxConcurrent"]

    freed = planned(TRIO, made.draft)
    assert [row.reason for row in freed.draft.tasks] == ["StartPending"] * 3
    assert len(freed.starts) == 3


@pytest.mark.parametrize("full", [False, True])
def test_two_tasks_that_are_refused_do_not_take_turns_in_being_told(*, full: bool) -> None:
    limited = wanted({"a": [], "b": []}, maxConcurrent=1)
    if full:
        size = next(n for n in range(LIMIT, 0, -1) if room_for_pods(n, ("a", "b")) == 1)
        limited = replace(limited, max_concurrent=None, size=size)
    denied = Refused("AdmissionDenied", "no")
    status = begun(limited)
    for second in range(3):
        made = planned(limited, status, now=later(second))
        names = [start.attempt.task for start in made.starts]
        answers = Answers(started={}, refused=dict.fromkeys(names, denied))
        status = settle(made, answers, limited, later(second))
        waits = [(row.reason, row.since) for row in status.tasks]
        expected = [("AdmissionDenied", later(0)), ("AdmissionDenied", later(1))]
        assert waits == (expected if second else waits)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_run_has_no_more_pods_than_the_operator_lets_it_have(most: int) -> None:
    wide = wanted({name: [] for name in "abcd"})
    pods = (pod_of(wide, "a"),)
    held = Observed(running(wide, "a"), pods, wide.program, allowance=Allowance(most))

    made = plan(wide, held, later(0))

    assert len(made.starts) == most - 1
    waits = [row for row in made.draft.tasks if row.reason == "RunLimit"]
    assert len(waits) == 4 - most
    wait = made.draft.waiting_for[0]
    assert wait.tasks == len(waits)
    assert wait.message == (
        f"this operator lets a run have {most} active Pods (--max-active-pods-per-run); "
        "goes on as others end"
    )
    assert f"RunLimit: {waits[0].name}" in (made.draft.message or "")
    assert sum(row.message is not None for row in waits) == 1  # thousands may wait


def test_what_the_user_limits_is_told_before_what_the_operator_limits() -> None:
    limited = wanted({"a": [], "b": []}, maxConcurrent=1)
    held = Observed(begun(limited), (), limited.program, allowance=Allowance(1))

    assert plan(limited, held, later(0)).draft.tasks[1].reason == "MaxConcurrent"


def test_a_lower_limit_ends_nothing_and_starts_nothing() -> None:
    limited = replace(TRIO, max_concurrent=1)

    made = planned(limited, running(TRIO, "a", "b"), pod_of(TRIO, "a"), pod_of(TRIO, "b"))

    assert (made.starts, made.delete) == ((), ())


def test_suspension_is_told_on_what_could_start() -> None:
    made = planned(replace(CHAIN, suspend=True), begun(CHAIN), now=later(3))

    assert [row.reason for row in made.draft.tasks] == ["Suspended", None, None]


def test_a_name_conflict_is_told_with_its_remedy_and_blocks_no_other_task() -> None:
    made = planned(TRIO, begun(TRIO), pod_of(TRIO, "a"))

    row = made.draft.tasks[0]
    assert row.reason == "NameConflict"
    assert "delete it to go on" in (row.message or "")
    assert [start.attempt.task for start in made.starts] == ["b", "c"]


def test_the_pod_of_a_name_conflict_can_be_deleted_as_the_user_was_told() -> None:
    told = planned(CHAIN, begun(CHAIN), pod_of(CHAIN, "a")).draft

    deleted = pod_of(CHAIN, "a", deleting=True, outcome=FAILED)

    made = planned(CHAIN, told, deleted)
    assert [pod.uid for pod in made.let_go] == ["uid-a"]
    assert made.finish == ()  # a newer status may record it: only a look tells


def test_a_failed_task_is_not_started_again() -> None:
    status = planned(TRIO, running(TRIO, "a"), pod_of(TRIO, "a", outcome=FAILED)).draft

    assert "a" not in {start.attempt.task for start in planned(TRIO, status).starts}


def test_no_more_pods_run_at_once_than_the_status_has_room_to_record() -> None:
    names = [f"t{index}" for index in range(5)]
    size = next(size for size in range(LIMIT, 0, -1) if room_for_pods(size, names) == 2)
    tight = replace(wanted({name: [] for name in names}), size=size)

    made = planned(tight, begun(tight))

    assert [start.attempt.task for start in made.starts] == ["t0", "t1"]
    assert [row.reason for row in made.draft.tasks[2:]] == ["StatusFull"] * 3
    assert planned(tight, running(tight, "t0", "t1")).starts == ()
