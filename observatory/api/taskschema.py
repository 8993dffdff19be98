"""The schema of one task: its container, what it depends on, and what its failure leads to."""

from __future__ import annotations

from observatory.api.envschema import ENV_VAR, LONGEST_STRING
from observatory.api.openapi import (
    QUANTITY,
    array,
    count,
    int_or_string,
    label,
    map_by,
    map_of,
    mapping,
    set_of,
    string,
)
from observatory.api.retryschema import RETRY
from observatory.api.securityschema import security_context

MAX_TASKS = 4000
"""A run of this size fits in etcd, its status included."""
MAX_ARGUMENTS = 1024
MAX_ENV = 1000
MAX_IMAGE = 1024
MAX_RESOURCES = 64
MOST_SECONDS = 2**31 - 1

TRIGGER_RULES = (
    "AllSucceeded",
    "AllDone",
    "AllFailed",
    "AnySucceeded",
    "AnyFailed",
    "NoneFailed",
)

_ARGUMENT = string("One argument.", maxLength=LONGEST_STRING)

_QUANTITY = int_or_string("An amount, such as `500m` or `1Gi`.", pattern=QUANTITY)

TASK = mapping(
    "One task: a container that runs to its end. It has succeeded when the container ends with "
    "exit code 0.",
    "image",
    "name",
    args=array(
        "Arguments to the command; they replace the image's CMD. `$(NAME)` stands for an "
        "environment variable of the task. There is no shell unless the command is one.",
        _ARGUMENT,
        maxItems=MAX_ARGUMENTS,
    ),
    command=array(
        "The program and its first arguments; they replace the image's ENTRYPOINT. For a shell "
        'script: `["sh", "-c"]`, and the script as the only item of `args`.',
        _ARGUMENT,
        maxItems=MAX_ARGUMENTS,
    ),
    dependencies=set_of(
        "The names of the tasks that this one comes after; it starts when they have succeeded, or "
        "as `triggerRule` says. A task without dependencies starts at once; tasks that do not "
        "depend on each other run at the same time. The dependencies must not form a cycle.",
        label("The name of a task in this Observatory."),
        maxItems=MAX_TASKS,
    ),
    env=map_by(
        "name",
        "Environment variables of the container, as in a Pod.",
        ENV_VAR,
        maxItems=MAX_ENV,
    ),
    activeDeadlineSeconds=count(
        "How long the task may take over all of its attempts, from the start of the first, the "
        "pauses between them included. Then what runs is ended and the task has failed: it is not "
        "retried. Without it there is no such limit.",
        minimum=1,
        maximum=MOST_SECONDS,
    ),
    attemptDeadlineSeconds=count(
        "How long one attempt may take, from when its node takes it, pulling the image included. "
        "It becomes the Pod's `activeDeadlineSeconds`: the kubelet keeps it, also while the "
        "operator is away. Without it there is no such limit.",
        minimum=1,
        maximum=MOST_SECONDS,
    ),
    image=string(
        "The container image, such as `busybox:1.36` or `registry.example.com/team/tool@sha256:…`. "
        "With a tag that moves, such as `latest`, two runs may run different programs.",
        minLength=1,
        maxLength=MAX_IMAGE,
    ),
    onFailure=string(
        "What it means that the task has failed for good. `Fail`: the run has failed. `Ignore`: "
        "the run goes on as if the task had succeeded; only the tasks whose `triggerRule` asks for "
        "a failure see one. `Fail` unless given.",
        enum=["Fail", "Ignore"],
    ),
    resources=mapping(
        "What the container needs and what it may use at most, as in a Pod. Beyond its limit of "
        "memory it is killed.",
        limits=map_of(
            "The most the container may use, by resource, such as `memory: 1Gi`.",
            _QUANTITY,
            maxProperties=MAX_RESOURCES,
        ),
        requests=map_of(
            "What is set aside for the container on its node, by resource, such as `cpu: 500m`.",
            _QUANTITY,
            maxProperties=MAX_RESOURCES,
        ),
    ),
    retry=RETRY,
    securityContext=security_context(
        "Whom the container runs as, as in a Pod; field by field it goes before the workflow's. "
        "Privilege escalation and capabilities are off in any case."
    ),
    startingDeadlineSeconds=count(
        "How long an attempt may wait for its container to run: for quota, a node, an image, a "
        "ConfigMap. Without it, an image that can't be pulled fails an attempt after 300 seconds, "
        "and so does a missing ConfigMap or Secret; a wait for quota or for a node has no limit.",
        minimum=1,
        maximum=MOST_SECONDS,
    ),
    terminationGracePeriodSeconds=count(
        "How long the container may take to end after SIGTERM, before it is killed; as in a Pod, "
        "30 unless given.",
        minimum=0,
        maximum=MOST_SECONDS,
    ),
    triggerRule=string(
        "When the task runs, by how its dependencies ended. `AllSucceeded`: all of them succeeded. "
        "`AllDone`: all ended, however. `AllFailed`: all failed. `AnySucceeded`, `AnyFailed`: as "
        "soon as one did; the others aren't waited for. `NoneFailed`: all ended, and succeeded or "
        "were skipped. The task is skipped as soon as its rule can't be met any more. "
        "`AllSucceeded` unless given.",
        enum=list(TRIGGER_RULES),
    ),
    name=label(
        "The name of the task, unique in this Observatory: lower case letters, digits and `-`, "
        "at most 63. It is in the name of the task's Pod and in its label "
        "`workflow.seventh-horizon.io/task`."
    ),
)
