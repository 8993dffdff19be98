from __future__ import annotations

import ast
import io
import logging
import re
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import orjson
import pytest
import structlog

import observatory
from observatory.api.types import JsonObject
from observatory.telemetry.log import VALUE_LENGTH, VOCABULARY, Format, Level, configure, logger

pytestmark = pytest.mark.usefixtures("log_as_before")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(out: io.StringIO) -> list[JsonObject]:
    return [orjson.loads(line) for line in out.getvalue().splitlines()]


def test_lines_are_json_where_nobody_looks() -> None:
    out = io.StringIO()
    log = logger("controller", controller="observatory")
    configure(stream=out)
    log.info("Created Pod", pod="p-1", attempt=1)
    (line,) = lines(out)
    assert list(line)[:4] == ["ts", "level", "logger", "msg"]
    assert datetime.fromisoformat(line.pop("ts")).tzinfo is not None
    assert line == {
        "level": "info",
        "logger": "controller",
        "msg": "Created Pod",
        "controller": "observatory",
        "pod": "p-1",
        "attempt": 1,
    }


@pytest.mark.parametrize("value", [orjson.loads(b"[" * 1020 + b"]" * 1020), [10**5000]], ids=type)
def test_a_value_that_cannot_be_written_does_not_cost_the_line(value: object) -> None:
    out = io.StringIO()
    configure(stream=out)
    logger("reflector").error("Skipped object that could not be read", name=value, error="bad")
    (line,) = lines(out)
    assert (line["name"], line["error"], line["level"]) == ("list", "bad", "error")


def test_lines_are_for_people_in_a_terminal() -> None:
    out = Terminal()
    configure(stream=out)
    logger("controller").info("Created Pod", pod="p-1")
    assert "Created Pod" in out.getvalue()
    assert "\x1b[" in out.getvalue()
    plain = io.StringIO()
    configure(style=Format.CONSOLE, stream=plain)
    logger("controller").info("Created Pod", pod="p-1")
    assert "\x1b[" not in plain.getvalue()
    assert "pod=p-1" in plain.getvalue()


def test_less_important_lines_are_left_out() -> None:
    out = io.StringIO()
    configure(level=Level.WARNING, stream=out)
    log = logger("x")
    for say in (log.debug, log.info, log.warning, log.error):
        say("Said")
    assert [line["level"] for line in lines(out)] == ["warning", "error"]


def test_what_libraries_say_looks_the_same() -> None:
    out = io.StringIO()
    configure(stream=out)
    logging.getLogger("aiohttp.client").warning("lost %s", "it")
    logging.getLogger("aiohttp.client").info("not worth a line")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", UserWarning, stacklevel=1)
    said, warned = lines(out)
    assert (said["logger"], said["msg"], said["level"]) == ("aiohttp.client", "lost it", "warning")
    assert (warned["logger"], warned["level"]) == ("py.warnings", "warning")


def test_an_unexpected_error_has_its_traceback() -> None:
    out = io.StringIO()
    configure(stream=out)
    try:
        raise LookupError("x")  # noqa: TRY301
    except LookupError:
        logger("x").exception("Failed to reconcile")
    (line,) = lines(out)
    assert line["level"] == "error"
    assert line["exception"].endswith("LookupError: x")


def test_fields_of_the_task_at_hand_are_in_all_its_lines() -> None:
    out = io.StringIO()
    configure(stream=out)
    with structlog.contextvars.bound_contextvars(reconcileID="r-1"):
        logger("x").info("Started")
    assert lines(out)[0]["reconcileID"] == "r-1"


def test_long_texts_are_cut() -> None:
    out = io.StringIO()
    configure(stream=out)
    logger("x").info("Failed", error=ValueError("x" * 100_000), reason="y" * VALUE_LENGTH)
    (line,) = lines(out)
    assert line["error"] == "x" * (VALUE_LENGTH - 1) + "…"
    assert line["reason"] == "y" * VALUE_LENGTH


_METHODS = {"debug", "info", "warning", "error", "exception", "critical"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call of a logger in the package, with its place."""
    for path in sorted(Path(observatory.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in _METHODS
                and re.search(r"\blog\b|_log\b", ast.unparse(node.func.value))
            ):
                yield f"{path.name}:{node.lineno}", node


def test_all_lines_of_the_operator_keep_to_the_vocabulary() -> None:
    found = list(calls())
    assert found
    wrong = []
    for place, call in found:
        message = call.args[0] if call.args else None
        constant = isinstance(message, ast.Constant) and isinstance(message.value, str)
        if not constant or not re.fullmatch(r"[A-Z].*[^.!]", ast.literal_eval(call.args[0])):
            wrong.append(f"{place}: the message has to be a constant sentence without full stop")
        wrong += [
            f"{place}: {word.arg} is not in VOCABULARY"
            for word in call.keywords
            if word.arg not in {*VOCABULARY, None, "exc_info"}
        ]
    assert wrong == []
