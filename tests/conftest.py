"""How property tests run: by the number of examples, never by the clock of a shared machine.

`pytest --hypothesis-profile=soak tests/fuzz` tries a hundred times as many.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.log import restored_log

_CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("shared", deadline=None, suppress_health_check=_CHECKS)
settings.register_profile("soak", settings.get_profile("shared"), max_examples=10_000)
settings.load_profile("shared")


@pytest.fixture
def log_as_before() -> Iterator[None]:
    """Undo what a test makes of the log."""
    with restored_log():
        yield
