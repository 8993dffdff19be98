"""The schema of `spec`: what the user writes.

Nothing under `tasks` has a default: the revision that a run is pinned to is a hash of the tasks
as they are stored, and a default that a later version adds would change it.

There is no CEL rule here either. With 4,000 tasks of 4,000 dependencies even "no task depends on
itself" is estimated at 1.6 times what the API server allows a rule. A rule on each variable of
`env` fits, but is evaluated again at each write of the status, which it made a fifth slower. What
a schema cannot say is checked by `core/validation.py`.
"""

from __future__ import annotations

from observatory.api.alertsschema import ALERTS
from observatory.api.openapi import array, boolean, count, mapping, string
from observatory.api.retryschema import RETRY
from observatory.api.scheduleschema import SCHEDULING
from observatory.api.securityschema import security_context
from observatory.api.taskschema import MAX_TASKS, MOST_SECONDS, TASK

MAX_FINALLY = 100

SPEC = mapping(
    "What to run, and how. The tasks are what a run executes: a run that has begun keeps the tasks "
    "it began with, and tasks that are edited meanwhile run afterwards. The other fields are how "
    "it is driven: they act at once.",
    "tasks",
    activeDeadlineSeconds=count(
        "How long a run may take, from its start; time while it is suspended counts. Then what "
        "runs is ended, what hasn't started is skipped, `finally` runs, and the run has failed. "
        "Without it there is no such limit.",
        minimum=1,
        maximum=MOST_SECONDS,
    ),
    alerts=ALERTS,
    failurePolicy=string(
        "What a failed task means for the tasks that don't depend on it. `Continue`: they run. "
        "`StopScheduling`: no more of them is started; what runs goes on to its end. "
        "`CancelRunning`: what runs is ended, too. `finally` runs in any case. `Continue` unless "
        "given.",
        enum=["Continue", "StopScheduling", "CancelRunning"],
    ),
    maxConcurrent=count(
        "How many tasks of this Observatory may run at the same time. Without it, all tasks run "
        "whose dependencies have succeeded. A change acts at once: a lower number stops no task "
        "that runs, it only holds back the next ones.",
        minimum=1,
        maximum=2**31 - 1,
    ),
    podRetention=string(
        "Which Pods, and with them their logs, stay when a run has ended. `All`. `Failed`: those "
        "of attempts that did not succeed. `None`. Never is one deleted before its outcome is in "
        "the status. `Failed` unless given.",
        enum=["All", "Failed", "None"],
    ),
    retry=RETRY
    | {
        "description": "How tasks are retried whose own `retry` doesn't say otherwise, field by "
        "field. Without it, only what the cluster interrupts is retried."
    },
    securityContext=security_context(
        "Whom the containers of all tasks run as whose own `securityContext` doesn't say "
        "otherwise, field by field. `runAsNonRoot: true` with a `runAsUser` is what a namespace "
        "with Pod Security level `restricted` asks for."
    ),
    suspend=boolean(
        "Whether to start no more tasks. Those that run go on to their end. When it is false "
        "again, the run goes on where it stopped. With a schedule: whether to begin no more runs; "
        "those that are on go on. Off unless given."
    ),
    tasks=array(
        "The tasks of the workflow, and by their dependencies its graph. In any order; between "
        "tasks that could start at the same time, the earlier one in this list goes first.",
        TASK,
        minItems=1,
        maxItems=MAX_TASKS,
    ),
    ttlSecondsAfterFinished=count(
        "How long after the end of its run the Observatory is deleted, and its Pods with it; as in "
        "a Job. Without it, it stays.",
        minimum=0,
        maximum=MOST_SECONDS,
    ),
    **SCHEDULING,
    **{
        "finally": array(
            "Tasks that run when all of `tasks` have ended, whatever the outcome: also after a "
            "failure, a stop, a deadline, and before the Observatory is deleted. A graph of its "
            "own: they may depend on each other. The outcome is in the environment of their "
            "containers: `OBSERVATORY_PHASE` (`Succeeded` or `Failed`), `OBSERVATORY_REASON`, "
            "`OBSERVATORY_FAILED_TASK`, `OBSERVATORY_MESSAGE`. If one of them fails, the run has "
            "failed.",
            TASK,
            maxItems=MAX_FINALLY,
        ),
        "finallyDeadlineSeconds": count(
            "How long `finally` may take, from the end of the tasks; then what of it runs is "
            "ended. Without it there is no such limit, but 300 seconds while the Observatory is "
            "being deleted.",
            minimum=1,
            maximum=MOST_SECONDS,
        ),
    },
)
