from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.names import Key
from observatory.api.types import JsonObject
from observatory.machinery.instant import Instant
from observatory.telemetry.events import (
    BURST,
    NORMAL,
    REFILL_SECONDS,
    REMEMBERED,
    SERIES_SECONDS,
    Correlator,
    Count,
    Create,
    Event,
    body,
    reference,
    series,
    shortened,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
POD: JsonObject = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"namespace": "ns", "name": "p", "uid": "u", "resourceVersion": "7", "labels": {}},
}
EVENT = Event(reference(POD), NORMAL, "TaskStarted", "StartTask", "Started task a")
WHERE = Key("ns", "p.1")
START = Instant(1000.0)


def test_an_event_says_what_happened_to_what() -> None:
    key, made = body(EVENT, NOW, "host_1")
    assert key.namespace == "ns"
    assert key.name == f"p.{int(NOW.timestamp() * 1e9):x}"
    assert made == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": "ns", "name": key.name},
        "eventTime": "2026-01-02T03:04:05.000678Z",
        "reportingController": "workflow.seventh-horizon.io/observatory-operator",
        "reportingInstance": "host_1",
        "type": "Normal",
        "reason": "TaskStarted",
        "action": "StartTask",
        "note": "Started task a",
        "regarding": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": "ns",
            "name": "p",
            "uid": "u",
            "resourceVersion": "7",
        },
    }


def test_what_would_be_too_long_is_cut() -> None:
    long = replace(EVENT, regarding={"kind": "Node", "name": "n" * 253}, note="ä" * 1000)
    key, made = body(long, NOW, "h" * 200)
    assert key.namespace == "default"
    assert len(key.name) <= 253
    assert len(made["note"].encode()) <= 1024
    assert len(made["reportingInstance"]) == 128


@given(st.text(max_size=3000))
def test_a_note_is_at_most_a_kilobyte_and_stays_text(note: str) -> None:
    cut = shortened(note.encode(errors="ignore").decode())
    assert len(cut.encode()) <= 1024
    assert note.encode(errors="ignore").decode().startswith(cut.removesuffix("…"))


def test_a_series_has_a_count_and_the_last_time() -> None:
    assert series(4, NOW) == {
        "series": {"count": 4, "lastObservedTime": "2026-01-02T03:04:05.000678Z"}
    }


def test_what_happens_again_is_counted_at_powers_of_two() -> None:
    correlator = Correlator()
    assert correlator.record(EVENT, START) == Create(EVENT)
    correlator.created(EVENT, WHERE)
    written = [correlator.record(EVENT, START) for _ in range(2, 10)]
    counts = [one.count if isinstance(one, Count) else None for one in written]
    assert counts == [2, None, 4, None, None, None, 8, None]
    assert written[0] == Count(WHERE, 2)


def test_what_happens_again_after_a_long_while_is_a_new_event() -> None:
    correlator = Correlator()
    correlator.record(EVENT, START)
    correlator.created(EVENT, WHERE)
    later = Instant(START + SERIES_SECONDS)
    assert correlator.record(EVENT, later) == Create(EVENT)


@pytest.mark.parametrize(
    "other",
    [
        replace(EVENT, note="Started task b"),
        replace(EVENT, reason="Other"),
        replace(EVENT, action="Other"),
        replace(EVENT, type="Warning"),
        replace(EVENT, regarding={**EVENT.regarding, "uid": "v"}),
    ],
)
def test_what_differs_is_another_event(other: Event) -> None:
    correlator = Correlator()
    correlator.record(EVENT, START)
    assert correlator.record(other, START) == Create(other)


def test_an_object_has_only_so_many_events() -> None:
    correlator = Correlator()

    def recorded(number: int, now: float) -> bool:
        note = replace(EVENT, note=f"note {number}")
        return correlator.record(note, Instant(now)) is not None

    assert sum(recorded(number, START) for number in range(100)) == BURST
    end = replace(EVENT, reason="RunFailed")
    assert correlator.record(end, START) == Create(end)
    other = replace(EVENT, regarding={**EVENT.regarding, "uid": "v"})
    assert correlator.record(other, START) == Create(other)
    assert not recorded(200, START + REFILL_SECONDS - 1)
    assert recorded(201, START + REFILL_SECONDS)
    assert not recorded(202, START + REFILL_SECONDS)
    assert sum(recorded(300 + n, START + 1_000_000) for n in range(100)) == BURST


def test_an_event_that_is_gone_is_written_again() -> None:
    correlator = Correlator()
    correlator.record(EVENT, START)
    correlator.forget(EVENT)
    assert correlator.record(EVENT, START) == Create(EVENT)


def test_only_so_much_is_remembered() -> None:
    correlator = Correlator()
    for number in range(REMEMBERED + 1):
        correlator.record(replace(EVENT, regarding={"uid": str(number), "name": "x"}), START)
    first = replace(EVENT, regarding={"uid": "0", "name": "x"})
    assert correlator.record(first, START) == Create(first)
