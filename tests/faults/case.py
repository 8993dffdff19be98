"""Cases: a workflow, what is done to it, what goes wrong, and how it must end. They are JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.plan import Fault, PlanError, parse

JsonObject = dict[str, Any]
NAME = "run"
"""The name of the Observatory of a case."""


@dataclass(frozen=True, slots=True)
class Expect:
    """How a case must end.

    Attributes:
        run: The number of the run that ends last.
        runs: How many runs a schedule has had, all of which have succeeded.
        gone: The Observatory has been deleted, and all of its Pods with it.
        disturbed: Tasks whose Pods others have deleted or changed: they may fail.
        failed: Tasks that must fail, though not by their script.
        phase: The phase where it does not follow from the tasks, such as that of what is refused.
        message: What the status must tell together with that phase.
        exits: Exit codes that an operator may have without being asked to end.
        denied: Whether answers of 403 are to be expected.
        kept: Whether Pods stay that nobody may let go, since their owner was orphaned.
    """

    run: int = 1
    runs: int = 0
    gone: bool = False
    disturbed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    phase: str = ""
    message: str = ""
    exits: tuple[int, ...] = ()
    denied: bool = False
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One case.

    Attributes:
        spec: Of the Observatory.
        before: Objects that are in the namespace before the Observatory.
        labels: Of the namespace; see `DENY` in `site.py`.
        operators: How many.
        elect: Whether they elect a leader; else each of them works.
        flags: More flags for `observatory run`.
        steps: What users and others do meanwhile; see `steps.py`.
        heal: Seconds after which the faults are over at the latest.
        patience: Seconds that the run may take to end after that.
        quiet: Seconds in which nothing may be written at the end.
    """

    name: str
    spec: JsonObject
    faults: tuple[Fault, ...] = ()
    steps: tuple[JsonObject, ...] = ()
    before: tuple[JsonObject, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    operators: int = 1
    elect: bool = False
    flags: tuple[str, ...] = ()
    heal: float = 10.0
    patience: float = 60.0
    quiet: float = 2.5
    expect: Expect = field(default_factory=Expect)

    @property
    def tasks(self) -> list[JsonObject]:
        """The tasks as they are at first."""
        found: list[JsonObject] = self.spec["tasks"]
        return found

    @property
    def disrupts(self) -> bool:
        """Whether the control plane itself is what suffers."""
        return any("cluster" in step["do"] for step in self.steps)

    def to_json(self) -> JsonObject:
        """As it is kept in a file."""
        made = dataclasses.asdict(self)
        made["faults"] = [fault.to_json() for fault in self.faults]
        return made


def parse_case(content: Mapping[str, Any]) -> Case:
    """The case of a file.

    Raises:
        PlanError: It has fields that nobody knows, or a fault that makes no sense.
    """
    fields = dict(content)
    fields["faults"] = tuple(map(parse, fields.get("faults", ())))
    expect = dict(fields.get("expect", {}))
    for name in ("disturbed", "failed", "exits"):
        if name in expect:
            expect[name] = tuple(expect[name])
    try:
        fields["expect"] = Expect(**expect)
        for name in ("steps", "before", "flags"):
            fields[name] = tuple(fields.get(name, ()))
        return Case(**fields)
    except TypeError as error:
        known = ", ".join(each.name for each in dataclasses.fields(Case))
        raise PlanError(f"{error}; a case has {known}") from error
