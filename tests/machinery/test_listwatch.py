from __future__ import annotations

from collections.abc import Mapping

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.types import JsonObject
from observatory.machinery.instant import Instant
from observatory.machinery.listwatch import ListWatch
from observatory.machinery.messages import (
    Bookmark,
    Closed,
    Delete,
    Event,
    Failed,
    ListPage,
    Malformed,
    Operation,
    Page,
    Replace,
    Request,
    TimedOut,
    Upsert,
    Wait,
    Watch,
)

EXPIRED = Failed(410, "Expired", "too old resource version: 5 (9)")
TOO_LARGE = Failed(504, "Timeout", "x", {"causes": [{"reason": "ResourceVersionTooLarge"}]})
TOO_LARGE_IN_WORDS = Failed(504, "Timeout", "Too large resource version: 9, current: 5")
BUSY = Failed(429, "TooManyRequests", "slow down", {}, 1.0)
REFUSED = Failed(None, message="connection refused")
INVALID = Failed(422, "Invalid", "sendInitialEvents is forbidden")
BROKEN = Failed(500, "InternalError", "etcd is not well")


def at(seconds: float) -> Instant:
    return Instant(seconds)


def pod(name: str, version: int) -> JsonObject:
    metadata = {"namespace": "night", "name": name, "uid": f"uid-{name}"}
    return {"metadata": {**metadata, "resourceVersion": str(version)}}


def page(version: int, *names: str, more: str = "") -> Page:
    metadata = {"resourceVersion": str(version), "continue": more}
    return Page({"metadata": metadata, "items": [pod(name, version) for name in names]})


def event(kind: str, obj: JsonObject) -> Event:
    return Event({"type": kind, "object": obj})


def bookmark(version: int, *, initial: bool = False) -> Event:
    metadata: JsonObject = {"resourceVersion": str(version)}
    if initial:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return event("BOOKMARK", {"metadata": metadata})


def error(failed: Failed) -> Event:
    details = {**failed.details, "retryAfterSeconds": failed.retry_after}
    status = {"code": failed.code, "reason": failed.reason, "message": failed.message}
    return event("ERROR", {**status, "details": details})


def lister() -> ListWatch:
    return ListWatch("test", watch_list=False)


def watching(version: int = 5) -> ListWatch:
    """Has listed `vega` at `version` and opened its first watch at 0 s."""
    machine = lister()
    assert isinstance(machine.next_request(at(0)), ListPage)
    machine.receive(page(version, "vega"), at(0))
    assert isinstance(machine.next_request(at(0)), Watch)
    return machine


def params(request: Request) -> Mapping[str, str]:
    assert isinstance(request, ListPage | Watch)
    return request.params


def is_watch_list(request: Request) -> bool:
    return isinstance(request, Watch) and "sendInitialEvents" in request.params


def after_waiting(machine: ListWatch, now: Instant) -> tuple[Request, Instant]:
    """The next request that is none to wait, and when it is made."""
    request = machine.next_request(now)
    if isinstance(request, Wait):
        assert request.until > now
        return machine.next_request(request.until), request.until
    return request, now


# Listing


def test_a_list_is_followed_by_a_watch_from_its_version() -> None:
    machine = lister()

    first = machine.next_request(at(0))
    operations = machine.receive(page(5, "vega", "deneb"), at(0))
    second = machine.next_request(at(0))

    assert params(first) == {"resourceVersion": "", "limit": "500"}
    assert operations == (Replace((pod("vega", 5), pod("deneb", 5)), 5),)
    assert isinstance(second, Watch)
    assert second.params["resourceVersion"] == "5"
    assert second.params["allowWatchBookmarks"] == "true"
    assert "sendInitialEvents" not in second.params


def test_a_watch_begins_at_the_version_of_the_list_whatever_versions_its_objects_have() -> None:
    machine = lister()
    machine.next_request(at(0))
    items = [pod("vega", 4), pod("deneb", 2)]

    machine.receive(Page({"metadata": {"resourceVersion": "5"}, "items": items}), at(0))

    assert params(machine.next_request(at(0)))["resourceVersion"] == "5"


