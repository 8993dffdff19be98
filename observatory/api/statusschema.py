"""The schema of `status`: what the operator reports. The operator is the only writer."""

from __future__ import annotations

from observatory.api.ending import RequestType
from observatory.api.openapi import (
    array,
    boolean,
    integer,
    long,
    map_by,
    mapping,
    rule,
    string,
    time,
)
from observatory.api.runsschema import RUNS
from observatory.api.specschema import MAX_FINALLY
from observatory.api.taskschema import MAX_TASKS
from observatory.api.taskstatus import FailureClass, TaskPhase

PHASES = ("Pending", "Running", "Succeeded", "Failed")
MAX_ATTEMPTS_SHOWN = 3

_CLASS = {
    "class": string(
        "Why the attempt failed. `ApplicationError`: by itself, with an exit code or a signal. "
        "`OutOfMemory`: over its limit. `Timeout`: over a deadline. `Disruption`: ended by the "
        "cluster, such as by an eviction or a drain. `NodeLost`: with its node. `ImagePull`. "
        "`Configuration`: by what its Pod names, such as a missing ConfigMap. `Rejected`: by "
        "admission or quota. `Deleted`: its Pod, by somebody. `Lost`: its Pod vanished. "
        "`Cancelled`: by a stop, a deletion, or a failure elsewhere in the run.",
        enum=[each.value for each in FailureClass],
    )
}

