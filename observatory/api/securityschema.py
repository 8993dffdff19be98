"""The schema of whom a container runs as: the fields of a Pod's that take rights away, no others.

It is an allow-list. What would give a container more than it has, such as `privileged` or
capabilities, has no field here, so whoever may only write workflows cannot ask for it.
"""

from __future__ import annotations

from observatory.api.openapi import boolean, count, mapping
from observatory.api.types import JsonObject

_MOST_ID = 2**31 - 1


def security_context(description: str) -> JsonObject:
    """Whom a container runs as."""
    return mapping(
        description,
        readOnlyRootFilesystem=boolean(
            "Whether the container can't write to its image's files. Off unless given."
        ),
        runAsGroup=count(
            "The GID of the container's process. That of the image unless given.",
            minimum=0,
            maximum=_MOST_ID,
        ),
        runAsNonRoot=boolean(
            "Whether the kubelet refuses to start the container as root. A namespace with Pod "
            "Security level `restricted` asks for it."
        ),
        runAsUser=count(
            "The UID of the container's process. That of the image unless given.",
            minimum=0,
            maximum=_MOST_ID,
        ),
    )
