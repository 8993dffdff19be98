"""How property tests run: by the number of examples, never by the clock of a shared machine.

`pytest --hypothesis-profile=soak tests/fuzz` tries a hundred times as many.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

_CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("shared", deadline=None, suppress_health_check=_CHECKS)
settings.register_profile("soak", settings.get_profile("shared"), max_examples=10_000)
settings.load_profile("shared")
