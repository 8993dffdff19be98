"""The Observatory API, in one place: the root of its structural schema.

From it come the CustomResourceDefinition (`crd.py`), the checks of structure (`structural.py`) and
the API reference. A field is added here, in `specschema.py` or in `statusschema.py`, and nowhere
else.
"""

from __future__ import annotations

from observatory.api.openapi import DNS_LABEL, DNS_LABEL_LENGTH, mapping, string
from observatory.api.specschema import SPEC
from observatory.api.statusschema import STATUS
from observatory.api.types import JsonObject

NAME: JsonObject = {"type": "string", "maxLength": DNS_LABEL_LENGTH, "pattern": DNS_LABEL}
"""The name of an Observatory goes into the label of its Pods, which holds 63 characters."""

OBSERVATORY = mapping(
    "A workflow: a directed acyclic graph of tasks, each of which is one container. A task starts "
    "when the tasks it depends on have succeeded.",
    "spec",
    apiVersion=string("The version of the API: workflow.seventh-horizon.io/v1alpha1."),
    kind=string("The kind of the object: Observatory."),
    metadata={"type": "object", "properties": {"name": NAME}},
    spec=SPEC,
    status=STATUS,
)