_WAITING = mapping(
    "One reason to wait, and the tasks it holds back.",
    "reason",
    message=string("What is waited for, in words."),
    reason=string(
        "Why, in one word: `Dependencies`, `MaxConcurrent`, `StartPending` (its turn is about to "
        "come), `RunLimit`, `NamespaceLimit`, `ClusterLimit` (as many "
        "Pods are active as the operator lets a run, a namespace, all together have), "
        "`StatusFull` (the status has no room for more running tasks), `Suspended`, "
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
    **_CLASS,
)

_WAITED = {
    "waitedSeconds": array(
        "How long the Pod waited for its node, and from then until its container ran, which is "
        "mostly the pull of its image: as far as it came. Absent where it ran within the second.",
        integer("Seconds.", minimum=0),
        maxItems=2,
    )
}

_ATTEMPT = mapping(
    "An attempt that has ended, and was followed by another.",
    attempt=integer("Which attempt; the first is 1."),
    completionTime=time("When it ended."),
    exitCode=integer("The exit code of the container, where it ended by itself."),
    message=string("The end of what the container wrote, or what the cluster says; shortened."),
    nodeName=string("The node that the Pod ran on."),
    podName=string("The Pod of the attempt."),
    reason=string("The failure in one word, such as `Error` or `OOMKilled`."),
    signal=integer("The signal that ended the container, where one did."),
    startTime=time("When the attempt was started."),
    **_WAITED,
    **_CLASS,
)

_TASK = mapping(
    "The state of one task.",
    "name",
    attempt=integer(
        "Which attempt at the task this is; the first is 1. Absent until it is started.", minimum=0
    ),
    attempts=array(
        "The latest attempts before this one, at most three; the oldest first.",
        _ATTEMPT,
        maxItems=MAX_ATTEMPTS_SHOWN,
    ),
    cancelReason=string(
        "Why this attempt is being ended by the operator, while it is: its Pod is deleted, and the "
        "attempt has ended when its containers have."
    ),
    completionTime=time("When the task's container ended."),
    disruptions=integer(
        "How many attempts were ended by the cluster; they count against `retry.disruptionLimit`."
    ),
    exitCode=integer("The exit code of the container."),
    failures=integer("How many attempts have failed that count against `retry.limit`."),
    firstStartTime=time("When the first attempt was started, where this is a later one."),
    ignored=boolean("The task has failed, and `onFailure: Ignore` keeps the run from failing."),
    memory=string("The limit of memory of the next attempt, raised after one was killed for it."),
    message=string("More about the reason: what the task waits for, or why it failed."),
    name=string("The name of the task, as in `spec.tasks`."),
    nextAttemptTime=time("When the next attempt is started, at the earliest."),
    nodeName=string("The node that the Pod was placed on."),
    phase=string(
        "`Pending`: not started. `Running`: started; while its Pod still waits, for a node or an "
        "image, `reason` says so. `Succeeded`: ended with exit code 0. `Failed`: ended otherwise. "
        "`Skipped`: will not run, as `reason` says: a task that it depends on has failed "
        "(`DependencyFailed`), its `triggerRule` can't be met any more (`TriggerRule`), or the run "
        "is ending.",
        enum=[each.value for each in TaskPhase],
    ),
    podName=string("The Pod of this attempt."),
    podUID=string(
        "The UID of the Pod of this attempt: the one Pod whose outcome counts, whatever other Pod "
        "may have its name."
    ),
    reason=string("Why the task is in this phase, in one word."),
    run=integer("The run in which the task succeeded, where a retry kept it from that one."),
    signal=integer("The signal that ended the container, where one did; 9 is SIGKILL."),
    since=time("Since when the reason holds."),
    startTime=time("When the attempt was started."),
    **_WAITED,
    **_CLASS,
)

_ENDING = mapping(
    "That the run is to end before its tasks are through, and why. It is decided once; only a "
    "stricter way to end takes its place.",
    "mode",
    message=string("The reason in words."),
    mode=string(
        "`Drain`: no more tasks are started; those that run go on to their end. `Stop`: they are "
        "ended; then `finally` runs. `Terminate`: everything is ended at once, `finally` too.",
        enum=["Drain", "Stop", "Terminate"],
    ),
    reason=string(
        "Why: `TaskFailed` (by `failurePolicy` or by a rule of `retry`), `DeadlineExceeded`, "
        "`Stopped`, `Terminated`, or `Cancelled` (the Observatory is being deleted)."
    ),
    time=time("When it was decided."),
)

_REQUEST = mapping(
    "The answer to a request: an annotation `workflow.seventh-horizon.io/retry`, `…/stop`, "
    "`…/terminate`, `…/run-now` or `…/backfill`.",
    "type",
    message=string("What came of it, in words."),
    nonce=string("The value of the annotation that was answered."),
    outcome=string("Whether it is carried out.", enum=["Accepted", "Refused"]),
    time=time("When it was answered."),
    type=string("What was asked for.", enum=[each.value for each in RequestType]),
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
    ending=_ENDING,
    duration=string("How long the run took, such as `1m12s`; set when it has ended."),
    failure=_FAILURE,
    finallyTime=time("When all tasks had ended, so that it was the turn of `finally`."),
    message=string("One line: what the run waits for, or why it failed."),
    observedGeneration=long(
        "The `metadata.generation` that this status is about. While it is behind the metadata's, "
        "the operator has not seen the last edit yet.",
        minimum=0,
    ),
    phase=string(
        "`Pending`: no task has started (`message` says why). `Running`. `Succeeded`: no task "
        "failed. `Failed`: at least one did not, and nothing runs any more. A summary of "
        "`tasks`. With a schedule: `Running` while a run is on, else how the latest one ended.",
        enum=list(PHASES),
    ),
    progress=string(
        "How many of the tasks have succeeded, such as `7/12`; of those whose `triggerRule` "
        "let them run."
    ),
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
    requests=map_by(
        "type",
        "The answers to the latest requests, one of each type.",
        _REQUEST,
        maxItems=8,
    ),
    startTime=time("When the run began."),
    trace=mapping(
        "The OpenTelemetry trace of the run, where the operator is told to trace.",
        "traceID",
        "spanID",
        exported=boolean("The whole trace has been handed to the collector."),
        parentSpanID=string("The span of the caller that the run continues.", maxLength=16),
        previous=string("The root span of the run before, as a traceparent.", maxLength=55),
        sampled=boolean("Whether it is recorded."),
        spanID=string("The root span of the run.", maxLength=16),
        traceID=string("The trace, to be looked up by.", maxLength=32),
    ),
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
    **RUNS,
    **{
        "finally": array(
            "The state of each task of `spec.finally`, in that order, once the run has begun.",
            _TASK,
            maxItems=MAX_FINALLY,
        )
    },
)