def test_selectors_are_part_of_every_request() -> None:
    machine = ListWatch("test", selectors={"labelSelector": "run=m31"})
    requests = [machine.next_request(at(0))]
    machine.receive(INVALID, at(0))
    requests.append(machine.next_request(at(0)))
    machine.receive(page(5, more="token"), at(0))
    requests.append(machine.next_request(at(0)))
    machine.receive(page(5), at(0))
    requests.append(machine.next_request(at(0)))

    assert [params(request)["labelSelector"] for request in requests] == ["run=m31"] * 4


def test_pages_are_collected_and_later_ones_asked_for_by_token_alone() -> None:
    machine = lister()
    machine.next_request(at(0))

    nothing_yet = machine.receive(page(5, "vega", more="token"), at(0))
    second = machine.next_request(at(0))
    operations = machine.receive(page(5, "deneb"), at(0))

    assert nothing_yet == ()
    assert params(second) == {"limit": "500", "continue": "token"}
    assert operations == (Replace((pod("vega", 5), pod("deneb", 5)), 5),)


def test_a_token_that_expired_makes_it_one_whole_list_at_once() -> None:
    machine = lister()
    machine.next_request(at(0))
    machine.receive(page(5, "vega", more="token"), at(0))
    machine.next_request(at(0))

    machine.receive(EXPIRED, at(0))
    whole = machine.next_request(at(0))
    operations = machine.receive(page(9, "deneb"), at(0))

    assert params(whole) == {"resourceVersion": ""}
    assert operations == (Replace((pod("deneb", 9),), 9),)


def test_a_page_that_failed_otherwise_starts_the_list_anew_after_a_pause() -> None:
    machine = lister()
    machine.next_request(at(0))
    machine.receive(page(5, "vega", more="token"), at(0))
    machine.next_request(at(0))

    machine.receive(BROKEN, at(0))
    again, now = after_waiting(machine, at(0))
    operations = machine.receive(page(6), now)

    assert now >= 0.8
    assert params(again) == {"resourceVersion": "", "limit": "500"}
    assert operations == (Replace((), 6),)


def test_a_relist_is_at_the_last_version_and_without_limit() -> None:
    machine = watching()
    machine.receive(event("MODIFIED", pod("vega", 8)), at(3))

    machine.receive(error(EXPIRED), at(3))
    relist, _ = after_waiting(machine, at(3))

    assert relist == ListPage({"resourceVersion": "8"})


@pytest.mark.parametrize("refusal", [EXPIRED, TOO_LARGE, TOO_LARGE_IN_WORDS])
def test_a_relist_that_is_refused_is_made_consistent_at_once_and_only_once(
    refusal: Failed,
) -> None:
    machine = watching()
    machine.receive(error(EXPIRED), at(3))
    relist, now = after_waiting(machine, at(3))

    machine.receive(refusal, now)
    consistent = machine.next_request(now)
    machine.receive(refusal, now)
    pause = machine.next_request(now)

    assert params(relist)["resourceVersion"] == "5"
    assert consistent == ListPage({"resourceVersion": "", "limit": "500"})
    assert isinstance(pause, Wait)


def test_a_list_that_succeeded_trusts_versions_again() -> None:
    machine = watching()
    machine.receive(error(EXPIRED), at(3))
    _, now = after_waiting(machine, at(3))
    machine.receive(TOO_LARGE, now)
    machine.next_request(now)
    machine.receive(page(20), now)
    machine.next_request(now)

    machine.receive(error(EXPIRED), now)
    relist, _ = after_waiting(machine, now)

    assert params(relist)["resourceVersion"] == "20"


def test_a_busy_server_says_when_to_list_again() -> None:
    machine = lister()
    machine.next_request(at(0))

    machine.receive(Failed(429, "TooManyRequests", retry_after=17.0), at(0))

    assert machine.next_request(at(0)) == Wait(at(17))


