"""The schema of `status`: what the operator reports. The operator is the only writer."""

from __future__ import annotations

from observatory.api.openapi import array, integer, long, map_by, mapping, rule, string, time
from observatory.api.specschema import MAX_TASKS

PHASES = ("Pending", "Running", "Succeeded", "Failed")
TASK_PHASES = ("Pending", "Running", "Succeeded", "Failed", "Skipped")

_WAITING = mapping(
    "One reason to wait, and the tasks it holds back.",
    "reason",
    message=string("What is waited for, in words."),
    reason=string(
        "Why, in one word: `Dependencies`, `MaxConcurrent`, `StartPending` (its turn is about to "
        "come), `StatusFull` (the status has no room for more running tasks), `Suspended`, "
        "`ImagePull`, `Unschedulable`, `QuotaExceeded` and so on."
    ),
    since=time("Since when the first of these tasks has waited for this."),
    task=string("One of these tasks, as an example."),
    tasks=integer("How many tasks wait for this.", minimum=0),
)

_FAILURE = mapping(
    "The first failure of the run. It stays here when the Pod is gone.",
    "task",
    attempt=integer("Which attempt at the task failed; the first is 1."),
    exitCode=integer("The exit code of the container, where it ended by itself."),
    message=string("The end of what the container wrote, or what the cluster says."),
    nodeName=string("The node that the Pod ran on."),
    podName=string("The Pod of that attempt."),
    reason=string("The class of the failure in one word, such as `Error` or `OOMKilled`."),
    signal=integer("The signal that ended the container, where one did; 9 is SIGKILL."),
    task=string("The task that failed."),
    time=time("When it failed."),
)

_TASK = mapping(
    "The state of one task.",
    "name",
    attempt=integer(
        "Which attempt at the task this is; the first is 1. Absent until it is started.", minimum=0
    ),
    completionTime=time("When the task's container ended."),
    exitCode=integer("The exit code of the container."),
    message=string("More about the reason: what the task waits for, or why it failed."),
    name=string("The name of the task, as in `spec.tasks`."),
    nodeName=string("The node that the Pod was placed on."),
    phase=string(
        "`Pending`: not started. `Running`: started; while its Pod still waits, for a node or an "
        "image, `reason` says so. `Succeeded`: ended with exit code 0. `Failed`: ended otherwise. "
        "`Skipped`: will not run, because a task it depends on has failed or the run was "
        "cancelled.",
        enum=list(TASK_PHASES),
    ),
    podName=string("The Pod of this attempt."),
    podUID=string(
        "The UID of the Pod of this attempt: the one Pod whose outcome counts, whatever other Pod "
        "may have its name."
    ),
    reason=string("Why the task is in this phase, in one word."),
    signal=integer("The signal that ended the container, where one did; 9 is SIGKILL."),
    since=time("Since when the reason holds."),
    startTime=time("When the attempt was started."),
)

_CONDITION = mapping(
    "One fact about the Observatory, as `kubectl wait --for=condition=…` reads it.",
    "lastTransitionTime",
    "message",
    "reason",
    "status",
    "type",
    lastTransitionTime=time("When the status last went from one value to another."),
    message=string("The reason in words.", maxLength=32768),
    observedGeneration=long("The `metadata.generation` that the condition is about.", minimum=0),
    reason=string(
        "Why the status is what it is, in one word.",
        minLength=1,
        maxLength=1024,
        pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
    ),
    status=string("True, False, or Unknown.", enum=["True", "False", "Unknown"]),
    type=string("Which fact.", maxLength=316),
)

STATUS = mapping(
    "What has happened so far. Written by the operator only.",
    completionTime=time("When the run ended, either way."),
    conditions=map_by(
        "type",
        "What the spec and the states of the tasks amount to, for scripts: `Valid`, `Succeeded`, "
        "`Failed`, `Complete`, `Scheduled`. `Complete` is True when the run has ended either way; "
        "`Succeeded` and `Failed` say which way.",
        _CONDITION,
        maxItems=32,
    ),
    duration=string("How long the run took, such as `1m12s`; set when it has ended."),
    failure=_FAILURE,
    message=string("One line: what the run waits for, or why it failed."),
    observedGeneration=long(
        "The `metadata.generation` that this status is about. While it is behind the metadata's, "
        "the operator has not seen the last edit yet.",
        minimum=0,
    ),
    phase=string(
        "`Pending`: no task has started (`message` says why). `Running`. `Succeeded`: every task "
        "succeeded. `Failed`: at least one did not, and nothing runs any more. A summary of "
        "`tasks`.",
        enum=list(PHASES),
    ),
    progress=string("How many of the tasks have succeeded, such as `7/12`."),
    revision=string(
        "The name of the ControllerRevision that holds the tasks of this run as they were when "
        "it began."
    ),
    run=rule(
        integer(
            "Which run of this Observatory this is; the first is 1. Editing the tasks after a run "
            "has ended starts the next one.",
            minimum=0,
        ),
        "self >= oldSelf",
        "the run count never goes back",
    ),
    startTime=time("When the run began."),
    tasks=array(
        "The state of each task of the run, in the order of `spec.tasks`.",
        _TASK,
        maxItems=MAX_TASKS,
    ),
    waitingFor=array(
        "What holds the run back, one item a reason: none when it has ended.",
        _WAITING,
        maxItems=64,
    ),
)
