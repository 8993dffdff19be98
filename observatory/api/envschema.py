"""The schema of one environment variable: Kubernetes' EnvVar, whole.

A field has the name, the type and the meaning that it has in a Pod. Defaults are left to the API
server, which fills them in when the Pod is made: the revision of a run is over what was written.
"""

from __future__ import annotations

from observatory.api.openapi import (
    CONFIG_KEY,
    ENV_NAME,
    QUANTITY,
    boolean,
    int_or_string,
    mapping,
    selector,
    string,
)
from observatory.api.types import JsonObject

LONGEST_STRING = 131_071
"""Linux passes no longer string to a program: 32 pages of 4 KiB, with the zero at its end."""


def _key_of(kind: str, holds: str) -> JsonObject:
    return selector(
        f"A key of a {kind} in the Observatory's namespace. Its Pod starts when the {kind} and "
        "the key exist, unless `optional` is true.",
        "key",
        "name",
        key=string(
            f"The key within the {kind}{holds}.", minLength=1, maxLength=253, pattern=CONFIG_KEY
        ),
        name=string(f"The name of the {kind}.", minLength=1, maxLength=253),
        optional=boolean(
            f"Whether the task may start without the {kind} or the key; the variable is then "
            "not set. Off unless given."
        ),
    )


_FIELD = selector(
    "A field of the task's Pod: `metadata.name`, `metadata.namespace`, `metadata.uid`, "
    "`metadata.labels['KEY']`, `metadata.annotations['KEY']`, `spec.nodeName`, "
    "`spec.serviceAccountName`, `status.hostIP`, `status.hostIPs`, `status.podIP` or "
    "`status.podIPs`.",
    "fieldPath",
    apiVersion=string(
        "The version of the Pod API that `fieldPath` is written in; v1 unless given.", maxLength=63
    ),
    fieldPath=string("The path of the field.", minLength=1, maxLength=512),
)

_RESOURCE = selector(
    "A compute resource of the task's container: `limits.cpu`, `limits.memory`, "
    "`limits.ephemeral-storage`, `requests.cpu`, `requests.memory`, "
    "`requests.ephemeral-storage`, or the same for huge pages. Without a limit of its own the "
    "container has that of its node.",
    "resource",
    containerName=string("The container; the task's own unless given.", maxLength=63),
    divisor=int_or_string(
        "The unit of the value, such as `1Mi` or `1m`; `1` unless given.", pattern=QUANTITY
    ),
    resource=string("The resource.", minLength=1, maxLength=253),
)

_FILE = selector(
    "A key of a file of `KEY=VALUE` lines in a volume of the Pod. Tasks have no volumes in this "
    "version, so that there is no volume to name yet.",
    "key",
    "path",
    "volumeName",
    key=string("The key within the file.", minLength=1, maxLength=128, pattern=ENV_NAME),
    optional=boolean(
        "Whether the task may start without the file or the key; the variable is then not set. "
        "Off unless given."
    ),
    path=string("The file's path in the volume; relative, without `..`.", minLength=1),
    volumeName=string("The name of the volume.", minLength=1, maxLength=63),
)

_VALUE_FROM = mapping(
    "Where the value comes from, when it is not written here: exactly one of the sources. The "
    "kubelet reads it when the container starts; the operator never sees it.",
    configMapKeyRef=_key_of("ConfigMap", "'s `data`"),
    fieldRef=_FIELD,
    fileKeyRef=_FILE,
    resourceFieldRef=_RESOURCE,
    secretKeyRef=_key_of("Secret", ""),
) | {"minProperties": 1, "maxProperties": 1}

ENV_VAR = mapping(
    "One environment variable of the task's container, as in a Pod.",
    "name",
    name=string(
        "The name of the variable: printable ASCII characters other than `=`.",
        minLength=1,
        maxLength=256,
        pattern=ENV_NAME,
    ),
    value=string(
        "The value. `$(NAME)` stands for a variable that is set further up; `$$(NAME)` for "
        "that text itself. Empty unless given.",
        maxLength=LONGEST_STRING,
    ),
    valueFrom=_VALUE_FROM,
)