@pytest.mark.parametrize(
    "body",
    [
        {"items": []},
        {"metadata": {"resourceVersion": "5"}},
        {"metadata": {"resourceVersion": "5"}, "items": {}},
    ],
)
def test_what_is_no_list_does_not_empty_the_store(body: JsonObject) -> None:
    machine = lister()
    machine.next_request(at(0))

    (operation,) = machine.receive(Page(body), at(0))
    again, now = after_waiting(machine, at(0))

    assert isinstance(operation, Malformed)
    assert isinstance(again, ListPage)
    assert now >= 0.8


def test_an_empty_list_may_be_null() -> None:
    machine = lister()
    machine.next_request(at(0))

    body = {"metadata": {"resourceVersion": "5"}, "items": None}

    assert machine.receive(Page(body), at(0)) == (Replace((), 5),)


def test_a_bad_object_in_a_list_is_skipped_and_reported() -> None:
    machine = lister()
    machine.next_request(at(0))
    bad: list[object] = [None, {"metadata": None}, {"metadata": {"name": "x"}}]
    bad += [pod("x", 5) | {"metadata": {"name": "x", "uid": "u", "resourceVersion": "v5"}}]
    bad += [
        pod("x", 5)
        | {"metadata": {"name": "x", "uid": "u", "resourceVersion": "\N{THAI DIGIT FIVE}"}}
    ]
    bad += [{"metadata": {"resourceVersion": "5", "uid": "u"}}]

    body = {"metadata": {"resourceVersion": "5"}, "items": [*bad, pod("vega", 5)]}
    *skipped, replace = machine.receive(Page(body), at(0))

    assert [each.what for each in skipped if isinstance(each, Malformed)] == bad
    assert replace == Replace((pod("vega", 5),), 5)


# Watching


def test_events_become_operations_and_move_the_version() -> None:
    machine = watching()

    operations = [
        machine.receive(event("ADDED", pod("deneb", 6)), at(1)),
        machine.receive(event("MODIFIED", pod("deneb", 7)), at(2)),
        machine.receive(event("DELETED", pod("vega", 8)), at(3)),
        machine.receive(bookmark(9), at(4)),
    ]
    machine.receive(Closed(), at(5))

    assert operations == [
        (Upsert(pod("deneb", 6)),),
        (Upsert(pod("deneb", 7)),),
        (Delete(pod("vega", 8)),),
        (Bookmark(9),),
    ]
    assert params(machine.next_request(at(5)))["resourceVersion"] == "9"


@pytest.mark.parametrize("lifetime", [0.1, 400.0])
def test_a_stream_that_ended_after_events_is_taken_up_again_at_once(lifetime: float) -> None:
    machine = watching()
    machine.receive(event("MODIFIED", pod("vega", 6)), at(0.05))
    machine.receive(bookmark(6), at(0.06))

    machine.receive(Closed(), at(lifetime))

    again = machine.next_request(at(lifetime))
    assert isinstance(again, Watch)
    assert again.params["resourceVersion"] == "6"


def test_a_stream_that_was_quiet_for_its_time_is_taken_up_again_at_once() -> None:
    machine = watching()

    machine.receive(Closed(), at(1))

    assert isinstance(machine.next_request(at(1)), Watch)


@pytest.mark.parametrize("empty", [None, bookmark(5), event("ADDED", {"metadata": {}})])
def test_a_stream_that_ends_at_once_and_brought_nothing_new_means_a_pause_and_a_list(
    empty: Event | None,
) -> None:
    machine = watching()
    if empty is not None:
        machine.receive(empty, at(0.1))

    machine.receive(Closed(), at(0.9))
    request, now = after_waiting(machine, at(0.9))

    assert now - 0.9 >= 0.8
    assert request == ListPage({"resourceVersion": "5"})


def test_a_stream_is_judged_by_what_it_brought_itself() -> None:
    machine = watching()
    machine.receive(event("MODIFIED", pod("vega", 6)), at(0.1))
    machine.receive(Closed(), at(0.2))
    machine.next_request(at(0.2))

    machine.receive(Closed(), at(0.3))
    request, now = after_waiting(machine, at(0.3))

    assert now - 0.3 >= 0.8
    assert isinstance(request, ListPage)


