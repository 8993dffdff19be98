"""Points in time of the process's own monotonic clock."""

from typing import NewType

Instant = NewType("Instant", float)
"""Seconds on a monotonic clock: only differences mean anything, and only within one process."""
