"""What a history follows from: a workflow, how its containers end, and what goes wrong, and when.

A scenario is a JSON file that people can read, write and shorten. The same scenario gives the same
history, as long as the code is the same; when the code changes, the faults still mean what they
say, since each names a write of an operator or a moment and not a step of a random generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

from observatory.api.types import JsonObject
from observatory.core.schedule import is_scheduled
from observatory.core.validation import validate

ACTIONS: Mapping[str, str] = {
    "crash": "the operator is killed; it is started again after `seconds`",
    "stop": "the operator gets SIGTERM; it is started again after `seconds`",
    "pause": "the operator stands still for `seconds`; what is under way arrives meanwhile",
    "skew": "the operator's time of day is off by `value` seconds from now on",
    "lose": "the request is lost (before), or its answer (after)",
    "delay": "the request (before) or its answer (after) takes `seconds` longer",
    "refuse": "requests are answered with the HTTP status `value` for `seconds`",
    "cut": "the operator's watches end: `value` is end, reset, expired, gone or empty",
    "hold": "the operator's watches of `what` (pods, observatories) deliver nothing for `seconds`",
    "rewind": "the operator's next listing of `what` is `value` versions old, and nothing newer is "
    "heard for `seconds`",
    "partition": "nothing about `what` (leases, others, all) passes for `seconds`: no request, no "
    "answer, no line of a watch",
    "compact": "the server forgets its history",
    "stall": "the kubelet and the scheduler stand still for `seconds`",
    "delete-pod": "somebody deletes the Pod of task `what`",
    "force-delete-pod": "somebody deletes it without grace",
    "strip-pod": "somebody deletes it without grace and takes its finalizers away",
    "evict-pod": "it is evicted: Failed, without a word of its container, and deleted",
    "flip-pod": "the kubelet takes back that it ended: Succeeded and Failed change places",
    "squat": "somebody makes a Pod under the name that the next Pod of task `what` is to have",
    "edit": "somebody merges `value` into the spec",
    "ask": "somebody asks for `what`: retry, stop, terminate or run-now",
    "ask-run": "somebody asks the latest run of a schedule for `what`: retry, stop or terminate",
    "delete-run": "somebody deletes the latest run of a schedule",
    "touch": "somebody else writes a label of the Observatory",
    "delete": "somebody deletes the Observatory; it stays if `what` is held: a finalizer holds it",
    "recreate": "somebody deletes it and makes it again under the same name",
    "quota": "at most `value` Pods may be made; null for as many as there are",
    "deny": "admission denies every Pod (`value` true), or no longer",
    "deprovision": "who asked for the runs may create no Pods (`value` true), or may again",
}
"""What can go wrong, and what the fields of a fault mean then."""


CUTS = ("end", "reset", "expired", "gone", "empty")
"""How a watch ends: by itself, with the connection, with 410 in it, with 410 to the next one, or
over and over at once without a word."""


class ScenarioError(ValueError):
    """A file that is no scenario; one line that names the field and the remedy."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong: `do` of ACTIONS, at a moment or at a write of an operator.

    Attributes:
        at: Seconds from the beginning.
        write: Or the operator's k-th write, from 1, over all its restarts.
        when: Before the server takes that write, or after.
    """

    do: str
    who: str = ""
    at: float | None = None
    write: int | None = None
    when: str = "after"
    seconds: float = 0.0
    what: str = ""
    value: Any = None

    def to_wire(self) -> JsonObject:
        """The fault as JSON, without what is not said."""
        wire: JsonObject = {"do": self.do}
        if self.who:
            wire["who"] = self.who
        if self.write is None:
            wire["at"] = self.at
        else:
            wire |= {"write": self.write, "when": self.when}
        if self.seconds:
            wire["seconds"] = self.seconds
        if self.what:
            wire["what"] = self.what
        if self.value is not None:
            wire["value"] = self.value
        return wire

    @classmethod
    def from_wire(cls, wire: object, path: str) -> Self:
        """The fault of one item of `faults`. Raises `ScenarioError`."""
        fields = _object(wire, path, cls.__slots__)
        do = str(fields.get("do"))
        if do not in ACTIONS:
            raise ScenarioError(f"{path}.do: Unsupported value: {do}: one of {', '.join(ACTIONS)}")
        fault = cls(
            do=do,
            who=_typed(fields, path, "who", str, ""),
            at=_number(fields, path, "at", None),
            write=_typed(fields, path, "write", int, None),
            when=_typed(fields, path, "when", str, "after"),
            seconds=_number(fields, path, "seconds", 0.0) or 0.0,
            what=_typed(fields, path, "what", str, ""),
            value=fields.get("value"),
        )
        if (fault.at is None) == (fault.write is None):
            raise ScenarioError(f"{path}: give either `at`, in seconds, or `write`, a number")
        if fault.when not in ("before", "after"):
            raise ScenarioError(f"{path}.when: Unsupported value: {fault.when!r}: before or after")
        if fault.who not in ("", "a", "b"):
            raise ScenarioError(f"{path}.who: Unsupported value: {fault.who!r}: a or b")
        fault._check(path)
        return fault

    def _check(self, path: str) -> None:
        """Refuse what would do nothing, or something else than it says."""
        if self.write is not None and self.write < 1:
            raise ScenarioError(f"{path}.write: Invalid value: must be a number from 1")
        if not self.who and (self.write is not None or self.do in _OF_AN_OPERATOR):
            raise ScenarioError(f"{path}.who: Required value: which operator, a or b")
        subjects = _WHATS.get(self.do, (self.what,))
        if self.what not in subjects:
            among = ", ".join(what or "nothing" for what in subjects)
            raise ScenarioError(f"{path}.what: Unsupported value: {self.what!r}: one of {among}")
        if not self.what and self.do in _OF_A_TASK:
            raise ScenarioError(f"{path}.what: Required value: the name of a task")
        if wanted := _wrong_value(self.do, self.value):
            raise ScenarioError(f"{path}.value: Invalid value: {self.do} needs {wanted}")


@dataclass(frozen=True, slots=True)
class Ending:
    """How the container of a task goes: how long it runs, and how it ends.

    With `fails` only so many attempts end with the exit code, and the next one with 0.
    """

    seconds: float = 1.0
    exit_code: int = 0
    reason: str | None = None
    fails: int | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole history in advance. `seed` gives the latencies; `about` says what it is about.

    A schedule is watched for `seconds`; then it is suspended, and its runs come to their end.
    """

    spec: JsonObject
    endings: Mapping[str, Ending] = field(default_factory=dict)
    operators: int = 1
    leader_election: bool = False
    faults: tuple[Fault, ...] = ()
    seed: int = 0
    seconds: float = 0.0
    about: str = ""

    def dump(self) -> bytes:
        """The scenario as a file, to be read by people too."""
        wire: JsonObject = {"about": self.about, "seed": self.seed, "operators": self.operators}
        wire["leaderElection"] = self.leader_election
        if self.seconds:
            wire["seconds"] = self.seconds
        wire["spec"] = self.spec
        wire["endings"] = {
            name: {
                key: value
                for key, value in (
                    ("seconds", ending.seconds),
                    ("exitCode", ending.exit_code),
                    ("reason", ending.reason),
                    ("fails", ending.fails),
                )
                if value is not None
            }
            for name, ending in self.endings.items()
        }
        wire["faults"] = [fault.to_wire() for fault in self.faults]
        return orjson.dumps(wire, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def load(cls, content: bytes) -> Self:
        """The scenario of a file. Raises `ScenarioError`."""
        try:
            read = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise ScenarioError(f"not JSON: {error}") from error
        known = ("about", "seed", "operators", "leaderElection", "seconds", "spec", "endings")
        wire = _object(read, "", (*known, "faults"))
        spec = wire.get("spec")
        if not isinstance(spec, dict):
            raise ScenarioError("spec: Required value: the spec of an Observatory")
        if errors := validate({"metadata": {"name": "night"}, "spec": spec}):
            raise ScenarioError(f"{errors[0]}")
        seconds = _number(wire, "", "seconds", 0.0) or 0.0
        if is_scheduled(spec) and not seconds:
            raise ScenarioError("seconds: Required value: for how long the schedule is watched")
        operators = _typed(wire, "", "operators", int, 1)
        if operators not in (1, 2):
            raise ScenarioError(f"operators: Unsupported value: {operators}: 1 or 2")
        endings, faults = wire.get("endings") or {}, wire.get("faults") or []
        if not isinstance(endings, dict) or not isinstance(faults, list):
            raise ScenarioError("endings must be an object, faults must be an array")
        made = cls(
            spec=spec,
            endings={name: _ending(ending, f"endings.{name}") for name, ending in endings.items()},
            operators=operators,
            leader_election=_typed(wire, "", "leaderElection", bool, False),  # noqa: FBT003
            faults=tuple(
                Fault.from_wire(fault, f"faults[{index}]") for index, fault in enumerate(faults)
            ),
            seed=_typed(wire, "", "seed", int, 0),
            seconds=seconds,
            about=_typed(wire, "", "about", str, ""),
        )
        if operators == 1 and any(fault.who == "b" for fault in made.faults):
            raise ScenarioError("operators: Invalid value: 1: a fault is about b, so it must be 2")
        return made


def _wrong_value(do: str, value: Any) -> str:  # noqa: ANN401 - JSON
    """What the action needs as its value, if this is none; else nothing."""
    number = value if type(value) is int else -1
    wanted = {
        "refuse": (number in _STATUSES, "an HTTP status from 400 to 599"),
        "skew": (
            type(value) in (int, float) and abs(value) <= _FURTHEST,
            f"seconds from -{_FURTHEST} to {_FURTHEST}",
        ),
        "rewind": (number > 0, "a number of versions, at least 1"),
        "quota": (number >= 0 or value is None, "a number of Pods, or null"),
        "cut": (value in CUTS, f"one of {', '.join(CUTS)}"),
        "deny": (type(value) is bool, "true or false"),
        "deprovision": (type(value) is bool, "true or false"),
        "edit": (isinstance(value, dict), "an object: what to merge into the spec"),
    }
    right, what = wanted.get(do, (True, ""))
    return "" if right else what


def _ending(wire: object, path: str) -> Ending:
    fields = _object(wire, path, ("seconds", "exitCode", "reason", "fails"))
    return Ending(
        seconds=_number(fields, path, "seconds", 1.0) or 0.0,
        exit_code=_typed(fields, path, "exitCode", int, 0),
        reason=_typed(fields, path, "reason", str, None),
        fails=_typed(fields, path, "fails", int, None),
    )


def _object(wire: object, path: str, known: tuple[str, ...]) -> JsonObject:
    if not isinstance(wire, dict):
        raise ScenarioError(f"{path or 'the file'}: Invalid value: must be an object")
    for name in wire:
        if name not in known:
            at = f"{path}.{name}" if path else name
            raise ScenarioError(f"{at}: unknown field; known are {', '.join(known)}")
    return wire


def _typed(fields: JsonObject, path: str, name: str, kind: type, default: Any) -> Any:  # noqa: ANN401
    value = fields.get(name, default)
    if value is not default and type(value) is not kind:
        at = f"{path}.{name}" if path else name
        raise ScenarioError(f"{at}: Invalid value: must be {_WORDS[kind]}")
    return value


def _number(fields: JsonObject, path: str, name: str, default: float | None) -> float | None:
    value = fields.get(name, default)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= _LONGEST:
        at = f"{path}.{name}" if path else name
        raise ScenarioError(f"{at}: Invalid value: must be seconds from 0 to {_LONGEST}")
    return float(value)


_LONGEST = 86_400
_FURTHEST = 315_360_000  # ten years: certificates and calendars go on for longer
_OF_AN_OPERATOR = frozenset(
    {"crash", "stop", "pause", "skew", "lose", "delay", "refuse", "cut", "hold", "rewind"}
    | {"partition"}
)
_OF_A_TASK = frozenset(
    {"delete-pod", "force-delete-pod", "strip-pod", "evict-pod", "flip-pod", "squat"}
)
_WHATS = {
    "ask": ("retry", "stop", "terminate", "run-now"),
    "ask-run": ("retry", "stop", "terminate"),
    "hold": ("pods", "observatories"),
    "rewind": ("pods", "observatories"),
    "partition": ("leases", "others", "all"),
    "delete": ("", "held"),
    "recreate": ("", "held"),
}
_STATUSES = range(400, 600)
_WORDS = {str: "text", int: "a whole number", bool: "true or false"}
