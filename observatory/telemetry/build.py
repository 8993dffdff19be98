"""What runs here: the version, the revision of its sources, and the Python that runs it."""

from __future__ import annotations

import platform
from collections.abc import Mapping

from observatory import __version__

REVISION = "OBSERVATORY_REVISION"
"""The environment variable that an image sets; a checkout has git for that."""


def build(environment: Mapping[str, str]) -> dict[str, str]:
    """Version, revision and Python's version; an unknown revision is `unknown`."""
    return {
        "version": __version__,
        "revision": environment.get(REVISION) or "unknown",
        "python_version": platform.python_version(),
    }
