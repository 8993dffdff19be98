"""Structured logs: JSON for machines, coloured lines in a terminal, one vocabulary.

A message is a constant sentence in the past tense, with a capital and without a full stop
("Created Pod"); everything that varies is a field. `VOCABULARY` lists the fields: one word for one
thing, those of controller-runtime where it has one.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from enum import StrEnum
from typing import Any, TextIO

import structlog

from observatory.api.text import shorten

VOCABULARY: Mapping[str, str] = {
    "ts": "when, RFC 3339 in UTC",
    "level": "debug, info, warning, error or critical",
    "msg": "what happened",
    "logger": "the part of the operator, or the library, that says it",
    "controller": "the controller that was at work",
    "namespace": "the namespace of the Observatory",
    "name": "the name of the Observatory",
    "reconcileID": "the pass over that Observatory; the same in all its lines",
    "invariant": "what the sweeper found violated",
    "what": "what it found, in words",
    "run": "the number of the run",
    "task": "the name of the task",
    "attempt": "the number of the attempt, from 1",
    "pod": "the name of the Pod of an attempt",
    "node": "the node of that Pod",
    "uid": "the UID of the object that the line is about",
    "resource": "a kind of objects, as in `kubectl get`",
    "resourceVersion": "a version of an object or of a list",
    "revision": "the name of a ControllerRevision",
    "reason": "a CamelCase word, the same as in a condition, an Event or an API error",
    "status": "an HTTP status",
    "error": "what went wrong, in one line",
    "exception": "the traceback of an unexpected error",
    "count": "how many",
    "jump": "how far the clock of the day was set, in seconds",
    "duration": "how long something took, in seconds",
    "retryAfter": "when it is tried again, in seconds from now",
    "lease": "namespace and name of the Lease",
    "identity": "who this process is among those that want to lead",
    "holder": "who leads",
    "address": "a host and port",
    "path": "a file",
    "server": "the URL of the API server",
    "version": "the version of the operator",
    "signal": "the signal that the process was sent, or that of OpenTelemetry",
    "protocol": "how something is exported",
    "trace_id": "the trace of the run",
    "span_id": "the root span of the run",
    "trace_flags": "01 where the trace is recorded",
}
"""The fields of log lines. A test holds the code to it."""

VALUE_LENGTH = 1024
"""Texts are cut to this many characters: an API error may quote an object of a megabyte."""
_TRACEBACK_LENGTH = 16 * 1024

Logger = structlog.typing.FilteringBoundLogger
_NAME = "logger_name"  # structlog has an argument `logger` of its own
_Event = MutableMapping[str, Any]


class Format(StrEnum):
    """How lines look; AUTO is CONSOLE in a terminal and JSON elsewhere."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class Level(StrEnum):
    """The least important lines to show."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def configure(
    level: Level = Level.INFO, style: Format = Format.AUTO, stream: TextIO | None = None
) -> None:
    """Send the lines of this program and of its libraries to the stream (standard error).

    To be called once, by the program and never by a library. Libraries are shown from WARNING on.
    """
    out = stream if stream is not None else sys.stderr
    if style is Format.AUTO:
        style = Format.CONSOLE if out.isatty() else Format.JSON
    number = logging.getLevelNamesMapping()[level.upper()]
    shared = _shared()
    rendering = _rendering(style, colours=out.isatty())
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _named, *shared, _sent, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
    logging.captureWarnings(capture=True)


def set_level(level: Level) -> None:
    """Show lines from this level on, from now on; those of libraries stay as they are."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(number))


def send_to(sink: Callable[[Mapping[str, Any]], None] | None) -> None:
    """Have each line of the operator go to one more place as well, as its fields; None ends that.

    What the sink raises costs the line there, and nothing here.
    """
    _sinks[:] = [sink] if sink else []


_sinks: list[Callable[[Mapping[str, Any]], None]] = []


def _sent(_logger: object, _method: str, event: _Event) -> _Event:
    for sink in _sinks:
        with suppress(Exception):
            sink(event)
    return event


def logger(name: str, **fields: object) -> Logger:
    """A logger of one part of the operator, with fields of every line of it.

    It may be made before `configure` is called, and then follows it.
    """
    made: Logger = structlog.get_logger(**{_NAME: name}, **fields)
    return made


def _shared() -> list[structlog.typing.Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        _bounded,
    ]


def _rendering(style: Format, *, colours: bool) -> list[structlog.typing.Processor]:
    if style is Format.CONSOLE:
        return [structlog.dev.ConsoleRenderer(colors=colours, timestamp_key="ts", pad_event_to=32)]
    first = ("ts", "level", "logger", "msg")
    return [
        structlog.processors.EventRenamer("msg"),
        lambda _logger, _method, event: {
            **{key: event[key] for key in first if key in event},
            **event,
        },
        structlog.processors.JSONRenderer(_json, default=str, ensure_ascii=False),
    ]


def _json(event: _Event, **options: Any) -> str:  # noqa: ANN401 -- those of json.dumps
    try:
        return json.dumps(event, **options)
    except (RecursionError, ValueError):
        # Something nested too deep or a number too long: the line matters more than the value.
        event = {
            key: value if isinstance(value, str | bool | None) else type(value).__name__
            for key, value in event.items()
        }
        return json.dumps(event, **options)


def _named(_logger: object, _method: str, event: _Event) -> _Event:
    if (name := event.pop(_NAME, None)) is not None:
        event["logger"] = name
    return event


def _bounded(_logger: object, _method: str, event: _Event) -> _Event:
    for key, value in event.items():
        limit = _TRACEBACK_LENGTH if key == "exception" else VALUE_LENGTH
        text = str(value) if isinstance(value, BaseException) else value
        if isinstance(text, str):
            event[key] = shorten(text, limit)
    return event
