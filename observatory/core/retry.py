"""Whether an attempt that failed is followed by another, when, and with how much memory.

There are two budgets. What a task does wrong counts against `limit`; what the cluster does to it
counts against `disruptionLimit`, and never uses up the other. The rules have the shape and the
meaning of a Job's `podFailurePolicy`: the first that matches decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum

from observatory.api.jitter import fraction
from observatory.api.quantity import format_bytes, parse_quantity
from observatory.api.taskstatus import FailureClass
from observatory.api.types import JsonObject

JITTER = 0.1
"""Up to this part of a pause is taken off. Never is one longer than what is written."""


class Action(StrEnum):
    """What a rule says about a failure."""

    RETRY = "Retry"
    IGNORE = "Ignore"
    FAIL_TASK = "FailTask"
    FAIL_WORKFLOW = "FailWorkflow"


_DEFAULTS = {
    FailureClass.DISRUPTION: Action.IGNORE,
    FailureClass.NODE_LOST: Action.IGNORE,
    FailureClass.CONFIGURATION: Action.FAIL_TASK,
    FailureClass.REJECTED: Action.FAIL_TASK,
    FailureClass.CANCELLED: Action.FAIL_TASK,
}
"""What is done about a class that no rule speaks of; about any other: `Retry`."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules look at: how an attempt failed."""

    class_: FailureClass
    reason: str | None = None
    exit_code: int | None = None
    conditions: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Of the three things to look at, the two that it doesn't are None."""

    action: Action
    exit_codes: frozenset[int] | None = None
    others: bool = False
    conditions: frozenset[tuple[str, str]] | None = None
    reasons: frozenset[str] | None = None

    @classmethod
    def from_wire(cls, rule: JsonObject) -> Rule:
        """The rule of one item of `retry.rules`."""
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
        reasons = rule.get("onReasons")
        return cls(
            action=Action(rule["action"]),
            exit_codes=None if codes is None else frozenset(codes["values"]),
            others=codes is not None and codes["operator"] == "NotIn",
            conditions=None
            if conditions is None
            else frozenset((each["type"], each.get("status") or "True") for each in conditions),
            reasons=None if reasons is None else frozenset(reasons),
        )

    def matches(self, facts: Facts) -> bool:
        """Whether it speaks of such a failure. Without an exit code no rule about codes does."""
        if self.exit_codes is not None:
            code = facts.exit_code
            return code is not None and (code in self.exit_codes) is not self.others
        if self.conditions is not None:
            return not self.conditions.isdisjoint(facts.conditions)
        reasons = self.reasons or frozenset()
        return not reasons.isdisjoint({facts.class_, facts.reason})


@dataclass(frozen=True, slots=True)
class Memory:
    """By how much the memory grows after an attempt was killed for it, and to what at most."""

    factor: Decimal
    most: str


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a task is retried."""

    limit: int = 0
    disruption_limit: int = 20
    initial_seconds: int = 10
    factor: float = 2
    max_seconds: int = 360
    memory: Memory | None = None
    rules: tuple[Rule, ...] = ()

    @classmethod
    def from_wire(cls, *layers: JsonObject | None) -> RetryPolicy:
        """The policy of these objects, field by field: what a later one has, counts."""
        fields: JsonObject = {}
        backoff: JsonObject = {}
        for layer in filter(None, layers):
            fields |= _given(layer)
            backoff |= _given(layer.get("backoff") or {})
        plain = cls()
        memory = fields.get("memory")
        return cls(
            limit=int(fields.get("limit", plain.limit)),
            disruption_limit=int(fields.get("disruptionLimit", plain.disruption_limit)),
            initial_seconds=int(backoff.get("initialSeconds", plain.initial_seconds)),
            factor=backoff.get("factor", plain.factor),
            max_seconds=int(backoff.get("maxSeconds", plain.max_seconds)),
            memory=Memory(Decimal(str(memory["factor"])), str(memory["max"])) if memory else None,
            rules=tuple(map(Rule.from_wire, fields.get("rules") or ())),
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done: try again at the expense of one of the budgets, or not, and why not.

    Where nobody asked for retries, there is nothing to tell about why there is none.
    """

    retry: bool
    ignored: bool = False
    fails_run: bool = False
    why: str = ""


def decide(policy: RetryPolicy, failures: int, disruptions: int, facts: Facts) -> Decision:
    """What to do about an attempt that failed, after so many that count against each budget."""
    place = next((i for i, rule in enumerate(policy.rules, 1) if rule.matches(facts)), 0)
    if place:
        action = policy.rules[place - 1].action
        why = f"rule {place} of retry: {action}"
    else:
        action = _DEFAULTS.get(facts.class_, Action.RETRY)
        why = f"{facts.class_} is not retried" if policy.limit else ""
    match action:
        case Action.RETRY if failures < policy.limit:
            return Decision(retry=True)
        case Action.RETRY:
            asked = policy.limit or place
            return Decision(retry=False, why=f"retry limit {policy.limit} reached" if asked else "")
        case Action.IGNORE if disruptions < policy.disruption_limit:
            return Decision(retry=True, ignored=True)
        case Action.IGNORE:
            limit = policy.disruption_limit
            why = f"disruption limit {limit} reached" if limit or place else ""
            return Decision(retry=False, why=why)
        case _:
            pass
    return Decision(retry=False, fails_run=action is Action.FAIL_WORKFLOW, why=why)


def delay(policy: RetryPolicy, nth: int, seed: str) -> timedelta:
    """The pause before the nth retry: exponential, capped, and a little shorter by the seed.

    The same seed gives the same pause, so that it survives whoever computed it.
    """
    seconds, most = float(policy.initial_seconds), float(policy.max_seconds)
    for _ in range(nth - 1):
        seconds *= policy.factor
        if seconds >= most or policy.factor == 1:
            break
    return timedelta(seconds=min(seconds, most) * (1 - JITTER * fraction(seed, nth)))


def grown(memory: Memory, current: str) -> str | None:
    """More memory than `current`, up to the most; None where it has that already.

    Raises:
        ValueError: One of them is not a quantity.
    """
    now, most = parse_quantity(current), parse_quantity(memory.most)
    more = min((now * memory.factor).to_integral_value(ROUND_CEILING), most)
    return format_bytes(int(more)) if more > now else None


def _given(fields: Mapping[str, object]) -> JsonObject:
    """Those that are not null: null counts as absent."""
    return {name: value for name, value in fields.items() if value is not None}
