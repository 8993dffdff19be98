"""The one error that people see."""

from __future__ import annotations


class ClusterError(Exception):
    """Something did not work; the text says what, and what to do about it."""
