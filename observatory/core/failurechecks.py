"""What a schema cannot say about retries, deadlines, resources and branches of a task."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from decimal import Decimal

from observatory.api.fielderrors import (
    FieldError,
    child,
    did_you_mean,
    invalid,
    required,
    unsupported,
)
from observatory.api.quantity import parse_quantity
from observatory.api.taskstatus import FailureClass
from observatory.api.types import JsonObject

_MATCHERS = ("onExitCodes", "onPodConditions", "onReasons")
_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_QUALIFIED = re.compile(r"hugepages-[0-9]+[KMGTPE]i|([a-z0-9-]+\.)+[a-z0-9-]+/[A-Za-z0-9._-]+")
_REASON = re.compile(r"[A-Z][A-Za-z0-9]*")
_CLASSES = [each.value for each in FailureClass]


def check_spec(spec: JsonObject) -> Iterator[FieldError]:
    """What is wrong with the fields beside the tasks."""
    retry = spec.get("retry")
    if isinstance(retry, dict):
        yield from _check_retry(retry, "spec.retry")
    if spec.get("finallyDeadlineSeconds") is not None and not spec.get("finally"):
        text = "there is no finally that it could be the deadline of"
        yield invalid("spec.finallyDeadlineSeconds", spec["finallyDeadlineSeconds"], text)


def check_task(task: JsonObject, path: str) -> Iterator[FieldError]:
    """What is wrong with a task."""
    if task.get("triggerRule") is not None and not task.get("dependencies"):
        text = "must be left out: without dependencies the task starts at once"
        yield invalid(f"{path}.triggerRule", task["triggerRule"], text)
    yield from _check_deadlines(task, path)
    limits = yield from _check_resources(task.get("resources"), f"{path}.resources")
    retry = task.get("retry")
    if isinstance(retry, dict):
        yield from _check_retry(retry, f"{path}.retry")
        yield from _check_memory(retry.get("memory"), limits, path)


def _check_deadlines(task: JsonObject, path: str) -> Iterator[FieldError]:
    whole = task.get("activeDeadlineSeconds")
    for field in ("attemptDeadlineSeconds", "startingDeadlineSeconds"):
        seconds = task.get(field)
        if type(seconds) is int and type(whole) is int and seconds > whole:
            text = (
                f"must not be more than activeDeadlineSeconds, {whole}, which ends the task before"
            )
            yield invalid(f"{path}.{field}", seconds, text)


def _check_retry(retry: JsonObject, path: str) -> Iterator[FieldError]:
    backoff = retry.get("backoff")
    if isinstance(backoff, dict):
        first, most = backoff.get("initialSeconds"), backoff.get("maxSeconds")
        if type(first) is int and type(most) is int and first > most:
            text = f"must not be less than initialSeconds, {first}"
            yield invalid(f"{path}.backoff.maxSeconds", most, text)
    rules = retry.get("rules")
    for index, rule in enumerate(rules if isinstance(rules, list) else ()):
        if isinstance(rule, dict):
            yield from _check_rule(rule, f"{path}.rules[{index}]")


def _check_rule(rule: JsonObject, path: str) -> Iterator[FieldError]:
    given = [name for name in _MATCHERS if rule.get(name) is not None]
    if not given:
        yield required(path, f"must have one of {', '.join(_MATCHERS)}")
    if len(given) > 1:
        text = f"must have only one of {', '.join(_MATCHERS)}: make two rules of it"
        yield invalid(f"{path}.{given[1]}", rule[given[1]], text)
    codes = rule.get("onExitCodes")
    values = codes.get("values") if isinstance(codes, dict) else None
    if isinstance(values, list) and isinstance(codes, dict) and codes.get("operator") == "In":
        for index, value in enumerate(values):
            if value == 0 and value is not False:
                text = "must not be 0 with operator In: 0 is no failure"
                yield invalid(f"{path}.onExitCodes.values[{index}]", value, text)
    reasons = rule.get("onReasons")
    for index, reason in enumerate(reasons if isinstance(reasons, list) else ()):
        if isinstance(reason, str) and reason and not _REASON.fullmatch(reason):
            hint = did_you_mean(reason, _CLASSES)
            text = "must be a class or a reason as in the status, such as Timeout or Evicted;"
            yield invalid(f"{path}.onReasons[{index}]", reason, f"{text} {hint}".strip())


def _check_resources(
    resources: object, path: str
) -> Generator[FieldError, None, dict[str, Decimal]]:
    """What is wrong with them; it returns the limits."""
    amounts: dict[str, dict[str, Decimal]] = {"requests": {}, "limits": {}}
    for kind, found in amounts.items():
        given = resources.get(kind) if isinstance(resources, dict) else None
        for name, amount in (given if isinstance(given, dict) else {}).items():
            where = child(f"{path}.{kind}", name)
            if name not in _RESOURCES and not _QUALIFIED.fullmatch(name):
                yield unsupported(where, name, [*_RESOURCES, "hugepages-2Mi", "example.com/gpu"])
            value = _quantity(amount)
            if value is None:
                continue  # the schema has said so
            if value < 0:
                yield invalid(where, amount, "must not be negative")
            found[name] = value
    for name, most in amounts["limits"].items():
        asked = amounts["requests"].get(name)
        if asked is not None and asked > most:
            where = child(f"{path}.requests", name)
            assert isinstance(resources, dict)  # noqa: S101 - or there was nothing in it
            text = f"must not be more than the limit, {resources['limits'][name]}"
            yield invalid(where, resources["requests"][name], text)
    return amounts["limits"]


def _check_memory(memory: object, limits: dict[str, Decimal], path: str) -> Iterator[FieldError]:
    if not isinstance(memory, dict):
        return
    if "memory" not in limits:
        text = "needs the limit that it is to raise"
        yield required(f"{path}.resources.limits.memory", f"retry.memory {text}")
        return
    most = _quantity(memory.get("max"))
    if most is not None and most < limits["memory"]:
        text = "must not be less than resources.limits.memory"
        yield invalid(f"{path}.retry.memory.max", memory["max"], text)


def _quantity(amount: object) -> Decimal | None:
    if isinstance(amount, bool) or not isinstance(amount, int | str):
        return None
    try:
        return parse_quantity(str(amount))
    except (ValueError, ArithmeticError):
        return None
