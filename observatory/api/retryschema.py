"""The schema of a retry policy; its rules have the shape of a Job's podFailurePolicy."""

from __future__ import annotations

from observatory.api.openapi import (
    QUANTITY,
    array,
    count,
    int_or_string,
    integer,
    mapping,
    number,
    string,
)

MAX_RULES = 20
MAX_RETRIES = 1000
MAX_FACTOR = 10
_MOST_SECONDS = 2**31 - 1

_RULE = mapping(
    "One rule: what to do about an attempt that failed in this way. It has exactly one of "
    "`onExitCodes`, `onPodConditions` and `onReasons`.",
    "action",
    action=string(
        "`Retry`: again, as long as `limit` allows. `Ignore`: again, and it counts against "
        "`disruptionLimit` instead. `FailTask`: the task has failed, whatever is left of its "
        "limits. `FailWorkflow`: so has the run; what runs is ended, and `finally` runs.",
        enum=["Retry", "Ignore", "FailTask", "FailWorkflow"],
    ),
    onExitCodes=mapping(
        "By the exit code of the container.",
        "operator",
        "values",
        operator=string(
            "`In`: the exit code is one of the values. `NotIn`: it is another one.",
            enum=["In", "NotIn"],
        ),
        values=array(
            "Exit codes; 0 is none of a failure.",
            integer("An exit code.", minimum=0, maximum=255),
            minItems=1,
            maxItems=255,
        ),
    ),
    onPodConditions=array(
        "By the conditions of the Pod: one of these is enough.",
        mapping(
            "A condition and its status.",
            "type",
            status=string(
                "The status of the condition; `True` unless given.",
                enum=["True", "False", "Unknown"],
            ),
            type=string("The type, such as `DisruptionTarget`.", minLength=1, maxLength=316),
        ),
        minItems=1,
        maxItems=20,
    ),
    onReasons=array(
        "By the class of the failure, such as `Timeout`, or by its reason, such as `Evicted`: one "
        "of these is enough.",
        string("A class or a reason, as in the status of a task.", minLength=1, maxLength=128),
        minItems=1,
        maxItems=20,
    ),
)

RETRY = mapping(
    "What to do when an attempt fails: how often to try again, after which pause, and after "
    "which failures. Each retry is a new Pod, started when the one before has really ended.",
    backoff=mapping(
        "The pause before a retry. Each is longer than the one before; up to a tenth is taken off "
        "so that many tasks don't come back at the same moment.",
        factor=number(
            "By how much each pause is longer than the one before; 2 unless given.",
            minimum=1,
            maximum=MAX_FACTOR,
        ),
        initialSeconds=count(
            "The pause before the first retry; 10 unless given.", minimum=0, maximum=_MOST_SECONDS
        ),
        maxSeconds=count(
            "No pause is longer than this; 360 unless given.", minimum=0, maximum=_MOST_SECONDS
        ),
    ),
    disruptionLimit=count(
        "How often the task is tried again after its Pod was ended by the cluster: evicted, "
        "preempted, drained, on a node that was lost. Such failures never use up `limit`. 20 "
        "unless given.",
        minimum=0,
        maximum=MAX_RETRIES,
    ),
    limit=count(
        "How often the task is tried again after it failed by itself. 0 unless given.",
        minimum=0,
        maximum=MAX_RETRIES,
    ),
    memory=mapping(
        "After an attempt that was killed for using more memory than its limit, the next ones get "
        "more: request and limit times `factor`, up to `max`. The task must have a limit of "
        "memory.",
        "factor",
        "max",
        factor=number(
            "What the memory is multiplied by, such as 1.5.", minimum=1, maximum=MAX_FACTOR
        ),
        max=int_or_string("The most that is given, such as `16Gi`.", pattern=QUANTITY),
    ),
    rules=array(
        "What to do about certain failures; the first rule that matches counts. Where none does, "
        "failures of the task are retried up to `limit`, interruptions by the cluster up to "
        "`disruptionLimit`, and what trying again can't help, such as an invalid image name, is "
        "not retried.",
        _RULE,
        maxItems=MAX_RULES,
    ),
)
