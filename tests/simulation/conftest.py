"""Thousands of histories say nothing: only what is wrong with them is worth a line."""

from __future__ import annotations

import pytest

from observatory.telemetry.log import Level, configure


@pytest.fixture(autouse=True)
def quiet(log_as_before: None) -> None:
    configure(Level.ERROR)
