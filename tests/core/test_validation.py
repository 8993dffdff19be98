"""The errors of an Observatory. The numbers are those of the catalogue of bad inputs."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.types import JsonObject, Task
from observatory.core.validation import validate

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name' or '123-abc')"
)
CYCLE = "dependency cycle (each task waits for the next one; remove one of these dependencies)"


def task(name: str, *dependencies: str, **fields: object) -> JsonObject:
    return {"name": name, "image": "busybox", "dependencies": list(dependencies), **fields}


def observatory(*tasks: object, **spec: object) -> JsonObject:
    return {
        "apiVersion": "workflow.seventh-horizon.io/v1alpha1",
        "kind": "Observatory",
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {"tasks": list(tasks), **spec},
    }


RULE = "spec.tasks[0].retry.rules[0]"


def with_rule(**rule: object) -> JsonObject:
    return observatory(task("a", retry={"rules": [rule]}))


def named(name: object, **metadata: object) -> JsonObject:
    return observatory(task("a")) | {"metadata": {"name": name, **metadata}}


def texts(obj: object) -> list[str]:
    return [str(error) for error in validate(obj)]


def size_of(obj: JsonObject) -> int:
    return len(json.dumps(obj["spec"], separators=(",", ":")))


T3999 = [f"t{index}" for index in range(3999)]
T600 = [f"t{index}" for index in range(600)]
DENSE = observatory(*map(task, T600), *(task(f"u{index}", *T600) for index in range(600)))
LARGE = observatory(*(task(f"t{index}", args=["x" * 1000]) for index in range(1400)))

GOOD = [
    pytest.param(observatory(task("a")), id="19 one task"),
    pytest.param(observatory(*(task(f"t{i}") for i in range(500))), id="19 all parallel"),
    pytest.param(observatory(task("a"), task("b", "a"), task("c")), id="19 disconnected"),
    pytest.param(
        observatory(task("t0"), *(task(f"t{i}", f"t{i - 1}") for i in range(1, 4000))),
        id="16 chain of 4,000",
    ),
    pytest.param(
        observatory(*map(task, T3999), task("z", *T3999)),
        id="17 fan-in of 3,999",
    ),
    pytest.param(observatory(task("a" * 63), task("b", "a" * 63)), id="13 names of 63"),
    pytest.param(observatory(task("a", args=["${x}", '"}{', "{{7*7}}"])), id="24 25 literal text"),
    pytest.param(observatory(task("a"), maxConcurrent=None, suspend=None), id="27 null is absent"),
    pytest.param(observatory(task("a"), maxConcurrent=1e3), id="27 1e3 is an integer"),
    pytest.param(observatory(task("a", image="busybox:latest")), id="37 latest"),
    pytest.param(observatory(task("a", env=[{"name": "lower.case-1", "value": ""}])), id="42 env"),
    pytest.param(observatory(task("a"), schedule="0 0 29 2 *"), id="64 leap day"),
    pytest.param(observatory(task("a"), schedule="@daily"), id="66 @daily"),
    pytest.param(named(None, generateName="run-"), id="generateName"),
    pytest.param(observatory(task("a")) | {"status": {"phase": 5}}, id="82 any status"),
]  # fmt: skip


@pytest.mark.parametrize("obj", GOOD)
def test_a_good_object_has_no_error_and_can_be_read(obj: JsonObject) -> None:
    assert texts(obj) == []
    assert all(Task.from_wire(item) for item in obj["spec"]["tasks"])


BAD = [
    ("1 cycle", observatory(task("a", "b"), task("b", "c"), task("c", "a")),
     [f'spec.tasks: Invalid value: "a -> b -> c -> a": {CYCLE}']),
    ("2 self", observatory(task("a", "a")),
     ['spec.tasks[0].dependencies[0]: Invalid value: "a": task cannot depend on itself']),
    ("3 duplicate", observatory(*(task(f"t{i}") for i in range(7)), task("t2")),
     ['spec.tasks[7].name: Duplicate value: "t2" (first at spec.tasks[2])']),
    ("4 unknown", observatory(task("build"), task("b"), task("c"), task("d", "b", "bild")),
     ['spec.tasks[3].dependencies[1]: Not found: "bild" (did you mean "build"?)']),
    ("4 unknown, unlike all", observatory(task("a", "zzz")),
     ['spec.tasks[0].dependencies[0]: Not found: "zzz" (no task has this name)']),
    ("5 twice", observatory(task("a"), task("b", "a", "a")),
     [('spec.tasks[1].dependencies[1]: Duplicate value: "a" '
      "(first at spec.tasks[1].dependencies[0])")]),
    ("6 no tasks", observatory(), ["spec.tasks: Required value: must have at least 1 item"]),
    ("6 tasks missing", observatory() | {"spec": {}}, ["spec.tasks: Required value"]),
    ("6 spec missing", {"metadata": {"name": "x"}}, ["spec: Required value"]),
    ("7 upper case", observatory(task("Build")),
     [f'spec.tasks[0].name: Invalid value: "Build": {LABEL}']),
    ("8 64 characters", observatory(task("a" * 64)),
     ["spec.tasks[0].name: Too long: may not be more than 63 characters"]),
    *(("9 name", observatory(task(name)), [f'spec.tasks[0].name: Invalid value: "{name}": {LABEL}'])
      for name in ("-a", "a-", "a_b", "a.b", " ", "a b", "-")),
    ("9 empty", observatory(task("")), ["spec.tasks[0].name: Required value: must not be empty"]),
    ("10 Cyrillic", observatory(task("\u0430")),
     [rf'spec.tasks[0].name: Invalid value: "\u0430": {LABEL}']),
    ("10 emoji", observatory(task("\U0001f980")),
     [rf'spec.tasks[0].name: Invalid value: "\ud83e\udd80": {LABEL}']),
    ("10 right to left", observatory(task("a\u202eb")),
     [rf'spec.tasks[0].name: Invalid value: "a\u202eb": {LABEL}']),
    ("10 two ways to write it", observatory(task("e\u0301"), task("\u00e9")),
     [rf'spec.tasks[0].name: Invalid value: "e\u0301": {LABEL}',
      rf'spec.tasks[1].name: Invalid value: "\u00e9": {LABEL}']),
    ("11 object name", named("a" * 253),
     ["metadata.name: Too long: may not be more than 63 characters"]),
    ("11 object name with a dot", named("a.b"), [f'metadata.name: Invalid value: "a.b": {LABEL}']),
    ("12 symbols", named(None, generateName="--"),
     [f'metadata.generateName: Invalid value: "--": {LABEL}']),
    ("12 no name", named(None), ["metadata.name: Required value: or metadata.generateName"]),
    ("15 10,000 tasks", observatory(*(task(f"t{i}") for i in range(10_000))),
     ["spec.tasks: Too many: 10000: must have at most 4000 items"]),
    ("17 all of 600 on all of 600", DENSE,
     [(f"spec: Too long: {size_of(DENSE):,} bytes leave no room for a status of 1,200 tasks in "
       "the same object (split the workflow, or shorten names, commands, args and env)")]),
    ("18 10,000 dependencies", observatory(task("a", *("x" * 40 for _ in range(10_000)))),
     ["spec.tasks[0].dependencies: Too many: 10000: must have at most 4000 items"]),
    ("26 zero", observatory(task("a"), maxConcurrent=0),
     ["spec.maxConcurrent: Invalid value: 0: must be greater than or equal to 1"]),
    ("27 negative", observatory(task("a"), maxConcurrent=-1),
     ["spec.maxConcurrent: Invalid value: -1: must be greater than or equal to 1"]),
    *(("27 large", observatory(task("a"), maxConcurrent=number),
       [f"spec.maxConcurrent: Invalid value: {number}: must be less than or equal to 2147483647"])
      for number in (2**31, 2**63)),
    ("21 waits for finally", observatory(task("a", "z"), **{"finally": [task("z")]}),
     [('spec.tasks[0].dependencies[0]: Invalid value: "z": a task cannot wait for finally, which '
       "runs after all tasks")]),
    ("21 finally waits for a task", observatory(task("a"), **{"finally": [task("z", "a")]}),
     [('spec.finally[0].dependencies[0]: Invalid value: "a": finally runs after all tasks anyway; '
       "remove it")]),
    ("21 a name of both", observatory(task("a"), **{"finally": [task("a")]}),
     ['spec.finally[0].name: Duplicate value: "a" (first at spec.tasks[0])']),
    ("21 cycle", observatory(task("a"), **{"finally": [task("y", "z"), task("z", "y")]}),
     [f'spec.finally: Invalid value: "y -> z -> y": {CYCLE}']),
    ("21 deadline of nothing", observatory(task("a"), finallyDeadlineSeconds=9),
     [("spec.finallyDeadlineSeconds: Invalid value: 9: there is no finally that it could be the "
       "deadline of")]),
    ("28 1,001 retries", observatory(task("a", retry={"limit": 1001})),
     ["spec.tasks[0].retry.limit: Invalid value: 1001: must be less than or equal to 1000"]),
    ("29 a year", observatory(task("a", retry={"backoff": {"initialSeconds": "1y"}})),
     ['spec.tasks[0].retry.backoff.initialSeconds: Invalid value: "1y": must be an integer']),
    ("29 first above most", observatory(
        task("a"), retry={"backoff": {"initialSeconds": 9, "maxSeconds": 5}}),
     [("spec.retry.backoff.maxSeconds: Invalid value: 5: must not be less than initialSeconds, "
       "9")]),
    ("29 factor", observatory(task("a", retry={"backoff": {"factor": 0.5}})),
     [("spec.tasks[0].retry.backoff.factor: Invalid value: 0.5: must be greater than or equal to "
       "1")]),
    ("31 deadline of 0", observatory(task("a", activeDeadlineSeconds=0)),
     ["spec.tasks[0].activeDeadlineSeconds: Invalid value: 0: must be greater than or equal to 1"]),
    ("31 longer than the whole", observatory(
        task("a", activeDeadlineSeconds=5, attemptDeadlineSeconds=6)),
     [("spec.tasks[0].attemptDeadlineSeconds: Invalid value: 6: must not be more than "
       "activeDeadlineSeconds, 5, which ends the task before")]),
    ("33 cpu: abc", observatory(task("a", resources={"limits": {"cpu": "abc"}})),
     [('spec.tasks[0].resources.limits.cpu: Invalid value: "abc": must be a quantity '
       "(e.g. '1', '500m', '1Mi')")]),
    ("33 negative", observatory(task("a", resources={"requests": {"cpu": "-1"}})),
     ['spec.tasks[0].resources.requests.cpu: Invalid value: "-1": must not be negative']),
    ("33 a resource that is none", observatory(task("a", resources={"limits": {"mem": "1Gi"}})),
     [('spec.tasks[0].resources.limits.mem: Unsupported value: "mem": supported values: "cpu", '
       '"memory", "ephemeral-storage", "hugepages-2Mi", "example.com/gpu"')]),
    ("34 requests above limits", observatory(
        task("a", resources={"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}})),
     [('spec.tasks[0].resources.requests.memory: Invalid value: "2Gi": must not be more than the '
       "limit, 1Gi")]),
    ("35 negative", observatory(task("a"), ttlSecondsAfterFinished=-1),
     ["spec.ttlSecondsAfterFinished: Invalid value: -1: must be greater than or equal to 0"]),
    ("36 exit code 256", with_rule(action="Retry", onExitCodes={"operator": "In", "values": [256]}),
     [(f"{RULE}.onExitCodes.values[0]: Invalid value: 256: must be less than or equal to 255")]),
    ("36 exit code 0", with_rule(action="Retry", onExitCodes={"operator": "In", "values": [0]}),
     [(f"{RULE}.onExitCodes.values[0]: Invalid value: 0: must not be 0 with operator In: 0 is no "
       "failure")]),
    ("36 a rule about nothing", with_rule(action="Retry"),
     [f"{RULE}: Required value: must have one of onExitCodes, onPodConditions, onReasons"]),
    ("36 a rule about two things", with_rule(
        action="Retry", onReasons=["Timeout"], onPodConditions=[{"type": "X"}]),
     [(f"{RULE}.onReasons: Invalid value: an array of 1 item: must have only one of "
       "onExitCodes, onPodConditions, onReasons: make two rules of it")]),
    ("36 an action that is none", with_rule(action="Again", onReasons=["Timeout"]),
     [(f'{RULE}.action: Unsupported value: "Again": supported values: "Retry", "Ignore", '
       '"FailTask", "FailWorkflow"')]),
    ("36 a reason that is none", with_rule(action="Retry", onReasons=["timeout"]),
     [(f'{RULE}.onReasons[0]: Invalid value: "timeout": must be a class or a reason as in the '
       'status, such as Timeout or Evicted; did you mean "Timeout"?')]),
    ("36 memory without a limit", observatory(
        task("a", retry={"memory": {"factor": 2, "max": "1Gi"}})),
     [("spec.tasks[0].resources.limits.memory: Required value: retry.memory needs the limit that "
       "it is to raise")]),
    ("36 memory that shrinks", observatory(
        task("a", resources={"limits": {"memory": "2Gi"}},
             retry={"memory": {"factor": 2, "max": "1Gi"}})),
     [('spec.tasks[0].retry.memory.max: Invalid value: "1Gi": must not be less than '
       "resources.limits.memory")]),
    ("36 a trigger of nothing", observatory(task("a", triggerRule="AllDone")),
     [('spec.tasks[0].triggerRule: Invalid value: "AllDone": must be left out: without '
       "dependencies the task starts at once")]),
    ("51 grace below 0", observatory(task("a", terminationGracePeriodSeconds=-1)),
     [("spec.tasks[0].terminationGracePeriodSeconds: Invalid value: -1: must be greater than or "
       "equal to 0")]),
    ("27 string", observatory(task("a"), maxConcurrent="5"),
     ['spec.maxConcurrent: Invalid value: "5": must be an integer']),
    ("27 NaN", observatory(task("a"), maxConcurrent=float("nan")),
     ["spec.maxConcurrent: Invalid value: NaN: must be an integer"]),
    ("37 image empty", observatory(task("a", image="")),
     ["spec.tasks[0].image: Required value: must not be empty"]),
    ("37 image missing", observatory({"name": "a"}), ["spec.tasks[0].image: Required value"]),
    ("37 image upper case", observatory(task("a", image="UPPER/x")),
     [('spec.tasks[0].image: Invalid value: "UPPER/x": invalid reference format: repository name '
      "must be lowercase")]),
    ("37 image of three parts", observatory(task("a", image="a:b:c")),
     [('spec.tasks[0].image: Invalid value: "a:b:c": invalid reference format: the tag after \':\' '
      "must be at most 128 letters, digits, '_', '.' and '-', and not begin with '.' or '-'")]),
    ("37 image of 5 KiB", observatory(task("a", image="x" * 5120)),
     ["spec.tasks[0].image: Too long: may not be more than 1024 characters"]),
    ("40 command as string", observatory(task("a", command="sh -c")),
     ['spec.tasks[0].command: Invalid value: "sh -c": must be an array (write ["sh -c"])']),
    ("41 10,000 variables", observatory(task("a", env=[{"name": f"V{i}"} for i in range(10_000)])),
     ["spec.tasks[0].env: Too many: 10000: must have at most 1000 items"]),
    ("41 a value of 1 MiB", observatory(task("a", env=[{"name": "A", "value": "x" * 2**20}])),
     ["spec.tasks[0].env[0].value: Too long: may not be more than 131071 characters"]),
    ("41 too much of all", LARGE,
     [(f"spec: Too long: {size_of(LARGE):,} bytes leave no room for a status of 1,400 tasks in "
       "the same object (split the workflow, or shorten names, commands, args and env)")]),
    ("42 variable with =", observatory(task("a", env=[{"name": "1=2"}])),
     [('spec.tasks[0].env[0].name: Invalid value: "1=2": must consist of printable ASCII '
      "characters other than '='")]),
    ("42 variable empty", observatory(task("a", env=[{"name": ""}])),
     ["spec.tasks[0].env[0].name: Required value: must not be empty"]),
    ("42 variable in Cyrillic", observatory(task("a", env=[{"name": "\u0430"}])),
     [(r'spec.tasks[0].env[0].name: Invalid value: "\u0430": must consist of printable ASCII '
       "characters other than '='")]),
    ("42 variable twice", observatory(task("a", env=[{"name": "A"}, {"name": "A"}])),
     ['spec.tasks[0].env[1].name: Duplicate value: "A" (first at spec.tasks[0].env[0])']),
    ("61 four fields", observatory(task("a"), schedule="* * * *"),
     ['spec.schedule: Invalid value: "* * * *": expected 5 fields, found 4']),
    ("61 empty", observatory(task("a"), schedule=""),
     ["spec.schedule: Required value: must not be empty"]),
    ("62 minute", observatory(task("a"), schedule="60 * * * *"),
     ['spec.schedule: Invalid value: "60 * * * *": minute: 60 out of range 0-59']),
    ("63 never", observatory(task("a"), schedule="0 0 30 2 *"),
     ['spec.schedule: Invalid value: "0 0 30 2 *": never fires: no month of it has such a day']),
    ("65 step", observatory(task("a"), schedule="*/0 * * * *"),
     ['spec.schedule: Invalid value: "*/0 * * * *": minute: step must be 1 or more, not 0']),
    ("65 comma", observatory(task("a"), schedule="1,,2 * * * *"),
     ['spec.schedule: Invalid value: "1,,2 * * * *": minute: an item is missing at a comma']),
    ("66 name", observatory(task("a"), schedule="@reboot"),
     [('spec.schedule: Unsupported value: "@reboot": supported values: "@hourly", "@daily", '
      '"@midnight", "@weekly", "@monthly", "@yearly", "@annually" (or five cron fields)')]),
    ("67 zone", observatory(task("a"), schedule="TZ=UTC 0 0 * * *"),
     [('spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use TZ or CRON_TZ in schedule; '
      "use the timeZone field instead")]),
    ("68 unknown zone", observatory(task("a"), schedule="@daily", timeZone="Mars/Base"),
     ['spec.timeZone: Not found: "Mars/Base" (give an IANA name, such as Europe/Berlin or UTC)']),
    ("68 nearly a zone", observatory(task("a"), schedule="@daily", timeZone="Europe/Berlin "),
     ['spec.timeZone: Not found: "Europe/Berlin " (did you mean "Europe/Berlin"?)']),
    ("68 a path", observatory(task("a"), schedule="@daily", timeZone="../etc/passwd"),
     [('spec.timeZone: Not found: "../etc/passwd" '
       "(give an IANA name, such as Europe/Berlin or UTC)")]),
    ("68 local", observatory(task("a"), schedule="@daily", timeZone="Local"),
     ['spec.timeZone: Not found: "Local" (give an IANA name, such as Europe/Berlin or UTC)']),
    ("71 negative", observatory(task("a"), schedule="@daily", startingDeadlineSeconds=-1),
     ["spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 10"]),
    ("70 policy", observatory(task("a"), schedule="@daily", concurrencyPolicy="Deny"),
     [('spec.concurrencyPolicy: Unsupported value: "Deny": supported values: "Allow", "Forbid", '
       '"Replace", "Queue"')]),
    ("two ways to schedule",
     observatory(task("a"), schedule="@daily", schedules=[{"name": "b", "schedule": "@weekly"}]),
     ["spec.schedule: Forbidden: may not be set beside spec.schedules; give it a name there"]),
    ("schedules of one name",
     observatory(task("a"), schedules=[{"name": "b", "schedule": "@daily"},
                                       {"name": "b", "schedule": "0 0 30 2 *", "timeZone": "X"}]),
     ['spec.schedules[1].name: Duplicate value: "b" (first at spec.schedules[0])',
      ('spec.schedules[1].schedule: Invalid value: "0 0 30 2 *": never fires: no month of it has '
       "such a day"),
      ('spec.schedules[1].timeZone: Not found: "X" '
       "(give an IANA name, such as Europe/Berlin or UTC)")]),
    ("a limit of nothing", observatory(task("a"), schedule="@daily", catchUp={"limit": 3}),
     ["spec.catchUp.limit: Invalid value: 3: counts only with policy All"]),
    ("a blackout of two kinds",
     observatory(task("a"), schedule="@daily",
                 blackouts=[{"name": "b", "dates": ["12-25"], "durationSeconds": 60}]),
     [("spec.blackouts[0]: Required value: exactly one of dates, of start and end, or of schedule "
       "and durationSeconds")]),
    ("a blackout of no kind", observatory(task("a"), schedule="@daily", blackouts=[{"name": "b"}]),
     [("spec.blackouts[0]: Required value: exactly one of dates, of start and end, or of schedule "
       "and durationSeconds")]),
    ("half a blackout",
     observatory(task("a"), schedule="@daily", blackouts=[{"name": "b", "schedule": "@daily"}]),
     ["spec.blackouts[0].durationSeconds: Required value: beside schedule"]),
    ("a blackout at a hashed time",
     observatory(task("a"), schedule="@daily",
                 blackouts=[{"name": "b", "schedule": "H 3 * * *", "durationSeconds": 60}]),
     [('spec.blackouts[0].schedule: Invalid value: "H 3 * * *": H is for the times of runs: a '
       "blackout has to say when it is")]),
    ("a blackout backwards",
     observatory(task("a"), schedule="@daily",
                 blackouts=[{"name": "b", "start": "2026-01-02T00:00:00Z",
                             "end": "2026-01-01T00:00:00Z"}]),
     ['spec.blackouts[0].end: Invalid value: "2026-01-01T00:00:00Z": must be later than start']),
    ("a blackout at no time",
     observatory(task("a"), schedule="@daily",
                 blackouts=[{"name": "b", "start": "yesterday", "end": "2026-01-01T00:00:00Z"}]),
     [('spec.blackouts[0].start: Invalid value: "yesterday": must be a time such as '
       "2026-12-31T22:00:00Z")]),
    ("days that are none",
     observatory(task("a"), schedule="@daily",
                 blackouts=[{"name": "b", "dates": ["02-30", "2026-02-29", "1.5.", "02-29"]}]),
     ['spec.blackouts[0].dates[0]: Invalid value: "02-30": there is no such day',
      'spec.blackouts[0].dates[1]: Invalid value: "2026-02-29": there is no such day',
      ("spec.blackouts[0].dates[2]: Invalid value: \"1.5.\": must be a day such as '2026-12-31', "
       "or '12-31' for each year")]),
    ("91 unknown field", observatory({"name": "a", "image": "b", "dependson": []}),
     ["spec.tasks[0].dependson: Forbidden: unknown field"]),
    ("91 unknown field, nearly right", observatory({"name": "a", "image": "b", "imagee": "c"}),
     ['spec.tasks[0].imagee: Forbidden: unknown field (did you mean "image"?)']),
    ("91 unknown at the root", observatory(task("a")) | {"specs": {}},
     ['specs: Forbidden: unknown field (did you mean "spec"?)']),
    ("91 other version", observatory(task("a")) | {"apiVersion": "workflow.seventh-horizon.io/v9"},
     [('apiVersion: Unsupported value: "workflow.seventh-horizon.io/v9": supported values: '
      '"workflow.seventh-horizon.io/v1alpha1"')]),
    ("92 5,000 digits", observatory(task("a"), maxConcurrent=10**5000),
     [("spec.maxConcurrent: Invalid value: an integer of 16610 bits: must be less than or equal to "
      "2147483647")]),
    ("92 lone surrogate", observatory(task("\ud800")),
     [rf'spec.tasks[0].name: Invalid value: "\ud800": {LABEL}']),
    ("not an object", [], ["object: Invalid value: []: must be an object"]),
    ("tasks of the wrong type", observatory() | {"spec": {"tasks": {"a": {}}}},
     ["spec.tasks: Invalid value: an object of 1 field: must be an array"]),
    ("metadata of the wrong type", observatory(task("a")) | {"metadata": "x"},
     ['metadata: Invalid value: "x": must be an object']),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "errors"), [case[1:] for case in BAD], ids=[c[0] for c in BAD])
def test_a_bad_object_is_told_exactly_what_is_wrong(obj: object, errors: list[str]) -> None:
    assert texts(obj) == errors


def test_all_errors_are_reported_at_once_in_the_order_of_the_fields() -> None:
    obj = observatory(
        task("a", "b", "ghost"),
        task("b", "a"),
        task("B", image=5),
        task("b"),
        schedule="* * * *",
        maxConcurrent=0,
    )
    assert [error.path for error in validate(obj)] == [
        "spec.maxConcurrent",
        "spec.schedule",
        "spec.tasks",
        "spec.tasks[0].dependencies[1]",
        "spec.tasks[2].image",
        "spec.tasks[2].name",
        "spec.tasks[3].name",
    ]


def test_one_mistake_in_a_name_gives_one_error() -> None:
    assert texts(observatory(task("Build"), task("b", "Build"))) == [
        f'spec.tasks[0].name: Invalid value: "Build": {LABEL}',
        f'spec.tasks[1].dependencies[0]: Invalid value: "Build": {LABEL}',
    ]


def test_a_cycle_of_thousands_is_shown_by_both_of_its_ends() -> None:
    names = [f"t{index}" for index in range(4000)]
    ring = [task(name, names[index - 1]) for index, name in enumerate(names)]
    assert texts(observatory(*ring)) == [
        (
            'spec.tasks: Invalid value: "t0 -> t3999 -> t3998 -> t3997 -> t3996 -> t3995 -> '
            f'(3989 more) -> t5 -> t4 -> t3 -> t2 -> t1 -> t0": {CYCLE}'
        )
    ]


def test_only_the_first_unknown_names_are_compared_with_all_others() -> None:
    tasks = [task("build"), *(task(f"t{index}", "bild") for index in range(12))]
    hints = [error.hint for error in validate(observatory(*tasks))]
    assert hints == ['did you mean "build"?'] * 10 + ["no task has this name"] * 2


def test_4000_tasks_take_a_fraction_of_a_second() -> None:
    tasks = [
        task(
            f"t{i}", *(f"t{j}" for j in range(max(0, i - 3), i)), env=[{"name": "A", "value": "1"}]
        )
        for i in range(4000)
    ]
    began = time.process_time()
    assert texts(observatory(*tasks)) == []
    # Measured at 0.1 s; quadratic behaviour would take minutes.
    assert time.process_time() - began < 1.5


def long_name(index: int) -> str:
    return f"extract-transform-load-of-the-eu-west-region-shard-{index:04}"


def cost(obj: JsonObject) -> float:
    """CPU seconds of a check, in units of that of 4,000 plain tasks within the same run."""

    def seconds(checked: JsonObject) -> float:
        began = time.process_time()
        validate(checked)
        return time.process_time() - began

    plain = observatory(*(task(f"t{index}") for index in range(4000)))
    return seconds(obj) / min(seconds(plain) for _ in range(3))


def test_misspelled_names_among_4000_long_ones_cost_little() -> None:
    tasks = [task(long_name(index)) for index in range(3999)]
    misspelled = [long_name(index).replace("-eu-", "-ue-") for index in range(10)]
    obj = observatory(*tasks, task("x", *misspelled))

    assert [error.hint for error in validate(obj)] == [
        f'did you mean "{long_name(index)}"?' for index in range(10)
    ]
    # Measured at 1; each of the ten compared with all 4,000 would be at 40 and more.
    assert cost(obj) < 10


def test_a_flood_of_unknown_names_is_counted() -> None:
    names = [f"u{index}" for index in range(45)]
    obj = observatory(*(task(f"t{index}", *names) for index in range(4000)))

    errors = texts(obj)

    assert errors[0] == "spec.tasks: Not found: 180000 dependencies (the first 100 follow)"
    assert len(errors) == 101


def test_errors_that_nobody_would_read_are_counted() -> None:
    errors = texts(observatory(*[1] * 1500))
    assert len(errors) == 1001
    assert errors[999].startswith("spec.tasks[999]: ")
    assert errors[-1] == "object: Too many: at least 500 more"


def test_a_flood_of_errors_in_variables_ends_the_check() -> None:
    source = {"fieldRef": {"fieldPath": "metadata.none"}}
    env = [{"name": f"A{index}", "valueFrom": source} for index in range(9)]
    obj = observatory(*(task(f"t{index}", env=env) for index in range(4000)))

    assert texts(obj)[-1] == "object: Too many: at least 1 more"


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=12,
)
names = st.sampled_from(["a", "b", "c", "B", ""])
tasks_or_not = json_values | st.fixed_dictionaries(
    {},
    optional={
        "name": names | json_values,
        "image": st.just("busybox") | json_values,
        "dependencies": st.lists(names | json_values, max_size=4) | json_values,
        "env": st.lists(
            json_values
            | st.fixed_dictionaries(
                {}, optional={"name": names, "value": names, "valueFrom": json_values}
            ),
            max_size=3,
        ),
    },
)
objects = json_values | st.fixed_dictionaries(
    {},
    optional={
        "metadata": json_values
        | st.fixed_dictionaries({}, optional={"name": json_values, "generateName": json_values}),
        "apiVersion": json_values,
        "spec": json_values
        | st.fixed_dictionaries(
            {},
            optional={
                "tasks": st.lists(tasks_or_not, max_size=4) | json_values,
                "schedule": json_values,
                "suspend": json_values,
                "maxConcurrent": json_values,
            },
        ),
    },
)


@given(objects)
def test_any_json_is_judged_and_every_error_is_one_printable_line(obj: object) -> None:
    errors = validate(obj)
    for error in errors:
        assert str(error).startswith(f"{error.path}: {error.type}")
        assert str(error).isascii()
        assert str(error).isprintable()
    assert len({str(error) for error in errors}) == len(errors)


@given(objects)
def test_what_is_valid_can_be_read(obj: object) -> None:
    if isinstance(obj, dict) and not validate(obj):
        assert [Task.from_wire(item) for item in obj["spec"]["tasks"]]


def large(count: int, size: int) -> JsonObject:
    """So many tasks, and a spec of about so many bytes."""
    return observatory(*(task(f"t{i}", args=["x" * (size // count - 60)]) for i in range(count)))


def test_tasks_whose_status_would_not_fit_beside_them_are_refused_before_anything_starts() -> None:
    (error,) = validate(large(4000, 1_300_000))

    assert str(error).startswith("spec: Too long: 1,3")
    assert "leave no room for a status of 4,000 tasks" in str(error)
    assert "split the workflow" in str(error)


@pytest.mark.parametrize(("count", "size"), [(4000, 800_000), (400, 1_300_000)])
def test_where_there_is_room_for_the_status_a_spec_may_be_large(count: int, size: int) -> None:
    assert validate(large(count, size)) == []
