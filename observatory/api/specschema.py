"""The schema of `spec`: what the user writes.

Nothing under `tasks` has a default: the revision that a run is pinned to is a hash of the tasks
as they are stored, and a default that a later version adds would change it.

There is no CEL rule here either. With 4,000 tasks of 4,000 dependencies even "no task depends on
itself" is estimated at 1.6 times what the API server allows a rule. A rule on each variable of
`env` fits, but is evaluated again at each write of the status, which it made a fifth slower. What
a schema cannot say is checked by `core/validation.py`.
"""

from __future__ import annotations

from observatory.api.envschema import ENV_VAR, LONGEST_STRING
from observatory.api.openapi import (
    array,
    boolean,
    count,
    label,
    map_by,
    mapping,
    set_of,
    string,
)

MAX_TASKS = 4000
"""A run of this size fits in etcd, its status included."""
MAX_ARGUMENTS = 1024
MAX_ENV = 1000
MAX_IMAGE = 1024
MAX_SCHEDULE = 256

_ARGUMENT = string("One argument.", maxLength=LONGEST_STRING)

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
        "The names of the tasks that must have succeeded before this one starts. A task without "
        "dependencies starts at once; tasks that do not depend on each other run at the same "
        "time. The dependencies must not form a cycle.",
        label("The name of a task in this Observatory."),
        maxItems=MAX_TASKS,
    ),
    env=map_by(
        "name",
        "Environment variables of the container, as in a Pod.",
        ENV_VAR,
        maxItems=MAX_ENV,
    ),
    image=string(
        "The container image, such as `busybox:1.36` or `registry.example.com/team/tool@sha256:…`. "
        "With a tag that moves, such as `latest`, two runs may run different programs.",
        minLength=1,
        maxLength=MAX_IMAGE,
    ),
    name=label(
        "The name of the task, unique in this Observatory: lower case letters, digits and `-`, "
        "at most 63. It is in the name of the task's Pod and in its label "
        "`workflow.seventh-horizon.io/task`."
    ),
)

SPEC = mapping(
    "What to run, and how. The tasks are what a run executes: a run that has begun keeps the tasks "
    "it began with, and tasks that are edited meanwhile run afterwards. The other fields are how "
    "it is driven: they act at once.",
    "tasks",
    maxConcurrent=count(
        "How many tasks of this Observatory may run at the same time. Without it, all tasks run "
        "whose dependencies have succeeded. A change acts at once: a lower number stops no task "
        "that runs, it only holds back the next ones.",
        minimum=1,
        maximum=2**31 - 1,
    ),
    schedule=string(
        "When to run again and again: five cron fields (minute, hour, day of month, month, day of "
        "week), such as `30 6 * * 1-5`, or one of `@hourly`, `@daily`, `@weekly`, `@monthly`, "
        "`@yearly`. An Observatory with a schedule is a template: it runs no task itself. "
        "Scheduling is not active in this version; the condition `Scheduled` says so.",
        minLength=1,
        maxLength=MAX_SCHEDULE,
    ),
    suspend=boolean(
        "Whether to start no more tasks. Those that run go on to their end. When it is false "
        "again, the run goes on where it stopped. Off unless given."
    ),
    tasks=array(
        "The tasks of the workflow, and by their dependencies its graph. In any order; between "
        "tasks that could start at the same time, the earlier one in this list goes first.",
        TASK,
        minItems=1,
        maxItems=MAX_TASKS,
    ),
)
