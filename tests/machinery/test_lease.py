from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.api.times import micro_time
from observatory.api.types import JsonObject
from observatory.machinery.instant import Instant
from observatory.machinery.lease import (
    Create,
    Durations,
    Election,
    Get,
    Lost,
    Move,
    Released,
    Update,
    Wait,
)

WALL = datetime(2024, 3, 1, 22, 30, 0, 123456, tzinfo=UTC)
STAMP = "2024-03-01T22:30:00.123456Z"
LATER = WALL + timedelta(seconds=7)
LATER_STAMP = "2024-03-01T22:30:07.123456Z"


def at(seconds: float) -> Instant:
    return Instant(seconds)


def lease(version: int, **spec: object) -> JsonObject:
    return {"metadata": {"name": "observatory", "resourceVersion": str(version)}, "spec": spec}


def held_by(holder: str, version: int = 5, renewed: int = 0, seconds: int = 15) -> JsonObject:
    return lease(
        version,
        holderIdentity=holder,
        leaseDurationSeconds=seconds,
        acquireTime="2020-01-01T00:00:00.000000Z",
        renewTime=f"2020-01-01T00:00:{renewed:02}.000000Z",
        leaseTransitions=3,
    )


def leader(durations: Durations | None = None) -> Election:
    """A candidate that created the Lease at 0 s."""
    election = Election("me", durations or Durations())
    assert election.next(at(0), WALL) == Get()
    election.received(None, at(0))
    move = election.next(at(0), WALL)
    assert isinstance(move, Create)
    election.wrote(lease(1, **move.spec), at(0.1))
    return election


def test_the_defaults_are_those_of_kubernetes() -> None:
    assert Durations() == Durations(lease=15.0, renew_deadline=10.0, retry_period=2.0)