@pytest.mark.parametrize("watch_list", [True, False])
def test_a_server_that_closes_every_stream_at_once_is_asked_less_than_ten_times_in_ten_seconds(
    watch_list: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    machine = ListWatch("test", watch_list=watch_list)
    now, requests = at(0), 0

    while now < 10.0 and requests < 10:  # or else it would be asked without end
        request = machine.next_request(now)
        if isinstance(request, Wait):
            now = request.until
            continue
        requests += 1
        machine.receive(page(5) if isinstance(request, ListPage) else Closed(), now)

    assert 4 < requests < 10


@pytest.mark.parametrize("failed", [BUSY, REFUSED])
def test_a_watch_that_could_not_be_opened_for_now_is_tried_again_and_nothing_listed(
    failed: Failed,
) -> None:
    machine = watching()

    machine.receive(failed, at(0))
    again, now = after_waiting(machine, at(0))

    assert now >= 0.8
    assert isinstance(again, Watch)
    assert again.params["resourceVersion"] == "5"


def test_no_event_stops_the_watch_for_longer_than_five_minutes() -> None:
    machine = watching()
    machine.receive(error(Failed(429, "TooManyRequests", retry_after=1e12)), at(3))

    assert machine.next_request(at(3)) == Wait(at(303))


def test_a_busy_server_in_the_stream_means_a_pause_and_the_same_version() -> None:
    machine = watching()

    machine.receive(error(Failed(429, "TooManyRequests", retry_after=20.0)), at(3))

    assert not machine.streaming
    assert machine.next_request(at(3)) == Wait(at(23))
    assert params(machine.next_request(at(23)))["resourceVersion"] == "5"


@pytest.mark.parametrize("failed", [BROKEN, EXPIRED, Failed(403, "Forbidden")])
def test_a_watch_that_was_refused_means_a_pause_and_a_list(failed: Failed) -> None:
    machine = watching()

    machine.receive(failed, at(0))
    request, now = after_waiting(machine, at(0))

    assert now >= 0.8
    assert isinstance(request, ListPage)


@pytest.mark.parametrize(
    "failed",
    [
        EXPIRED,
        Failed(410, "Gone"),
        BROKEN,
        Failed(500, "StoreReadError", "corrupt object has been deleted"),
    ],
)
def test_an_error_in_the_stream_ends_it_and_means_a_list(failed: Failed) -> None:
    machine = watching()
    before = machine.streaming

    operations = machine.receive(error(failed), at(3))
    request, now = after_waiting(machine, at(3))
    replaced = machine.receive(page(9), now)

    assert (before, machine.streaming, operations) == (True, False, ())
    assert isinstance(request, ListPage)
    assert replaced == (Replace((), 9),)


def test_a_server_that_refuses_a_watch_says_when_to_come_back() -> None:
    machine = watching()

    machine.receive(Failed(503, "ServiceUnavailable", retry_after=9.0), at(0))

    assert machine.next_request(at(0)) == Wait(at(9))


def test_pauses_double_from_0_8_to_30_s_with_up_to_as_much_again() -> None:
    machine = watching()
    now, pauses = at(0), []

    for _ in range(12):
        machine.receive(REFUSED, now)
        _, later = after_waiting(machine, now)
        pauses.append(later - now)
        now = later

    for pause, base in zip(pauses, [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, *[30.0] * 6], strict=True):
        assert base <= pause < 2 * base
    assert len(set(pauses)) == 12


def test_pauses_start_over_after_two_quiet_minutes() -> None:
    machine = watching()
    for _ in range(6):
        machine.receive(REFUSED, at(0))
    _, now = after_waiting(machine, at(0))

    machine.receive(REFUSED, at(119))
    _, soon = after_waiting(machine, at(119))
    machine.receive(REFUSED, at(119 + 121))
    _, quiet = after_waiting(machine, at(119 + 121))

    assert now >= 25.6
    assert soon - 119 >= 30
    assert 0.8 <= quiet - (119 + 121) < 1.6


def test_watches_end_after_five_to_ten_minutes_and_not_together() -> None:
    machine = watching()
    drawn = []
    for _ in range(200):
        machine.receive(Closed(), at(5))
        drawn.append(int(params(machine.next_request(at(0)))["timeoutSeconds"]))

    assert 300 <= min(drawn) < 320
    assert 580 < max(drawn) < 600


def test_a_connection_that_is_silent_for_75_s_is_given_up_and_nothing_is_lost() -> None:
    machine = watching()
    fresh = machine.deadline
    machine.receive(event("MODIFIED", pod("vega", 6)), at(10))
    later = machine.deadline

    machine.receive(TimedOut(), at(85))
    again = machine.next_request(at(85))

    assert (fresh, later) == (at(75), at(85))
    assert isinstance(again, Watch)
    assert again.params["resourceVersion"] == "6"


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "ADD',
        None,
        [],
        {},
        {"type": "ADDED"},
        {"type": "ADDED", "object": None},
        {"type": "ADDED", "object": {"kind": "Table", "metadata": {"resourceVersion": "7"}}},
        {"type": "ADDED", "object": {"metadata": {"name": "x", "uid": "u"}}},
        {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "soon"}}},
        {"type": "ERROR", "object": "help"},
        {"type": "ADDED", "object": {"metadata": {**pod("x", 7)["metadata"], "namespace": {}}}},
        {"type": "ADDED", "object": {"metadata": {"resourceVersion": "7" * 5000}}},
        {"type": orjson.loads(b"[" * 1020 + b"]" * 1020), "object": None},
    ],
    ids=lambda line: repr(line)[:60] if not isinstance(line, dict) else "",
)
def test_a_bad_line_is_skipped_and_reported_and_the_version_stays(line: object) -> None:
    machine = watching()

    (operation,) = machine.receive(Event(line), at(2))
    streaming = machine.streaming
    machine.receive(Closed(), at(3))

    assert isinstance(operation, Malformed)
    assert operation.what == line
    assert streaming
    assert params(machine.next_request(at(3)))["resourceVersion"] == "5"


