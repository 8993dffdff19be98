from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from observatory.api.jitter import fraction


@given(key=st.text(), counter=st.integers(min_value=0))
def test_a_fraction_lies_in_the_half_open_unit_interval(key: str, counter: int) -> None:
    assert 0.0 <= fraction(key, counter) < 1.0


def test_every_process_computes_the_same_fraction() -> None:
    # Python's own hash of a text differs between these two.
    script = "from observatory.api.jitter import fraction; print(fraction('night/m31', 3))"

    answers = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert answers == {f"{fraction('night/m31', 3)}\n"}


def test_keys_and_counters_spread_out() -> None:
    drawn = [fraction(key, counter) for key in ("a", "b") for counter in range(500)]

    tenths = {int(value * 10) for value in drawn}

    assert len(set(drawn)) == 1000
    assert tenths == set(range(10))
