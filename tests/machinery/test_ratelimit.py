from __future__ import annotations

import pytest

from observatory.machinery.ratelimit import RateLimiter


def test_the_delay_doubles_from_5_ms_to_60_s_with_at_most_half_of_it_taken_off() -> None:
    limiter: RateLimiter[str] = RateLimiter()

    delays = [limiter.when("night/m31") for _ in range(20)]

    for failures, delay in enumerate(delays):
        full = min(60.0, 0.005 * 2**failures)
        assert full / 2 <= delay < full
    assert delays[13] < 0.005 * 2**13 < 60.0 < 0.005 * 2**14


def test_a_thousand_failures_do_not_overflow() -> None:
    limiter: RateLimiter[str] = RateLimiter()

    delays = [limiter.when("night/m31") for _ in range(1100)]

    assert all(30.0 <= delay < 60.0 for delay in delays[14:])
    assert limiter.num_requeues("night/m31") == 1100


def test_forgetting_starts_over_and_nothing_else_does() -> None:
    limiter: RateLimiter[str] = RateLimiter()
    first = limiter.when("night/m31")
    limiter.when("night/m31")
    limiter.when("night/m33")

    limiter.forget("night/m31")
    limiter.forget("never failed")

    assert limiter.num_requeues("night/m31") == 0
    assert limiter.num_requeues("night/m33") == 1
    assert limiter.when("night/m31") == first


def test_the_delay_of_a_key_does_not_depend_on_the_others() -> None:
    crowded: RateLimiter[str] = RateLimiter()
    for number in range(1000):
        crowded.when(f"night/{number}")
    alone: RateLimiter[str] = RateLimiter()

    assert crowded.when("night/m31") == alone.when("night/m31") < 0.005


def test_keys_that_failed_together_do_not_come_back_together() -> None:
    limiter: RateLimiter[str] = RateLimiter()

    delays = {limiter.when(f"night/{number}") for number in range(100)}

    assert len(delays) == 100


@pytest.mark.parametrize(("base", "cap"), [(1.0, 1.0), (1.0, 5.0), (10.0, 600.0)])
def test_the_cap_is_reached_and_kept(base: float, cap: float) -> None:
    limiter: RateLimiter[str] = RateLimiter(base, cap)

    delays = [limiter.when("night/m31") for _ in range(50)]

    assert all(delay < cap for delay in delays)
    assert max(delays) > cap * 0.9