odd: st.SearchStrategy[object] = st.sampled_from(
    [
        *(None, True, 0, -1.5, "", "7", "-1", "\uff17", "9" * 5000, [], {}, [{}], {"name": "x"}),
    ]
)


def objects(fields: Mapping[str, st.SearchStrategy[object]]) -> st.SearchStrategy[object]:
    """What may have these fields, and may as well be something else."""
    return odd | st.fixed_dictionaries({}, optional={name: fields[name] | odd for name in fields})


metadata = objects(
    {
        "name": st.just("vega"),
        "namespace": st.just("night"),
        "uid": st.just("u"),
        "resourceVersion": st.just("7"),
        "continue": st.just("more"),
        "annotations": objects({"k8s.io/initial-events-end": st.just("true")}),
    }
)
statuses = objects(
    {
        "code": st.sampled_from([410, 422, 429, 504]),
        "reason": odd,
        "message": odd,
        "details": objects({"causes": odd, "retryAfterSeconds": odd}),
    }
)
lines = objects(
    {
        "type": st.sampled_from(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]),
        "object": objects({"metadata": metadata}) | statuses,
    }
)
pages = st.fixed_dictionaries(
    {}, optional={"metadata": metadata, "items": odd | st.lists(objects({"metadata": metadata}))}
)


@given(st.lists(st.builds(Event, lines) | st.builds(Page, pages), max_size=8), st.booleans())
def test_nothing_that_is_json_is_fatal(answers: list[Event | Page], watch_list: bool) -> None:  # noqa: FBT001
    machine = ListWatch("test", watch_list=watch_list)
    now = at(0)
    for answer in answers:
        request = machine.next_request(now)
        if isinstance(request, Wait):
            now = request.until
            request = machine.next_request(now)
        if isinstance(request, Watch) == isinstance(answer, Event):
            for operation in machine.receive(answer, now):
                assert isinstance(operation, Operation)


def test_an_event_of_a_type_to_come_is_reported_and_moves_the_version() -> None:
    machine = watching()

    malformed, moved = machine.receive(event("PONDERED", pod("vega", 7)), at(2))

    assert isinstance(malformed, Malformed)
    assert moved == Bookmark(7)


