"""The schema of `spec.alerts`: what about a workflow is worth telling somebody."""

from __future__ import annotations

from observatory.api.openapi import count, mapping, string
from observatory.api.taskschema import MOST_SECONDS

SEVERITIES = ("Critical", "Warning", "Info", "None")

ALERTS = mapping(
    "What is worth an alert, in words that need no query language. The operator exports it as "
    "metrics, the alert rules that come with it do the rest, and Alertmanager notifies. Of a "
    "schedule it is about all of its runs together.",
    notSucceededForSeconds=count(
        "An alert when no run has succeeded for so long. A good value is two periods of the "
        "schedule. Without it there is no such alert.",
        minimum=60,
        maximum=MOST_SECONDS,
    ),
    runningForSeconds=count(
        "An alert when a run takes longer than this; it is not ended. Without it there is no such "
        "alert.",
        minimum=1,
        maximum=MOST_SECONDS,
    ),
    severity=string(
        "The `severity` of these alerts, by which Alertmanager routes them, in lower case there. "
        "`Critical` pages somebody, `Warning` opens a ticket, `Info` is for a look. `None`: no "
        "alert. `Warning` unless given.",
        enum=list(SEVERITIES),
    ),
)
