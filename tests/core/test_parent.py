"""A schedule and its runs: once per fire time, by the policy, with everything recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from observatory.api.names import (
    ANNOTATION_ADMITTED,
    ANNOTATION_SCHEDULED_TIME,
    FINALIZER,
    LABEL_PARENT,
    LABEL_SCHEDULE,
    LABEL_TRIGGER,
)
from observatory.api.status import Status
from observatory.core.model import Refused
from observatory.core.parent import RETRY_REFUSED, concerns, plan_runs, settle_runs, tell_runs
from observatory.core.tell import tell_requests
from tests.core.builders import KEY, UID
from tests.core.family import Family, at


def test_each_fire_time_has_one_run_at_its_time() -> None:
    family = Family()
    family.until("12:16")

    assert family.begun == [
        ("12:05", at("12:05")),
        ("12:10", at("12:10")),
        ("12:15", at("12:15")),
    ]
    assert family.runs.last_schedule_time == at("12:15")


def test_it_comes_back_when_the_next_one_is_due() -> None:
    family = Family()
    assert family.plan().requeue_at == at("12:05")
    family.until("12:05")
    assert family.plan().requeue_at == at("12:10")


def test_a_run_is_an_observatory_with_the_tasks_and_without_the_schedule() -> None:
    family = Family(timeZone="Europe/Berlin", concurrencyPolicy="Forbid", maxConcurrent=2)
    family.until("12:05")

    (run,) = family.objects.values()
    metadata = run["metadata"]
    assert run["spec"] == {
        "tasks": family.manifest["spec"]["tasks"],
        "podRetention": "All",
        "maxConcurrent": 2,
    }
    assert metadata["name"].startswith("night-202601011205-")
    assert metadata["labels"] == {
        LABEL_PARENT: "night",
        LABEL_SCHEDULE: "default",
        LABEL_TRIGGER: "Schedule",
    }
    assert metadata["annotations"][ANNOTATION_SCHEDULED_TIME] == "2026-01-01T12:05:00Z"
    (owner,) = metadata["ownerReferences"]
    assert (owner["name"], owner["uid"], owner["controller"]) == (KEY.name, UID, True)
    assert metadata["finalizers"] == [FINALIZER]


def test_it_is_created_without_being_admitted() -> None:
    family = Family()
    (start,) = family.plan(at("12:05")).starts

    assert start.body is not None
    assert ANNOTATION_ADMITTED not in start.body["metadata"]["annotations"]


def test_before_its_schedule_is_recorded_nothing_of_it_begins() -> None:
    family = Family()
    first = plan_runs(family.desired, Status(), (), at("12:07"))

    assert first.starts == ()
    assert first.draft.runs.handled[0].time == at("12:00")
    assert first.requeue_at == at("12:05")


def test_a_run_that_was_created_and_not_recorded_is_recorded_later_and_is_no_second_one() -> None:
    family = Family()
    made = family.plan(at("12:05"))
    family.start(made)  # and the operator dies
    family.sleep_until("12:06")

    assert family.started() == ["12:05"]
    assert len(family.objects) == 1


def test_what_two_operators_plan_for_one_time_has_one_name() -> None:
    family = Family()
    one, other = (family.plan(at("12:05") + timedelta(seconds=late)) for late in (0, 3))

    assert one.starts == other.starts


def test_an_unrecorded_run_that_never_can_be_is_deleted_and_never_begins() -> None:
    family = Family()
    family.start(family.plan(at("12:05")))  # the plan's write is lost: another one's counts
    family.edit(concurrencyPolicy="Forbid", startingDeadlineSeconds=30)
    family.sleep_until("12:09")  # too late for it
    assert family.skipped() == [("12:05", "DeadlineExceeded")]
    family.sleep_until("12:10")

    assert family.started() == ["12:10"]
    assert [child.id.time for child in family.children if child.id] == [at("12:10")]


def test_a_stale_operator_deletes_nothing_that_another_one_may_have_recorded() -> None:
    family = Family()
    behind = family.status
    family.until("12:05")
    made = plan_runs(family.desired, behind, family.children, at("12:05"))

    assert (made.delete, made.finish, made.stop) == ((), (), ())


def test_a_run_whose_object_is_gone_is_over_and_not_made_again() -> None:
    family = Family()
    family.until("12:05")
    family.objects.clear()
    family.step(1)

    assert family.active() == []
    assert [(each.succeeded, each.reason) for each in family.runs.history] == [(False, "Deleted")]
    assert family.started() == ["12:05"]


def test_its_end_is_stored_before_its_finalizer_goes() -> None:
    family = Family()
    family.until("12:05")
    name = family.runs.active[0].name
    family.objects[name]["status"] |= {
        "phase": "Succeeded",
        "completionTime": "2026-01-01T12:05:30Z",
    }
    made = family.plan()

    assert made.draft.runs.history[-1].succeeded
    assert [child.key.name for child in made.finish] == [name]
    family.step()
    assert family.objects[name]["metadata"]["finalizers"] == []
    assert family.runs.last_success_time == at("12:05:30")


def test_a_run_deleted_before_it_began_is_over() -> None:
    family = Family()
    family.until("12:05")
    name = family.runs.active[0].name
    family.objects[name]["status"] = {}
    family.delete(name)
    family.step()

    assert (family.active(), family.objects) == ([], {})
    assert family.runs.history[-1].reason == "Deleted"


@pytest.mark.parametrize(
    ("policy", "started", "skipped"),
    [
        ("Allow", ["12:05", "12:10", "12:15"], []),
        ("Forbid", ["12:05"], [("12:10", "RunInProgress")]),
        ("Queue", ["12:05"], []),
    ],
)
def test_a_run_that_takes_longer_than_its_interval(
    policy: str, started: list[str], skipped: list[tuple[str, str]]
) -> None:
    family = Family(concurrencyPolicy=policy)
    family.until("12:16")

    assert family.started() == started
    assert family.skipped() == skipped


def test_with_forbid_times_that_follow_each_other_are_skipped_as_one() -> None:
    family = Family(concurrencyPolicy="Forbid")
    family.until("12:21")

    (skip,) = family.runs.skipped
    assert (skip.time, skip.until) == (at("12:10"), at("12:20"))
    family.end()
    family.until("12:25")
    assert family.started() == ["12:05", "12:25"]


def test_queued_runs_begin_one_after_the_other() -> None:
    family = Family(concurrencyPolicy="Queue")
    family.until("12:16")
    assert (family.active(), family.queued()) == (["12:05"], ["12:10", "12:15"])
    assert family.runs.queued[0].reason == "RunInProgress"
    family.end()
    assert (family.active(), family.queued()) == (["12:10"], ["12:15"])
    family.end()
    family.end()
    assert family.started() == ["12:05", "12:10", "12:15"]


def test_a_queue_has_an_end_and_says_so() -> None:
    family = Family("* * * * *", concurrencyPolicy="Queue")
    family.until("13:50")

    assert len(family.queued()) == 100
    assert {reason for _, reason in family.skipped()} == {"QueueFull"}


def test_a_replaced_run_is_stopped_and_the_next_begins_when_it_has_ended() -> None:
    family = Family(concurrencyPolicy="Replace")
    family.until("12:10")
    (first,) = family.runs.active
    assert (first.cancel_reason, family.queued()) == ("Replaced", ["12:10"])
    annotations = family.objects[first.name]["metadata"]["annotations"]
    assert annotations["workflow.seventh-horizon.io/stop"] == "Replaced-1"
    family.until("12:16")
    assert family.queued() == ["12:15"]
    assert family.skipped() == [("12:10", "Superseded")]
    family.end(phase="Failed", reason="Stopped")

    assert family.started() == ["12:05", "12:15"]
    assert family.runs.history[-1].reason == "Replaced"
    assert family.runs.failures == 0


@pytest.mark.parametrize("policy", ["Forbid", "Replace"])
def test_of_several_times_that_are_due_at_once_an_exclusive_policy_takes_the_latest(
    policy: str,
) -> None:
    family = Family(
        None,
        schedules=[
            {"name": "a", "schedule": "5 * * * *"},
            {"name": "b", "schedule": "7 * * * *"},
        ],
        concurrencyPolicy=policy,
    )
    family.sleep_until("12:08")

    assert family.started() == ["12:07"]
    assert family.skipped() == [("12:05", "Superseded")]


def test_two_schedules_that_fire_at_the_same_time_have_a_run_each() -> None:
    family = Family(
        None,
        schedules=[
            {"name": "utc", "schedule": "30 12 * * *"},
            {"name": "berlin", "schedule": "30 13 * * *", "timeZone": "Europe/Berlin"},
        ],
    )
    family.until("12:30")

    assert family.started() == ["12:30", "12:30"]
    assert {child.id.schedule for child in family.children if child.id} == {"utc", "berlin"}


def test_suspended_no_run_begins_and_those_that_are_on_go_on() -> None:
    family = Family()
    family.until("12:05")
    family.edit(suspend=True)
    family.until("12:16")

    assert family.started() == ["12:05"]
    assert (family.active(), family.runs.active[0].cancel_reason) == (["12:05"], None)
    assert family.runs.next_times == ()
    assert family.condition() == ("False", "Suspended")


@pytest.mark.parametrize(
    ("catch_up", "started", "skipped"),
    [
        (None, ["12:25"], [("12:05", "Missed")]),
        ({"policy": "Latest"}, ["12:25"], [("12:05", "Missed")]),
        ({"policy": "None"}, [], [("12:05", "Missed")]),
        ({"policy": "All"}, ["12:05", "12:10", "12:15", "12:20", "12:25"], []),
        ({"policy": "All", "limit": 2}, ["12:20", "12:25"], [("12:05", "Missed")]),
    ],
)
def test_missed_times_are_caught_up_on_as_it_says(
    catch_up: object, started: list[str], skipped: list[tuple[str, str]]
) -> None:
    for suspended in (False, True):
        family = Family(catchUp=catch_up) if catch_up else Family()
        if suspended:
            family.edit(suspend=True)
        family.sleep_until("12:28")
        if suspended:
            family.edit(suspend=False)

        assert family.started() == started
        assert family.skipped() == skipped


def test_without_catching_up_a_time_of_the_last_minute_is_not_missed() -> None:
    family = Family(catchUp={"policy": "None"})
    family.sleep_until("12:05:50")
    assert family.started() == ["12:05"]


def test_after_years_one_plan_catches_up_and_says_what_was_missed() -> None:
    family = Family("* * * * *")
    family.step(5 * 366 * 86_400)

    assert len(family.begun) == 1
    (skip,) = family.runs.skipped
    assert (skip.time, skip.until) == (at("12:01"), family.now - timedelta(minutes=1))


def test_later_than_the_deadline_it_is_skipped() -> None:
    family = Family(startingDeadlineSeconds=60)
    family.sleep_until("12:07")
    assert (family.started(), family.skipped()) == ([], [("12:05", "DeadlineExceeded")])
    family.sleep_until("12:10:30")
    assert family.started() == ["12:10"]


def test_a_queued_run_is_dropped_when_its_deadline_has_passed() -> None:
    family = Family(concurrencyPolicy="Queue", startingDeadlineSeconds=120)
    family.until("12:10")
    assert family.plan().requeue_at == at("12:12")
    family.sleep_until("12:12:01")

    assert family.queued() == []
    assert family.runs.skipped[-1].reason == "DeadlineExceeded"


def test_an_edited_schedule_fires_nothing_of_the_time_before_the_edit() -> None:
    family = Family("0 11 * * *")
    family.until("12:20")
    family.edit(schedule="10 12 * * *")
    family.until("13:00")
    assert family.started() == []
    family.edit(schedule="5 13 * * *")
    family.until("13:06")
    assert family.started() == ["13:05"]


def test_a_schedule_that_an_old_observatory_is_given_fires_nothing_of_the_past() -> None:
    family = Family(None)
    family.status = replace(family.status, observed_generation=1)
    family.now = at("2026-03-01T12:00")
    family.edit(schedule="@daily")

    assert family.started() == []
    assert family.runs.next_times[0] == at("2026-03-02T00:00")


def test_an_edit_with_an_error_loses_no_time_and_starts_none() -> None:
    family = Family()
    family.edit(timeZone="Mars/Base")
    family.until("12:06")
    assert (family.started(), family.condition()) == ([], ("False", "Invalid"))
    assert (family.status.message or "").startswith('spec.timeZone: Not found: "Mars/Base"')
    family.edit(timeZone="UTC")
    assert family.started() == ["12:05"]


def test_a_schedule_that_is_taken_away_leaves_its_runs_to_their_end() -> None:
    family = Family(concurrencyPolicy="Queue")
    family.until("12:10")
    family.edit(schedule=None, concurrencyPolicy=None)

    assert (family.active(), family.queued()) == (["12:05"], [])
    family.end()
    assert family.runs.history[-1].succeeded
    assert all(not child.tracked for child in family.children)


def test_the_clock_jumps_and_no_time_fires_twice() -> None:
    family = Family()
    family.until("12:11")
    family.now = at("2026-01-02T12:11")
    family.step()
    assert family.started() == ["12:05", "12:10", "12:10"]
    family.now = at("12:12")
    family.step()
    assert family.condition() == ("False", "ClockSkew")
    family.until("13:00")
    assert len(family.begun) == 3
    assert family.runs.next_times[0] == at("2026-01-02T12:15")


def test_history_keeps_what_the_limits_say() -> None:
    family = Family("* * * * *", successfulRunsHistoryLimit=2, failedRunsHistoryLimit=1)
    for minute in range(1, 9):
        family.until(f"12:0{minute}")
        if minute % 3:
            family.end()
        else:
            family.fail()

    kept = sorted(child.id.number for child in family.children if child.id)
    assert kept == [6, 7, 8]
    assert [each.id.number for each in family.runs.history] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert family.runs.history[2].reason == "TaskFailed"


def test_a_refused_run_stays_due_and_says_why() -> None:
    family = Family()
    family.refused = Refused("QuotaExceeded", "exceeded quota: objects")
    family.until("12:06")
    assert family.runs.queued[0].message == "exceeded quota: objects"
    assert "QuotaExceeded" in (family.status.message or "")
    family.refused = None
    family.step(RETRY_REFUSED.total_seconds())
    assert family.begun == [("12:05", family.now)]


def test_after_failures_in_a_row_it_pauses_and_says_so() -> None:
    family = Family(pauseAfterConsecutiveFailures=2)
    family.until("12:05")
    family.fail()
    family.until("12:10")
    family.fail()
    family.until("12:21")

    assert family.started() == ["12:05", "12:10"]
    assert family.condition() == ("False", "TooManyFailures")
    assert "2 failed runs in a row" in (family.status.message or "")
    family.request("run-now", "n1")
    family.end()
    assert family.started()[2:] == ["12:21", "12:20"]  # and what was missed meanwhile


def test_that_it_pauses_is_an_event_once() -> None:
    family = Family(pauseAfterConsecutiveFailures=1)
    family.until("12:05")
    before = family.status
    family.fail()
    (event,) = tell_requests(before, family.status, family.desired)
    assert (event.reason, event.warning) == ("SchedulePaused", True)
    assert "1 failed run in a row" in event.note
    paused = family.status
    family.until("12:10")
    assert tell_requests(paused, family.status, family.desired) == ()


@pytest.mark.parametrize("how", ["edit", "suspend"])
def test_an_edit_or_a_suspension_counts_failures_anew(how: str) -> None:
    family = Family(pauseAfterConsecutiveFailures=1)
    family.until("12:05")
    family.fail()
    assert family.condition()[1] == "TooManyFailures"
    if how == "edit":
        family.edit(maxConcurrent=2)
    else:
        family.edit(suspend=True)
        family.edit(suspend=False)
    assert family.condition() == ("True", "Scheduled")


def test_suspended_what_is_queued_does_not_begin_either() -> None:
    family = Family(concurrencyPolicy="Queue")
    family.until("12:10")
    family.edit(suspend=True)
    family.end()
    assert (family.active(), family.queued()) == ([], ["12:10"])
    assert family.runs.queued[0].reason == "Suspended"
    family.edit(suspend=False)
    assert family.active() == ["12:10"]


@pytest.mark.parametrize("reason", ["Stopped", "Terminated", "Cancelled"])
def test_what_somebody_ended_is_no_failure_in_a_row(reason: str) -> None:
    family = Family()
    family.until("12:05")
    family.fail(reason)
    assert family.runs.failures == 0


def test_a_run_of_a_schedule_that_was_taken_away_can_be_retried() -> None:
    family = Family()
    family.until("12:05")
    name = family.runs.active[0].name
    family.fail()
    family.edit(schedule=None)
    assert not concerns(family.desired, family.status, family.children)
    family.retry(name, "r1")
    assert family.active() == ["12:05"]


def test_a_schedule_that_is_taken_away_leaves_no_next_times() -> None:
    family = Family()
    family.manifest["spec"].pop("schedule")
    family.manifest["metadata"]["generation"] += 1
    assert concerns(family.desired, family.status, family.children)
    family.step()
    assert (family.runs.next_times, family.runs.handled) == ((), ())
    assert not concerns(family.desired, family.status, family.children)


def test_jitter_delays_the_run_and_not_its_fire_time() -> None:
    family = Family(jitterSeconds=120)
    assert family.desired.schedule is not None
    jitter = family.desired.schedule.entries[0].jitter
    assert timedelta(0) <= jitter <= timedelta(seconds=120)
    family.until("12:08", every=1)

    assert family.begun == [("12:05", at("12:05") + jitter)]
    assert family.runs.next_times[0] == at("12:10") + jitter


def test_the_next_five_runs_are_told() -> None:
    family = Family("0 3 * * 1-5", timeZone="Europe/Berlin")
    assert [f"{time:%a %H:%M}" for time in family.runs.next_times] == [
        "Fri 02:00",
        "Mon 02:00",
        "Tue 02:00",
        "Wed 02:00",
        "Thu 02:00",
    ]


def test_phase_and_message_answer_how_the_last_one_was() -> None:
    family = Family()
    assert family.status.phase == "Pending"
    family.until("12:05")
    name = family.runs.active[0].name
    assert (family.status.phase, family.status.message) == ("Running", f"Running {name}")
    family.fail()
    assert family.status.phase == "Failed"
    assert family.status.message == f"Last run {name} failed: TaskFailed"
    assert {each.type for each in family.status.conditions} == {"Valid", "Scheduled"}


# --- requests ---------------------------------------------------------------------------------


def test_run_now_is_one_run_with_the_same_history() -> None:
    family = Family()
    family.step(60)
    family.request("run-now", "n1")
    family.step(10)

    assert family.answer("RunNow") == (True, "run 1 begins")
    assert family.started() == ["12:01"]
    family.end()
    assert [each.id.trigger for each in family.runs.history] == ["RunNow"]
    assert family.runs.last_schedule_time is None


@pytest.mark.parametrize(
    ("policy", "accepted", "message"),
    [
        ("Forbid", False, "a run is on, and concurrencyPolicy is Forbid"),
        ("Queue", True, "run 2 begins when those before it have ended"),
        ("Replace", True, "run 2 begins when those before it have ended"),
        ("Allow", True, "run 2 begins"),
    ],
)
def test_run_now_while_a_run_is_on(policy: str, accepted: object, message: str) -> None:
    family = Family(concurrencyPolicy=policy)
    family.until("12:05")
    family.request("run-now", "n1")
    assert family.answer("RunNow") == (accepted, message)


def test_run_now_works_while_it_is_suspended() -> None:
    family = Family(suspend=True)
    family.request("run-now", "n1")
    assert family.started() == ["12:00"]


RANGE = "2025-12-31T10:00:00Z/2025-12-31T10:20:00Z"


def test_a_backfill_runs_each_time_of_its_range_so_many_at_a_time() -> None:
    family = Family()
    family.request("backfill", "n1", backfill_range=RANGE, backfill_max_concurrent="2")
    assert family.answer("Backfill")[0]
    assert family.active() == ["10:00", "10:05"]
    while family.runs.active:
        family.end(family.runs.active[0].name)
        assert len(family.runs.active) <= 2

    assert family.started() == ["10:00", "10:05", "10:10", "10:15", "10:20"]
    backfill = family.runs.backfill
    assert backfill is not None
    assert (backfill.created, backfill.succeeded, backfill.failed) == (5, 5, 0)
    assert backfill.completion_time == family.now
    assert family.runs.last_schedule_time is None


def test_a_backfill_goes_on_beside_the_schedule_and_after_a_suspension() -> None:
    family = Family(concurrencyPolicy="Forbid")
    family.request("backfill", "n1", backfill_range=RANGE)
    family.until("12:05")
    assert family.active() == ["10:00", "12:05"]
    family.edit(suspend=True)
    family.end(family.runs.active[0].name)
    assert family.active() == ["12:05"]
    family.edit(suspend=False)
    assert family.active() == ["12:05", "10:05"]


@pytest.mark.parametrize(
    ("span", "concurrency", "message"),
    [
        ("", "", "backfill-range must be two times such as"),
        ("2025-12-31T10:00:00Z", "", "backfill-range must be two times such as"),
        ("2025-12-31T10:00:00/2025-12-31T11:00:00", "", "backfill-range must be two times such as"),
        ("2025-12-31T11:00:00Z/2025-12-31T10:00:00Z", "", "must end after it begins"),
        ("2025-12-31T11:00:00Z/2026-12-31T10:00:00Z", "", "not in the future"),
        (RANGE, "0", "backfill-max-concurrent must be a number from 1 to 50"),
        (RANGE, "51", "backfill-max-concurrent must be a number from 1 to 50"),
        (RANGE, "many", "backfill-max-concurrent must be a number from 1 to 50"),
        (RANGE, "9" * 99, "backfill-max-concurrent must be a number from 1 to 50"),
        ("2025-12-31T10:01:00Z/2025-12-31T10:04:00Z", "", "no fire time is within that range"),
    ],
)
def test_a_backfill_that_makes_no_sense_is_refused_and_says_why(
    span: str, concurrency: str, message: str
) -> None:
    family = Family()
    family.request("backfill", "n1", backfill_range=span, backfill_max_concurrent=concurrency)

    accepted, told = family.answer("Backfill")
    assert not accepted
    assert message in told
    assert family.started() == []


def test_one_backfill_at_a_time() -> None:
    family = Family()
    family.request("backfill", "n1", backfill_range=RANGE)
    family.request("backfill", "n2", backfill_range=RANGE)
    assert family.answer("Backfill") == (
        False,
        "a backfill is in progress: stop it first, or wait for its end",
    )


@pytest.mark.parametrize(("what", "nonce"), [("stop", "Stopped-"), ("terminate", "Terminated-")])
def test_stop_ends_its_runs_its_queue_and_its_backfill(what: str, nonce: str) -> None:
    family = Family(concurrencyPolicy="Queue")
    family.until("12:10")
    family.request("backfill", "n1", backfill_range=RANGE)
    family.request(what, "n2")

    assert family.answer(what.capitalize()) == (True, "2 runs are being ended")
    nonces = [child.asked[what == "terminate"] for child in family.children]
    asked = {each.rstrip("0123456789") for each in nonces if each}
    assert asked == {nonce}
    assert family.queued() == []
    for each in list(family.runs.active):
        family.end(each.name, "Failed", what)
    assert family.runs.backfill is not None
    assert family.runs.backfill.completion_time is not None
    family.until("12:15")
    assert family.started()[-1] == "12:15"


def test_there_may_be_nothing_to_stop() -> None:
    family = Family()
    family.request("stop", "n1")
    assert family.answer("Stop") == (False, "no run is on: there is nothing to stop")


def test_a_schedule_is_not_retried_its_runs_are() -> None:
    family = Family()
    family.until("12:05")
    name = family.runs.active[0].name
    family.fail()
    family.request("retry", "n1")
    accepted, message = family.answer("Retry")
    assert not accepted
    assert f"observatory retry {name}" in message


def test_a_run_that_is_retried_is_on_again() -> None:
    family = Family()
    family.until("12:05")
    name = family.runs.active[0].name
    family.fail()
    family.retry(name, "r1")

    assert (family.active(), family.runs.active[0].retry) == (["12:05"], "r1")
    assert FINALIZER in family.objects[name]["metadata"]["finalizers"]
    assert family.objects[name]["metadata"]["annotations"][ANNOTATION_ADMITTED] == "retry/r1"
    family.end()
    assert [each.succeeded for each in family.runs.history] == [False, True]
    assert family.active() == []


@pytest.mark.parametrize("policy", ["Forbid", "Replace", "Queue"])
def test_a_retry_waits_for_the_run_that_is_on(policy: str) -> None:
    family = Family(concurrencyPolicy=policy)
    family.until("12:05")
    first = family.runs.active[0].name
    family.fail()
    family.until("12:10")
    family.retry(first, "r1")
    assert family.active() == ["12:10"]
    family.end()
    assert family.active() == ["12:05"]


def test_a_retry_that_was_let_and_then_refused_is_over() -> None:
    family = Family(concurrencyPolicy="Forbid")
    family.until("12:05")
    name = family.runs.active[0].name
    family.fail()
    family.retry(name, "r1")
    family.objects[name]["status"] = {
        "run": 1,
        "phase": "Failed",
        "completionTime": "2026-01-01T12:05:00Z",
        "requests": [{"type": "Retry", "nonce": "r1"}],
    }
    family.step()

    assert family.active() == []


# --- blackouts --------------------------------------------------------------------------------


def test_within_a_blackout_no_run_begins_and_the_skipped_times_are_recorded() -> None:
    window = {"name": "upgrade", "start": "2026-01-01T12:10:00Z", "end": "2026-01-01T12:20:00Z"}
    family = Family(blackouts=[window])
    assert [f"{time:%H:%M}" for time in family.runs.next_times][:3] == ["12:05", "12:20", "12:25"]
    family.until("12:21")

    assert family.started() == ["12:05", "12:20"]
    (skip,) = family.runs.skipped
    assert (skip.time, skip.until, skip.reason) == (at("12:10"), at("12:15"), "Blackout")
    assert skip.message == 'within the blackout "upgrade"'


def test_what_was_queued_before_a_blackout_begins_after_it() -> None:
    window = {"name": "upgrade", "start": "2026-01-01T12:12:00Z", "end": "2026-01-01T12:20:00Z"}
    family = Family(blackouts=[window], concurrencyPolicy="Queue")
    family.until("12:13")
    family.end()
    assert (family.queued(), family.runs.queued[0].reason) == (["12:10"], "Blackout")
    assert family.plan().requeue_at == at("12:15")
    family.request("run-now", "n1")
    family.end()
    family.until("12:20")
    assert family.started()[:3] == ["12:05", "12:13", "12:10"]


def test_after_an_outage_the_latest_time_outside_of_blackouts_is_caught_up_on() -> None:
    window = {"name": "upgrade", "start": "2026-01-01T12:10:00Z", "end": "2026-01-01T13:00:00Z"}
    family = Family(blackouts=[window])
    family.sleep_until("12:58")

    assert family.skipped() == [("12:10", "Blackout")]
    assert family.queued() == ["12:05"]
    family.until("13:00")
    assert family.started() == ["12:05", "13:00"]


def test_a_schedule_that_blackouts_cover_for_ever_says_so() -> None:
    family = Family(
        "0 3 * * *", blackouts=[{"name": "w", "schedule": "@daily", "durationSeconds": 86_400}]
    )
    assert family.condition() == ("False", "NeverFires")
    assert family.plan().requeue_at == at("2026-01-02T03:00")


# --- deletion and Events ----------------------------------------------------------------------


def test_being_deleted_it_lets_go_of_what_has_ended_and_begins_nothing() -> None:
    family = Family()
    family.until("12:05")
    family.manifest["metadata"]["deletionTimestamp"] = "2026-01-01T12:06:00Z"
    assert family.plan(at("12:10")).starts == ()
    assert family.plan().finish == ()
    name = family.runs.active[0].name
    family.delete(name)
    assert [child.key.name for child in family.plan().finish] == [name]


def test_events_tell_what_happened() -> None:
    family = Family(concurrencyPolicy="Forbid")
    family.until("12:04")
    before = family.runs
    family.until("12:10")
    name = family.runs.active[0].name
    family.fail()
    told = [(event.reason, event.note) for event in tell_runs(before, family.runs)]

    assert told == [
        ("RunFailed", f"Run {name} failed: TaskFailed"),
        (
            "RunSkipped",
            "No run for 2026-01-01T12:10Z: a run was on, and concurrencyPolicy is Forbid",
        ),
    ]


def test_what_an_earlier_answer_says_of_a_start_does_not_begin_it_twice() -> None:
    family = Family()
    made = family.plan(at("12:05"))
    answers = family.start(made)
    family.now = at("12:05")
    once = settle_runs(made, answers, family.desired, family.now)
    family.status = once
    assert family.plan().starts == ()
    assert len(once.runs.active) == 1
