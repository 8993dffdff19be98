"""Whatever stands in the Lease, candidates go on, and nobody who can't store it claims to lead."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from observatory.kube.errors import TransportError
from observatory.kube.leaseconnection import _decoded
from observatory.machinery.instant import Instant
from observatory.machinery.lease import Create, Durations, Election, Get, Lost, Update, Wait
from tests.fuzz.mutations import JSON, as_on_the_wire, examples, mutated, values

WALL = datetime(2026, 1, 1, tzinfo=UTC)
STORED = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "observatory-operator", "namespace": "default", "resourceVersion": "7"},
    "spec": {
        "holderIdentity": "other",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-01T00:00:00.000000Z",
        "renewTime": "2026-01-01T00:00:00.000000Z",
        "leaseTransitions": 3,
    },
}
MOST = 3600
"""Seconds after which any Lease that nobody renews is taken."""


@examples(300)
@given(mutated([STORED]) | st.fixed_dictionaries({"metadata": values, "spec": values}))
def test_any_lease_that_nobody_renews_is_taken_in_the_end(document: JSON) -> None:
    document = as_on_the_wire(document)
    version = document["metadata"].get("resourceVersion") if _has_version(document) else None
    if version is None:
        return  # the connection takes it for no answer
    election, requests = Election("me", Durations()), 0
    now = 0.0
    while now <= MOST + 10:
        match election.next(Instant(now), WALL):
            case Get():
                requests += 1
                election.received(document, Instant(now))
            case Wait(until):
                now = max(until, now + 0.001)
            case Update(spec, precondition):
                assert precondition == version
                assert spec["holderIdentity"] == "me"
                assert spec["leaseDurationSeconds"] == Durations().lease
                assert 0 <= spec["leaseTransitions"] < 2**31
                break
            case Create() | Lost():
                raise AssertionError("there is a Lease, and we never led")
            case _:
                raise AssertionError("nobody asked it to release")
    else:
        raise AssertionError("never taken")
    # Every 2 to 4.4 seconds, however odd the Lease is.
    assert requests <= 1 + now / Durations().retry_period


@examples(100)
@given(mutated([STORED]) | st.fixed_dictionaries({"metadata": values, "spec": values}))
def test_a_leader_that_reads_anything_at_all_leads_on_or_knows_who_leads(document: JSON) -> None:
    document = as_on_the_wire(document)
    if not _has_version(document):
        return
    election = Election("me", Durations())
    election.next(Instant(0), WALL)
    election.received(None, Instant(0))
    election.next(Instant(0), WALL)
    election.wrote(STORED, Instant(0))
    assert isinstance(election.next(Instant(2), WALL), Update)
    election.failed(Instant(2))
    assert isinstance(election.next(Instant(2), WALL), Get)

    election.received(document, Instant(2))

    move = election.next(Instant(2), WALL)
    if isinstance(move, Lost):
        assert election.holder != "me"
        assert not election.leading
    else:
        assert isinstance(move, Update)


def _has_version(document: JSON) -> bool:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    return isinstance(metadata, dict) and isinstance(metadata.get("resourceVersion"), str)


@examples(200)
@given(st.binary(max_size=60) | mutated([STORED]).map(lambda it: json.dumps(it).encode()))
def test_any_answer_is_a_lease_or_no_answer(answer: bytes) -> None:
    try:
        assert _has_version(_decoded(answer))
    except TransportError:
        return