@pytest.mark.parametrize("late", [Closed(), TimedOut(), event("MODIFIED", pod("vega", 9))])
def test_what_is_left_of_a_stream_that_is_not_wanted_is_ignored(late: Event) -> None:
    machine = watching()
    machine.receive(error(EXPIRED), at(3))
    relist, now = after_waiting(machine, at(3))

    assert machine.receive(late, now) == ()
    assert machine.next_request(now) == relist


# WatchList


def initial(machine: ListWatch, *names: str, now: float = 0.0) -> None:
    for name in names:
        assert machine.receive(event("ADDED", pod(name, 50)), at(now)) == ()


def test_a_watch_list_asks_for_initial_events() -> None:
    request = ListWatch("test").next_request(at(0))

    assert isinstance(request, Watch)
    assert {**request.params, "timeoutSeconds": ""} == {
        "allowWatchBookmarks": "true",
        "resourceVersion": "",
        "resourceVersionMatch": "NotOlderThan",
        "sendInitialEvents": "true",
        "timeoutSeconds": "",
    }


def test_a_watch_list_is_complete_with_its_bookmark_and_goes_on_in_the_same_stream() -> None:
    machine = ListWatch("test")
    machine.next_request(at(0))
    initial(machine, "vega", "deneb", "altair")
    unfinished = [
        machine.receive(event("DELETED", pod("deneb", 51)), at(0)),
        machine.receive(event("MODIFIED", pod("vega", 52)), at(0)),
        machine.receive(bookmark(52), at(0)),
    ]

    replaced = machine.receive(bookmark(53, initial=True), at(0))
    upserted = machine.receive(event("MODIFIED", pod("vega", 54)), at(0))

    assert unfinished == [(), (), ()]
    assert replaced == (Replace((pod("vega", 52), pod("altair", 50)), 53),)
    assert machine.streaming
    assert upserted == (Upsert(pod("vega", 54)),)


def test_a_watch_list_that_broke_off_is_forgotten_and_begun_again_where_it_began() -> None:
    machine = ListWatch("test")
    machine.next_request(at(0))
    initial(machine, "vega")

    machine.receive(Closed(), at(5))
    again, now = after_waiting(machine, at(5))
    initial(machine, "deneb", now=now)
    replaced = machine.receive(bookmark(60, initial=True), now)

    assert now - 5 >= 0.8
    assert is_watch_list(again)
    assert params(again)["resourceVersion"] == ""
    assert replaced == (Replace((pod("deneb", 50),), 60),)


def test_a_watch_list_that_breaks_off_twice_gives_way_to_a_list_in_this_cycle() -> None:
    machine = ListWatch("test")
    now = at(0)
    for _ in range(2):
        request, now = after_waiting(machine, now)
        assert is_watch_list(request)
        machine.receive(Closed(), now)

    request, now = after_waiting(machine, now)
    machine.receive(page(5), now)
    machine.next_request(now)
    machine.receive(error(EXPIRED), now)
    next_cycle, _ = after_waiting(machine, now)

    assert isinstance(request, ListPage)
    assert is_watch_list(next_cycle)


def test_watch_lists_that_broke_off_are_counted_anew_after_one_that_did_not() -> None:
    machine = ListWatch("test")
    machine.next_request(at(0))
    machine.receive(Closed(), at(5))
    _, now = after_waiting(machine, at(5))
    machine.receive(bookmark(5, initial=True), now)
    machine.receive(error(EXPIRED), now)
    _, now = after_waiting(machine, now)

    machine.receive(Closed(), now)
    again, _ = after_waiting(machine, now)

    assert is_watch_list(again)


@pytest.mark.parametrize("failed", [BUSY, REFUSED])
def test_a_watch_list_that_could_not_be_opened_for_now_is_tried_again(failed: Failed) -> None:
    machine = ListWatch("test")
    machine.next_request(at(0))

    machine.receive(failed, at(0))
    again, now = after_waiting(machine, at(0))

    assert now >= 0.8
    assert is_watch_list(again)


