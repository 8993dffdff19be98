from __future__ import annotations

from observatory.api.names import OBSERVATORIES, PODS
from observatory.machinery.consistency import ConsistencyStore


def test_an_owner_waits_until_every_cache_has_seen_its_last_write() -> None:
    written = ConsistencyStore()
    written.wrote("uid-1", PODS, 12)
    written.wrote("uid-1", OBSERVATORIES, 20)

    assert written.lagging("uid-1", {PODS: 11, OBSERVATORIES: 19}) == {PODS: 12, OBSERVATORIES: 20}
    assert written.lagging("uid-1", {PODS: 12, OBSERVATORIES: 19}) == {OBSERVATORIES: 20}
    assert written.lagging("uid-1", {PODS: 13, OBSERVATORIES: 20}) == {}


def test_the_newest_write_counts_whatever_order_the_answers_came_in() -> None:
    written = ConsistencyStore()

    written.wrote("uid-1", PODS, 100)
    written.wrote("uid-1", PODS, 99)

    assert written.lagging("uid-1", {PODS: 99}) == {PODS: 100}


def test_a_bookmark_opens_the_gate_however_far_it_jumps() -> None:
    written = ConsistencyStore()
    written.wrote("uid-1", PODS, 12)

    assert written.lagging("uid-1", {PODS: 4_000_000_000_000}) == {}


def test_a_namesake_with_another_uid_starts_clean() -> None:
    written = ConsistencyStore()
    written.wrote("uid-of-the-deleted", PODS, 12)

    assert written.lagging("uid-of-the-namesake", {PODS: 3}) == {}


def test_a_resource_that_nobody_watches_is_not_waited_for() -> None:
    written = ConsistencyStore()
    written.wrote("uid-1", PODS, 12)

    assert written.lagging("uid-1", {OBSERVATORIES: 3}) == {}


def test_ten_minutes_of_lag_end_with_the_event_and_not_with_a_clock() -> None:
    written = ConsistencyStore()
    written.wrote("uid-1", PODS, 12)

    asked = [written.lagging("uid-1", {PODS: 11}) for _ in range(600)]

    assert asked == [{PODS: 12}] * 600
    assert written.lagging("uid-1", {PODS: 12}) == {}


def test_nothing_is_remembered_of_owners_that_caught_up_or_went_away() -> None:
    written = ConsistencyStore()
    written.wrote("caught up", PODS, 12)
    written.wrote("gone", PODS, 12)
    written.wrote("behind", PODS, 12)

    written.lagging("caught up", {PODS: 12})
    written.forget("gone")
    written.forget("never known")
    written.lagging("behind", {PODS: 3})

    assert len(written) == 1
