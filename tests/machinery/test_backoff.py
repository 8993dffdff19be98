from __future__ import annotations

from observatory.machinery.backoff import Backoff
from observatory.machinery.instant import Instant


def test_pauses_double_from_0_8_to_30_s_with_up_to_as_much_again() -> None:
    backoff = Backoff("a")

    pauses = [backoff.next(Instant(number)) for number in range(12)]

    for pause, base in zip(pauses, [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, *[30.0] * 6], strict=True):
        assert base <= pause < 2 * base


def test_pauses_start_over_only_after_two_minutes_without_one() -> None:
    backoff = Backoff("a")
    for _ in range(6):
        backoff.next(Instant(0))

    soon = backoff.next(Instant(120))
    late = backoff.next(Instant(240.1))

    assert soon >= 30.0
    assert 0.8 <= late < 1.6


def test_two_processes_pause_differently_and_one_always_the_same() -> None:
    ours, same, theirs = (
        [backoff.next(Instant(0)) for _ in range(10)]
        for backoff in (Backoff("ours"), Backoff("ours"), Backoff("theirs"))
    )

    assert ours == same
    assert not set(ours) & set(theirs)
