"""The CustomResourceDefinition of the Observatory, as the API server stores it."""

from __future__ import annotations

from observatory.api.names import CUSTOM_RESOURCE_DEFINITIONS, GROUP, KIND, OBSERVATORIES, VERSION
from observatory.api.schema import OBSERVATORY
from observatory.api.types import JsonObject

SHORT_NAME = "obsy"
CATEGORY = "seventh-horizon"
"""`kubectl get seventh-horizon` lists what this group brings. Not `all`: that is for the workloads
of Kubernetes itself, and people delete by it."""


def custom_resource_definition() -> JsonObject:
    """The definition to apply; it contains no fact about any cluster."""
    return {
        "apiVersion": CUSTOM_RESOURCE_DEFINITIONS.api_version,
        "kind": CUSTOM_RESOURCE_DEFINITIONS.kind,
        "metadata": {"name": OBSERVATORIES.qualified},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": OBSERVATORIES.plural,
                "singular": KIND.lower(),
                "shortNames": [SHORT_NAME],
                "categories": [CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "selectableFields": [{"jsonPath": ".status.phase"}],
                    "additionalPrinterColumns": _printer_columns(),
                    "schema": {"openAPIV3Schema": OBSERVATORY},
                }
            ],
        },
    }


def _printer_columns() -> list[JsonObject]:
    # The message comes last: it is the only column of any length, and nothing is pushed off the
    # terminal by it.
    return [
        _column("Phase", ".status.phase", "What the run is doing."),
        _column("Progress", ".status.progress", "Tasks that succeeded, of all tasks."),
        _column("Duration", ".status.duration", "How long the run took."),
        _column("Next Run", ".status.nextRunTimes[0]", "When the next run begins, by schedule."),
        _column("Age", ".metadata.creationTimestamp", "Time since creation.", type_="date"),
        _column("Run", ".status.run", "Which run this is.", type_="integer", wide=True),
        _column("Revision", ".status.revision", "What the run is pinned to.", wide=True),
        _column("Schedule", ".spec.schedule", "When it runs again.", wide=True),
        _column("Last Run", ".status.lastRunTime", "Time since.", type_="date", wide=True),
        _column("Last Success", ".status.lastSuccessTime", "Time since.", type_="date", wide=True),
        _column("Suspend", ".spec.suspend", "Whether it is held.", type_="boolean", wide=True),
        _column("Message", ".status.message", "What the run waits for, or why it failed."),
    ]


def _column(
    name: str, path: str, description: str, *, type_: str = "string", wide: bool = False
) -> JsonObject:
    column: JsonObject = {
        "name": name,
        "type": type_,
        "description": description,
        "jsonPath": path,
    }
    return column | {"priority": 1} if wide else column
