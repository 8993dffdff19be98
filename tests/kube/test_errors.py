from __future__ import annotations

import orjson
import pytest

from observatory.api.types import JsonObject
from observatory.kube import errors
from observatory.kube.errors import ApiError, Forbidden, ServerError


def status(code: int, reason: str, message: str = "no", **details: object) -> bytes:
    body = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return orjson.dumps({**body, "details": details})


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", errors.BadRequest),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (405, "MethodNotAllowed", ApiError),
        (409, "Conflict", errors.Conflict),
        (409, "AlreadyExists", errors.AlreadyExists),
        (410, "Expired", errors.Gone),
        (413, "RequestEntityTooLarge", errors.TooLarge),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.ServerError),
        (503, "ServiceUnavailable", errors.ServerError),
        (504, "Timeout", errors.ServerError),
    ],
)
def test_each_answer_has_its_kind(code: int, reason: str, kind: type[ApiError]) -> None:
    error = errors.from_status(code, status(code, reason), {})
    assert type(error) is kind
    assert (error.status, error.reason, error.message) == (code, reason, "no")
    assert str(error) == f"no ({code} {reason})"


@pytest.mark.parametrize("code", [400, 403, 422])
@pytest.mark.parametrize("words", ["denied request: no", "denied the request without explanation"])
def test_a_policys_denial_is_one_whatever_its_code(code: int, words: str) -> None:
    assert errors.from_status(code, status(code, "Invalid", f"'p' {words}"), {}).denied_by_policy
    assert not errors.from_status(code, status(code, "Invalid"), {}).denied_by_policy


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
        (429, "1e300", None, 300),
        (503, None, 10**18, 300),
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