@pytest.mark.parametrize("refusal", [EXPIRED, TOO_LARGE, error(EXPIRED), error(TOO_LARGE)])
def test_a_watch_list_at_a_version_that_is_refused_is_made_consistent_at_once(
    refusal: Failed | Event,
) -> None:
    machine = ListWatch("test")
    machine.next_request(at(0))
    machine.receive(bookmark(5, initial=True), at(0))
    machine.receive(error(EXPIRED), at(0))
    at_version, now = after_waiting(machine, at(0))

    machine.receive(refusal, now)
    consistent = machine.next_request(now)

    assert params(at_version)["resourceVersion"] == "5"
    assert is_watch_list(consistent)
    assert params(consistent)["resourceVersion"] == ""


def next_cycle_after(machine: ListWatch, now: Instant) -> Request:
    """Finish the list that was asked for, have the watch refused, and return what comes next."""
    machine.receive(page(5), now)
    machine.next_request(now)
    machine.receive(error(EXPIRED), now)
    request, _ = after_waiting(machine, now)
    return request


def test_a_server_without_watch_list_is_listed_and_not_asked_again_for_an_hour() -> None:
    machine = ListWatch("test")
    machine.next_request(at(0))

    machine.receive(INVALID, at(0))
    fallback = machine.next_request(at(0))
    soon = next_cycle_after(machine, at(10))
    late = next_cycle_after(machine, at(3601))

    assert fallback == ListPage({"resourceVersion": "", "limit": "500"})
    assert not is_watch_list(soon)
    assert is_watch_list(late)


def test_a_watch_list_that_failed_otherwise_gives_way_to_a_list_in_this_cycle_only() -> None:
    machine = ListWatch("test")
    machine.next_request(at(0))

    machine.receive(BROKEN, at(0))
    fallback = machine.next_request(at(0))

    assert isinstance(fallback, ListPage)
    assert is_watch_list(next_cycle_after(machine, at(0)))


def test_a_server_that_never_sends_the_bookmark_is_given_up_and_listed_in_pages() -> None:
    machine = ListWatch("test")
    machine.next_request(at(0))
    machine.receive(bookmark(5, initial=True), at(0))
    machine.receive(error(EXPIRED), at(0))
    _, now = after_waiting(machine, at(0))
    initial(machine, "vega", now=now)

    deadline = machine.deadline
    machine.receive(TimedOut(), deadline)
    fallback = machine.next_request(deadline)
    paged = machine.receive(page(60, "deneb"), deadline)

    assert deadline == now + 10
    assert fallback == ListPage({"resourceVersion": "", "limit": "500"})
    assert paged == (Replace((pod("deneb", 60),), 60),)
    machine.next_request(deadline)
    machine.receive(error(EXPIRED), deadline)
    assert not is_watch_list(after_waiting(machine, deadline)[0])


@pytest.mark.parametrize(("kind", "given_up_after"), [("MODIFIED", 30.0), ("ADDED", 120.0)])
def test_other_events_do_not_put_the_missing_bookmark_off_for_ever(
    kind: str, given_up_after: float
) -> None:
    machine = ListWatch("test")
    machine.next_request(at(0))
    now = at(0)
    while now + 5 < machine.deadline:
        now = at(now + 5)
        machine.receive(event(kind, pod("vega", 50)), now)

    assert machine.deadline == given_up_after


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "object", "metadata", "name", "uid", "resourceVersion", "annotations"]
            ),
            inner | st.sampled_from(["ADDED", "BOOKMARK", "ERROR", "DELETED", "7"]),
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(lines=st.lists(JSON, max_size=5), watch_list=st.booleans())
def test_no_line_whatever_it_says_breaks_the_machine(
    lines: list[object],
    watch_list: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    machine = ListWatch("test") if watch_list else watching()
    machine.next_request(at(0))

    for line in lines:
        operations: tuple[Operation, ...] = machine.receive(Event(line), at(1))
        assert all(isinstance(each, Operation) for each in operations)

    assert isinstance(machine.next_request(at(1)), Request)
