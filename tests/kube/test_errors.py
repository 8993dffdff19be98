from __future__ import annotations

import orjson
import pytest

from observatory.api.types import JsonObject
from observatory.kube import errors
from observatory.kube.errors import ApiError, Forbidden, ServerError, TransportError


def status(code: int, reason: str, message: str = "no", **details: object) -> bytes:
    body = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return orjson.dumps({**body, "details": details})


@pytest.mark.parametrize(
    ("code", "reason", "kind", "unknown"),
    [
        (400, "BadRequest", errors.BadRequest, False),
        (401, "Unauthorized", errors.Unauthorized, False),
        (403, "Forbidden", errors.Forbidden, False),
        (404, "NotFound", errors.NotFound, False),
        (405, "MethodNotAllowed", ApiError, False),
        (409, "Conflict", errors.Conflict, False),
        (409, "AlreadyExists", errors.AlreadyExists, False),
        (410, "Expired", errors.Gone, False),
        (413, "RequestEntityTooLarge", errors.TooLarge, False),
        (422, "Invalid", errors.Invalid, False),
        (429, "TooManyRequests", errors.TooManyRequests, False),
        (500, "InternalError", errors.ServerError, True),
        (503, "ServiceUnavailable", errors.ServerError, True),
        (504, "Timeout", errors.ServerError, True),
    ],
)
def test_each_answer_has_its_kind(
    code: int,
    reason: str,
    kind: type[ApiError],
    unknown: bool,  # noqa: FBT001
) -> None:
    error = errors.from_status(code, status(code, reason), {})
    assert type(error) is kind
    assert (error.status, error.reason, error.message) == (code, reason, "no")
    assert error.outcome_unknown is unknown
    assert str(error) == f"no ({code} {reason})"


@pytest.mark.parametrize("code", [400, 403, 422])
@pytest.mark.parametrize("words", ["denied request: no", "denied the request without explanation"])
def test_a_policys_denial_is_one_whatever_its_code(code: int, words: str) -> None:
    assert errors.from_status(code, status(code, "Invalid", f"'p' {words}"), {}).denied_by_policy
    assert not errors.from_status(code, status(code, "Invalid"), {}).denied_by_policy


def test_without_an_answer_the_outcome_is_unknown() -> None:
    assert TransportError("reset").outcome_unknown


@pytest.mark.parametrize(
    "text",
    [
        "etcdserver: request is too large",
        "rpc error: desc = trying to send message larger than max (2356733 vs. 2097152)",
    ],
)
def test_what_is_too_large_is_permanent_however_it_is_said(text: str) -> None:
    error = errors.from_status(500, status(500, "InternalError", text), {})
    assert type(error) is errors.TooLarge
    assert not error.outcome_unknown


def test_a_page_of_a_proxy_is_quoted_in_one_line() -> None:
    error = errors.from_status(502, b"<html>\n  Bad\xff gateway", {})
    assert type(error) is ServerError
    assert error.message == "<html> Bad\ufffd gateway"
    assert errors.from_status(404, b'{"kind": "Other", "message": 1}', {}).reason == "NotFound"
    assert errors.from_status(404, b"", {}).message == "HTTP 404 without a message"


def test_a_message_is_cut() -> None:
    error = errors.from_status(500, status(500, "x", "y" * 5000), {})
    assert error.message == "y" * 1023 + "…"


@pytest.mark.parametrize(
    ("code", "header", "detail", "seconds"),
    [
        (429, "5", 9, 5),
        (503, None, 9, 9),
        (429, None, None, 1),
        (503, None, None, None),
        (429, "Wed, 21 Oct 2026 07:28:00 GMT", None, 1),
        (429, "-1", None, 1),
        (429, "nan", None, 1),
        (429, "inf", None, 1),
        (409, None, None, None),
    ],
)
def test_when_to_come_back(
    code: int, header: str | None, detail: int | None, seconds: float | None
) -> None:
    details: JsonObject = {"retryAfterSeconds": detail} if detail else {}
    body = status(code, "x", **details)
    error = errors.from_status(code, body, {"Retry-After": header} if header else {})
    assert error.retry_after == seconds


def forbidden(message: str, *causes: str) -> Forbidden:
    body = status(403, "Forbidden", message, causes=[{"reason": cause} for cause in causes])
    error = errors.from_status(403, body, {})
    assert isinstance(error, Forbidden)
    return error


def test_the_kinds_of_forbidden_are_told_apart() -> None:
    quota = forbidden('pods "x" is forbidden: exceeded quota: q, requested: pods=1')
    ending = forbidden("because it is being terminated", "NamespaceTerminating")
    rbac = forbidden('User "x" cannot create resource "pods"')
    kinds = [(one.quota_exceeded, one.namespace_terminating) for one in (quota, ending, rbac)]
    assert kinds == [(True, False), (False, True), (False, False)]


@pytest.mark.parametrize("details", [{"causes": "x"}, {"causes": [1]}, [], "x", None])
def test_details_that_are_malformed_do_no_harm(details: object) -> None:
    body = orjson.dumps({"kind": "Status", "message": "no", "details": details})
    error = errors.from_status(403, body, {})
    assert error.causes <= {""}


@pytest.mark.parametrize(
    "body",
    [
        status(504, "Timeout", "x", causes=[{"reason": "ResourceVersionTooLarge"}]),
        status(504, "Timeout", "Timeout: Too large resource version: 9, current: 1"),
    ],
)
def test_a_version_that_is_not_there_yet_is_known(body: bytes) -> None:
    error = errors.from_status(504, body, {})
    assert isinstance(error, ServerError)
    assert error.too_large_resource_version


@pytest.mark.parametrize(
    ("status_", "kind", "retry_after"),
    [
        ({"code": 410, "reason": "Expired", "message": "too old"}, errors.Gone, None),
        ({"code": 429, "details": {"retryAfterSeconds": 3}}, errors.TooManyRequests, 3),
        ({"code": 500, "reason": "InternalError"}, errors.ServerError, None),
        ({}, errors.ServerError, None),
        ({"code": "410"}, errors.ServerError, None),
    ],
)
def test_an_error_inside_a_watch_has_its_kind(
    status_: JsonObject, kind: type[ApiError], retry_after: float | None
) -> None:
    error = errors.from_event(status_)
    assert type(error) is kind
    assert error.retry_after == retry_after