@pytest.mark.parametrize(
    ("durations", "message"),
    [
        (
            {"lease": 10.0},
            "--lease-renew-deadline (10s) must be less than --lease-duration (10s)",
        ),
        (
            {"retry_period": 8.5},
            "--lease-retry-period (8.5s) times 1.2 must be less than --lease-renew-deadline (10s)",
        ),
        ({"retry_period": 0.5}, "--lease-retry-period (0.5s) must be at least 1s"),
        ({"renew_deadline": 0.0}, "--lease-renew-deadline (0s) must be at least 1s"),
        ({"lease": -1.0}, "--lease-duration (-1s) must be at least 1s"),
        ({"lease": float("nan")}, "--lease-duration (nans) must be at least 1s"),
        (
            {"lease": 15.5},
            "--lease-duration (15.5s) must be whole seconds, because the Lease stores no fraction",
        ),
        ({"lease": float("inf")}, "--lease-duration (infs) must be whole seconds"),
        ({"lease": 3601.0}, "--lease-duration (3601s) must be at most 3600s"),
    ],
)
def test_durations_that_could_make_two_leaders_are_refused(
    durations: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 -- the whole message is compared
        Durations(**durations)

    assert str(refused.value).startswith(message)


def test_a_candidate_needs_a_name() -> None:
    with pytest.raises(ValueError, match="identity"):
        Election("", Durations())


def test_times_are_written_as_micro_time_in_utc() -> None:
    whole = datetime(2024, 3, 1, 12, 0, tzinfo=timezone(timedelta(hours=-5)))

    assert micro_time(WALL) == STAMP
    assert micro_time(whole) == "2024-03-01T17:00:00.000000Z"


def test_a_lease_that_does_not_exist_is_created() -> None:
    election = Election("me", Durations())

    moves: list[Move] = [election.next(at(0), WALL)]
    election.received(None, at(0))
    moves.append(election.next(at(0), WALL))
    election.wrote(lease(1, holderIdentity="me"), at(0.1))

    assert moves == [
        Get(),
        Create(
            {
                "holderIdentity": "me",
                "leaseDurationSeconds": 15,
                "acquireTime": STAMP,
                "renewTime": STAMP,
                "leaseTransitions": 0,
            }
        ),
    ]
    assert election.leading
    assert election.holder == "me"


def test_a_creation_that_came_second_is_no_acquisition() -> None:
    election = Election("me", Durations())
    election.next(at(0), WALL)
    election.received(None, at(0))
    election.next(at(0), WALL)

    election.failed(at(0.1))

    assert not election.leading
    assert isinstance(election.next(at(0.1), WALL), Wait)


def test_a_leader_renews_every_retry_period_with_one_request() -> None:
    election = leader()
    waiting = election.next(at(1), WALL)

    move = election.next(at(2), LATER)

    assert waiting == Wait(at(2))
    assert move == Update(
        {
            "holderIdentity": "me",
            "leaseDurationSeconds": 15,
            "acquireTime": STAMP,
            "renewTime": LATER_STAMP,
            "leaseTransitions": 0,
        },
        resource_version="1",
    )


def test_leadership_is_counted_from_the_sending_of_the_request() -> None:
    election = leader()
    acquired = election.valid_until
    election.next(at(2), WALL)

    election.wrote(held_by("me", 2), at(6))

    assert (acquired, election.valid_until) == (at(10), at(12))


@pytest.mark.parametrize(
    ("seconds", "taken_after"),
    [(0, 15), (-5, 15), ("x", 15), (None, 15), ([], 15), (60, 60), (2**31 - 1, 3600)],
)
def test_however_long_a_lease_claims_to_be_it_runs_out(seconds: object, taken_after: int) -> None:
    election = Election("me", Durations())
    held = held_by("other")
    held["spec"]["leaseDurationSeconds"] = seconds
    for now in (0.0, taken_after - 0.1, taken_after):
        election._next_round = at(now)
        assert election.next(at(now), WALL) == Get()
        election.received(held, at(now))
        move = election.next(at(now), WALL)
        assert isinstance(move, Update) == (now == taken_after)


@pytest.mark.parametrize("transitions", [2**31 - 1, 10**30, -1, "x", None, 1.5, []])
def test_a_count_of_transitions_that_nobody_could_store_starts_anew(transitions: object) -> None:
    election = Election("me", Durations())
    election.next(at(0), WALL)
    election.received(lease(5, holderIdentity="", leaseTransitions=transitions), at(0))

    move = election.next(at(0), WALL)

    assert isinstance(move, Update)
    assert move.spec["leaseTransitions"] == 1


def test_a_grant_that_comes_when_it_has_run_out_is_none() -> None:
    election = Election("me", Durations())
    election.next(at(0), WALL)
    election.received(None, at(0))
    election.next(at(0), WALL)

    election.wrote(held_by("me", 1), at(10))

    assert not election.leading
    assert election.valid_until < at(0)
    assert isinstance(election.next(at(20), WALL), Get)


def test_a_renewal_that_is_refused_is_tried_again_after_reading() -> None:
    election = leader()
    election.next(at(2), WALL)

    election.failed(at(2.1))
    read = election.next(at(2.1), WALL)
    election.received(held_by("me", 9), at(2.2))
    move = election.next(at(2.2), WALL)

    assert read == Get()
    assert isinstance(move, Update)
    assert move.resource_version == "9"
    assert election.leading


def test_a_leader_that_reads_another_holder_has_lost() -> None:
    election = leader()
    election.next(at(2), WALL)
    election.failed(at(2.1))
    election.next(at(2.1), WALL)

    election.received(held_by("thief"), at(2.2))

    assert not election.leading
    assert election.valid_until < at(0)
    assert election.next(at(2.2), WALL) == Lost("thief holds the Lease")
    assert election.next(at(99), WALL) == Lost("thief holds the Lease")


def test_a_leader_whose_lease_was_deleted_makes_it_again() -> None:
    election = leader()
    election.next(at(2), WALL)
    election.failed(at(2.1))
    election.next(at(2.1), WALL)

    election.received(None, at(2.2))

    assert isinstance(election.next(at(2.2), WALL), Create)
    assert election.leading


def test_a_leader_that_cannot_renew_tries_until_its_deadline_and_then_has_lost() -> None:
    election = leader()
    tried = []
    now = 0.0
    while now < 10.0:
        match election.next(at(now), WALL):
            case Wait(until):
                now = until
            case _:
                tried.append(now)
                election.failed(at(now))

    assert tried == [2.0, 2.0, 4.0, 4.0, 6.0, 6.0, 8.0, 8.0]
    assert election.next(at(10), WALL) == Lost("the Lease was not renewed for 10s")
    assert not election.leading


def test_a_leader_that_hangs_in_a_request_has_lost_when_it_returns() -> None:
    election = leader()
    election.next(at(2), WALL)
    gate_after_the_deadline = at(10) >= election.valid_until

    election.failed(at(11))

    assert gate_after_the_deadline
    assert isinstance(election.next(at(11), WALL), Lost)


def test_a_leader_that_was_stopped_for_twenty_seconds_may_not_write_when_it_wakes() -> None:
    election = leader()

    assert at(20) >= election.valid_until
    assert isinstance(election.next(at(20), WALL), Lost)


def test_a_candidate_waits_for_a_full_lease_from_what_it_saw_whatever_the_record_says() -> None:
    election = Election("me", Durations())
    election.next(at(100), WALL)
    election.received(held_by("other"), at(100))
    first = election.next(at(100), WALL)
    election.next(at(114.9), WALL)
    election.received(held_by("other"), at(114.9))
    too_early = election.next(at(114.9), WALL)
    election.next(at(120), WALL)
    election.received(held_by("other", version=8), at(120))

    move = election.next(at(120), WALL)

    assert isinstance(first, Wait)
    assert isinstance(too_early, Wait)
    assert move == Update(
        {
            "holderIdentity": "me",
            "leaseDurationSeconds": 15,
            "acquireTime": STAMP,
            "renewTime": STAMP,
            "leaseTransitions": 4,
        },
        resource_version="8",
    )


def test_a_renewal_seen_starts_the_wait_anew() -> None:
    election = Election("me", Durations())
    for now, renewed in ((0, 0), (14, 1), (28, 1)):
        assert election.next(at(now), WALL) == Get()
        election.received(held_by("other", renewed=renewed), at(now))
        assert isinstance(election.next(at(now), WALL), Wait)


def test_a_change_of_metadata_is_no_renewal() -> None:
    election = Election("me", Durations())
    election.next(at(0), WALL)
    election.received(held_by("other", version=5), at(0))

    election.next(at(15), WALL)
    election.received(held_by("other", version=6), at(15))

    assert isinstance(election.next(at(15), WALL), Update)


@pytest.mark.parametrize(("seconds", "taken_at"), [(60, 60), (1, 1), (0, 15)])
def test_the_duration_that_counts_is_the_one_of_the_record(seconds: int, taken_at: int) -> None:
    election = Election("me", Durations())
    election.next(at(0), WALL)
    election.received(held_by("other", seconds=seconds), at(0))
    now = 0.0
    while isinstance(move := election.next(at(now), WALL), Wait | Get):
        if isinstance(move, Wait):
            now = move.until
        else:
            election.received(held_by("other", seconds=seconds), at(now))

    assert taken_at <= now < taken_at + 4.4


def test_a_released_lease_is_taken_at_once_and_what_others_wrote_into_it_stays() -> None:
    election = Election("me", Durations())
    election.next(at(0), WALL)

    election.received(lease(7, holderIdentity="", strategy="OldestEmulationVersion"), at(0))

    assert election.next(at(0), WALL) == Update(
        {
            "strategy": "OldestEmulationVersion",
            "holderIdentity": "me",
            "leaseDurationSeconds": 15,
            "acquireTime": STAMP,
            "renewTime": STAMP,
            "leaseTransitions": 1,
        },
        resource_version="7",
    )


def test_a_candidate_that_finds_itself_as_the_holder_goes_on_where_it_was() -> None:
    election = Election("me", Durations())
    election.next(at(0), WALL)

    election.received(held_by("me"), at(0))

    move = election.next(at(0), WALL)
    assert isinstance(move, Update)
    assert move.spec["acquireTime"] == "2020-01-01T00:00:00.000000Z"
    assert move.spec["leaseTransitions"] == 3


def test_candidates_look_every_two_to_four_seconds_and_not_together() -> None:
    looked: dict[str, list[float]] = {"a": [], "b": []}
    for identity, times in looked.items():
        election = Election(identity, Durations())
        now = 0.0
        while now < 300.0:
            match election.next(at(now), WALL):
                case Wait(until):
                    times.append(until - now)
                    now = until
                case _:
                    election.failed(at(now))

    assert all(2.0 <= pause < 4.4 for pause in looked["a"] + looked["b"])
    assert max(looked["a"]) > 3.8
    assert not set(looked["a"]) & set(looked["b"])


def release(election: Election, stored: JsonObject, now: float) -> Move:
    election.release(at(now))
    assert election.next(at(now), LATER) == Get()
    election.received(stored, at(now))
    return election.next(at(now), LATER)


def test_a_released_lease_has_no_holder_and_runs_out_at_once() -> None:
    election = leader()

    move = release(election, held_by("me", 9), now=3)
    leading, valid_until = election.leading, election.valid_until
    election.wrote(lease(10, holderIdentity=""), at(3))

    assert move == Update(
        {
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "acquireTime": LATER_STAMP,
            "renewTime": LATER_STAMP,
            "leaseTransitions": 3,
        },
        resource_version="9",
    )
    assert not leading
    assert valid_until < at(0)
    assert election.next(at(3), WALL) == Released()
    assert not election.leading


def test_the_lease_of_a_new_holder_is_not_released() -> None:
    assert release(leader(), held_by("other"), now=3) == Released()


def test_a_release_that_met_a_conflict_reads_and_writes_again() -> None:
    election = leader()
    release(election, held_by("me", 9), now=3)

    election.failed(at(3))
    pause = election.next(at(3), WALL)
    assert isinstance(pause, Wait)
    assert election.next(pause.until, WALL) == Get()
    election.received(held_by("me", 11), pause.until)

    move = election.next(pause.until, WALL)
    assert isinstance(move, Update)
    assert move.resource_version == "11"


def test_a_release_gives_up_at_the_renew_deadline() -> None:
    election = leader()
    election.release(at(3))
    now = 3.0
    while (move := election.next(at(now), WALL)) != Released():
        if isinstance(move, Wait):
            now = move.until
        else:
            election.failed(at(now))

    assert now == 13.0


def test_who_does_not_lead_releases_nothing() -> None:
    election = Election("me", Durations())
    election.next(at(0), WALL)
    election.received(held_by("other"), at(0))

    election.release(at(1))

    assert election.next(at(1), WALL) == Released()


class Server:
    """One Lease behind resourceVersions."""

    def __init__(self) -> None:
        self.lease: JsonObject | None = None

    def answer(self, move: Move) -> JsonObject | None:
        """The Lease; raises ValueError for a conflict."""
        match move, self.lease:
            case Get(), stored:
                return stored
            case Create(spec), None:
                self.lease = lease(1, **spec)
            case Update(spec, version), dict(stored) if (
                stored["metadata"]["resourceVersion"] == version
            ):
                self.lease = lease(int(version) + 1, **spec)
            case _:
                raise ValueError("conflict")
        return self.lease


class Process:
    """A candidate at its own pace: requests take time, may fail, and may fail after the fact."""

    def __init__(self, name: str, server: Server, data: st.DataObject) -> None:
        self.election = Election(name, Durations())
        self.data = data
        self.wake = 0.0
        self.steps = self.live(server)

    def faulty(self) -> bool:
        return self.data.draw(st.integers(0, 9)) == 9

    def live(self, server: Server) -> Iterator[None]:
        while not isinstance(move := self.next(), Lost):
            if isinstance(move, Wait):
                # The process may be stopped at any moment, here for longer than a lease.
                self.wake = max(self.wake, move.until) + 20 * self.faulty()
                yield
            else:
                yield from self.request(move, server)
        self.wake = float("inf")
        yield

    def next(self) -> Move:
        return self.election.next(at(self.wake), WALL + timedelta(seconds=self.wake))

    def request(self, move: Move, server: Server) -> Iterator[None]:
        self.wake += self.data.draw(st.sampled_from([1, 6, 12])) if self.faulty() else 0.01
        yield
        failed, stored = self.faulty(), None
        if not failed:
            try:
                stored = server.answer(move)
            except ValueError:
                failed = True
        self.wake += self.data.draw(st.sampled_from([1, 6, 12])) if self.faulty() else 0.01
        yield
        if failed or self.faulty():
            self.election.failed(at(self.wake))
        elif isinstance(move, Get):
            self.election.received(stored, at(self.wake))
        else:
            assert stored is not None
            self.election.wrote(stored, at(self.wake))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_two_candidates_never_hold_a_valid_lease_at_the_same_time(data: st.DataObject) -> None:
    server = Server()
    processes = [Process(name, server, data) for name in ("a", "b", "c")]

    for _ in range(100):
        process = min(processes, key=lambda each: each.wake)
        now = process.wake
        next(process.steps, None)
        valid = [each for each in processes if now < each.election.valid_until]
        assert len(valid) <= 1


def test_without_faults_one_candidate_leads_for_good() -> None:
    server = Server()
    elections = [Election(name, Durations()) for name in ("a", "b", "c")]
    now = 0.0

    while now < 120.0:
        pauses = []
        for election in elections:
            wall = WALL + timedelta(seconds=now)
            while not isinstance(move := election.next(at(now), wall), Wait):
                stored = server.answer(move)
                if isinstance(move, Get):
                    election.received(stored, at(now))
                else:
                    assert stored is not None
                    election.wrote(stored, at(now))
            pauses.append(move.until)
        now = min(pauses)
        assert [election.leading for election in elections] == [True, False, False]
