"""Runs of somebody whose rights were taken away: none begins, and each says why."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.api.names import GROUP
from observatory.api.requester import RECORDED, Requester
from observatory.core.access import Access
from observatory.core.admit import SUPERSEDED
from observatory.core.parent import tell_runs
from tests.core.family import Family, at

ALICE = Requester("alice", "u-1", ("editors", "system:authenticated"))
DENIED = (
    "alice asked for this and may not create Pods in namespace default; give back that right, or "
    "have somebody who has it edit the spec, or suspend and resume it"
)


def family_of(requester: Requester = ALICE, **spec: object) -> Family:
    """A schedule that this one asked for."""
    family = Family(**spec)  # type: ignore[arg-type]
    family.manifest["metadata"]["annotations"] |= requester.annotations()
    return family


def test_a_run_carries_the_requester_of_its_schedule() -> None:
    family = family_of()
    family.until("12:05")

    (run,) = family.objects.values()
    assert Requester.of(run["metadata"]["annotations"]) == ALICE


def test_of_an_unknown_requester_a_run_carries_none() -> None:
    family = Family()
    family.until("12:05")

    (run,) = family.objects.values()
    assert not set(RECORDED) & set(run["metadata"]["annotations"])


def test_a_fire_time_of_one_who_may_not_is_skipped_and_says_who_and_what_to_do() -> None:
    family = family_of()
    family.access = Access.DENIED
    before = family.runs
    family.until("12:05")

    assert family.begun == []
    assert family.objects == {}
    (skip,) = family.runs.skipped
    assert (skip.time, skip.reason, skip.message) == (at("12:05"), "RequesterNotAllowed", DENIED)
    assert family.condition() == ("False", "RequesterNotAllowed")
    assert family.status.message == DENIED
    (event,) = tell_runs(before, family.runs)
    assert (event.reason, event.warning) == ("RunSkipped", True)
    assert event.note == f"No run for 2026-01-01T12:05Z: {DENIED}"


def test_fire_times_in_a_row_are_told_as_one_and_the_next_is_known() -> None:
    family = family_of()
    family.access = Access.DENIED
    family.until("12:15")

    (skip,) = family.runs.skipped
    assert (skip.time, skip.until) == (at("12:05"), at("12:15"))
    assert family.runs.next_times[0] == at("12:20")


def test_given_back_the_right_counts_at_the_next_fire_time_and_not_before() -> None:
    family = family_of()
    family.access = Access.DENIED
    family.until("12:06")
    family.access = Access.ALLOWED
    family.until("12:09")
    assert family.condition() == ("False", "RequesterNotAllowed")
    family.until("12:10")

    assert family.started() == ["12:10"]
    assert family.condition() == ("True", "Scheduled")


def test_what_is_said_of_one_requester_is_not_said_of_the_next() -> None:
    family = family_of()
    family.access = Access.DENIED
    family.until("12:06")
    family.manifest["metadata"]["annotations"] |= Requester("bob").annotations()
    family.step(1)

    assert family.condition() == ("True", "Scheduled")


def test_a_run_that_is_on_does_not_give_way_to_one_that_may_not_begin() -> None:
    family = family_of(concurrencyPolicy="Replace")
    family.until("12:05")
    family.access = Access.DENIED
    family.until("12:10")

    assert family.runs.active[0].cancel_reason is None
    assert family.active() == ["12:05"]
    assert family.skipped() == [("12:10", "RequesterNotAllowed")]


def test_one_that_waits_is_looked_at_when_its_turn_has_come() -> None:
    family = family_of(concurrencyPolicy="Queue")
    family.until("12:15")
    family.access = Access.DENIED
    assert family.queued() == ["12:10", "12:15"]
    family.end()

    assert family.queued() == []
    assert family.started() == ["12:05"]
    assert family.skipped() == [("12:10", "RequesterNotAllowed"), ("12:15", "RequesterNotAllowed")]


@pytest.mark.parametrize("what", ["run-now", "backfill"])
def test_a_request_of_one_who_may_not_is_refused(what: str) -> None:
    family = family_of()
    family.until("12:01")
    family.access = Access.DENIED
    span = {"backfill_range": "2026-01-01T10:00:00Z/2026-01-01T11:00:00Z"}
    family.request(what, "n1", **(span if what == "backfill" else {}))

    assert family.answer("RunNow" if what == "run-now" else "Backfill") == (False, DENIED)
    assert family.begun == []
    assert family.skipped() == []


def test_a_backfill_ends_when_its_requester_may_not_go_on() -> None:
    family = family_of()
    family.until("12:01")
    family.request("backfill", "n1", backfill_range="2026-01-01T10:00:00Z/2026-01-01T11:00:00Z")
    assert family.active() == ["10:00"]
    family.access = Access.DENIED
    family.end()

    backfill = family.runs.backfill
    assert backfill is not None
    assert (backfill.stopped, backfill.created) == (DENIED, 1)
    assert backfill.completion_time is not None
    assert family.started() == ["10:00"]


def test_without_an_answer_nothing_begins_and_nothing_is_skipped() -> None:
    family = family_of(concurrencyPolicy="Replace")
    family.until("12:05")
    family.access = Access.UNKNOWN
    family.until("12:11")

    assert family.active() == ["12:05"]
    assert family.runs.active[0].cancel_reason is None
    assert family.skipped() == []
    assert family.condition() == ("False", "RequesterNotChecked")
    assert family.status.message is not None
    assert "whether alice may create Pods in namespace default" in family.status.message
    family.end(phase="Failed")
    assert family.runs.history[-1].succeeded is False
    family.access = Access.ALLOWED
    family.step(1)
    assert family.started() == ["12:05", "12:10"]
    assert family.condition() == ("True", "Scheduled")


def test_without_an_answer_a_request_waits_for_its_own() -> None:
    family = family_of()
    family.until("12:01")
    family.access = Access.UNKNOWN
    family.request("run-now", "n1")
    assert family.status.requests == ()
    family.access = Access.ALLOWED
    family.step(1)

    assert family.answer("RunNow")[0]
    assert len(family.begun) == 1


def test_without_an_answer_one_of_the_queue_says_what_it_waits_for() -> None:
    family = family_of(concurrencyPolicy="Queue")
    family.until("12:10")
    family.access = Access.UNKNOWN
    family.end()

    (waits,) = family.runs.queued
    assert waits.reason == "RequesterNotChecked"
    assert waits.message is not None
    assert "alice" in waits.message


@settings(deadline=None, max_examples=50)
@given(
    policy=st.sampled_from(["Allow", "Forbid", "Replace", "Queue"]),
    minutes=st.lists(
        st.tuples(st.sampled_from([*Access]), st.booleans(), st.booleans()), max_size=9
    ),
)
def test_whatever_is_answered_each_fire_time_has_one_run_or_one_reason(
    policy: str, minutes: list[tuple[Access, bool, bool]]
) -> None:
    family = family_of(schedule="* * * * *", concurrencyPolicy=policy, catchUp={"policy": "All"})
    for access, ends, asks in minutes:
        family.access = access
        if ends and family.runs.active:
            family.end()
        family.step(30)
        if asks:
            family.request("run-now", f"{family.now:%H%M}")
        family.step(30)
    family.access = Access.ALLOWED
    while family.runs.active:
        family.end()
    family.step(1)

    ran = [over.id.time for over in family.runs.history if over.id.trigger == "Schedule"]
    ran += [on.id.time for on in family.runs.active if on.id.trigger == "Schedule"]
    assert len(ran) == len(set(ran))
    time = at("12:01")
    while time <= family.now:
        skips = [one for one in family.runs.skipped if one.time <= time <= (one.until or one.time)]
        queued = [one for one in family.runs.queued if one.id.time == time]
        assert (time in ran) + len(skips) + len(queued) >= 1, f"nothing says why not {time}"
        # A run that was asked for at that very second may have given way to the schedule's.
        if any(asks for _, _, asks in minutes):
            skips = [one for one in skips if one.reason != SUPERSEDED]
        assert not (time in ran and (skips or queued))
        time += timedelta(minutes=1)


def test_names_of_requests_are_of_our_group() -> None:
    assert all(name.startswith(f"{GROUP}/requested-by") for name in RECORDED)
