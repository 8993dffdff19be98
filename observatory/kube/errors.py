"""What the API server answers when it does not do what was asked, and what it means.

KubeError
├── ApiError             the server answered with a Status
│   ├── BadRequest       400  the request is malformed: permanent
│   ├── Unauthorized     401  the credentials were refused, also after they were read again
│   ├── Forbidden        403  RBAC, quota, PodSecurity, a terminating namespace: see `causes`
│   ├── NotFound         404
│   ├── Conflict         409  the resourceVersion or UID is not the stored one: read again
│   ├── AlreadyExists    409  an object of that name is there: look whose it is
│   ├── Gone             410  the resourceVersion or continue token is too old: list again
│   ├── Invalid          422  the object or the patch is refused: permanent
│   ├── TooLarge         413  and two shapes of 500, see below: permanent
│   ├── TooManyRequests  429  nothing was done; come back after `retry_after`
│   └── ServerError      5xx  for a write, what happened is unknown
└── TransportError       no answer: for a write, what happened is unknown
LeaseLost                nothing was sent: this process does not lead any more
"""

# ruff: noqa: N818 -- named as the fact, with the words that the API itself uses as reasons

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from observatory.api.text import shorten
from observatory.api.types import JsonObject

MESSAGE_LENGTH = 1024
"""Messages are cut to this many characters: they end up in conditions, Events and logs."""

DEFAULT_RETRY_AFTER = 1.0
"""Seconds to stay away after a 429 that does not say how long, as client-go has it."""

LONGEST_RETRY_AFTER = 300.0
"""Seconds. Whoever asks for more, a proxy or a mistake, must not stop the operator for years."""

# Three shapes of one fact: the server's own limit (413), etcd's request limit and gRPC's message
# limit (both 500). Repeating the request can never help.
_TOO_LARGE = ("etcdserver: request is too large", "trying to send message larger than max")
# As policies and webhooks word it, in turn.
_DENIED = re.compile("denied (the )?request")


class KubeError(Exception):
    """A request to the API server did not do what was asked."""


class TransportError(KubeError):
    """There was no answer: connection refused or lost, name not found, time-out, broken TLS."""


class LeaseLost(Exception):
    """The write guard refused: the lease has run out, so nothing was sent. The process must end."""


class ApiError(KubeError):
    """The API server's answer was a failure; `reason` and `details` are those of its Status."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        details: JsonObject | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details: JsonObject = details or {}
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.message} ({self.status} {self.reason})" if self.reason else self.message

    @property
    def causes(self) -> frozenset[str]:
        """The reasons of `details.causes`, such as NamespaceTerminating."""
        causes = self.details.get("causes")
        if not isinstance(causes, list):
            return frozenset()
        return frozenset(str(c.get("reason", "")) for c in causes if isinstance(c, dict))

    @property
    def denied_by_policy(self) -> bool:
        """Whether an admission policy or webhook said no. Its author chose the status code."""
        return bool(_DENIED.search(self.message))


class BadRequest(ApiError):
    """400: the request is malformed."""


class Unauthorized(ApiError):
    """401: the credentials were refused."""


class Forbidden(ApiError):
    """403: RBAC, quota, PodSecurity, a policy, or a namespace that is being deleted."""

    @property
    def namespace_terminating(self) -> bool:
        """Whether nothing can be created because the namespace is being deleted."""
        return "NamespaceTerminating" in self.causes

    @property
    def quota_exceeded(self) -> bool:
        """Whether a ResourceQuota is used up: it may be free again later."""
        return "exceeded quota:" in self.message


class NotFound(ApiError):
    """404: there is no such object, or the server does not know the resource."""


class Conflict(ApiError):
    """409: the resourceVersion or UID in the request is not the stored one."""


class AlreadyExists(ApiError):
    """409: an object of that name exists."""


class Gone(ApiError):
    """410: the resourceVersion or continue token is older than what the server remembers."""


class Invalid(ApiError):
    """422: the object or the patch is refused by validation, or a JSON Patch `test` failed."""


class TooLarge(ApiError):
    """The object does not fit into the request or into etcd. Repeating it never helps."""


class TooManyRequests(ApiError):
    """429: the server is busy and did nothing."""


class ServerError(ApiError):
    """5xx: something failed on the server's side."""

    @property
    def webhook_failed(self) -> bool:
        """Whether an admission webhook could not be asked; the object was not stored."""
        return "failed calling webhook" in self.message


_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    422: Invalid,
    429: TooManyRequests,
}

# What a body that is no Status is called, as client-go does (NewGenericServerResponse).
_REASONS: Mapping[int, str] = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Gone",
    413: "RequestEntityTooLarge",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


def from_status(http_status: int, body: bytes, headers: Mapping[str, str]) -> ApiError:
    """The error that an answer stands for; a body that is no Status (a proxy's page) is quoted."""
    status = _decoded(body)
    text = status.get("message") or _plain(body) or f"HTTP {http_status} without a message"
    return _error(http_status, status, str(text), _retry_after(http_status, status, headers))


def _error(number: int, status: JsonObject, text: str, retry_after: float | None) -> ApiError:
    reason = str(status.get("reason") or _REASONS.get(number, ""))
    details = status.get("details")
    kind = _BY_STATUS.get(number, ServerError if number >= 500 else ApiError)  # noqa: PLR2004
    if kind is Conflict and reason == "AlreadyExists":
        kind = AlreadyExists
    elif kind is ServerError and any(shape in text for shape in _TOO_LARGE):
        kind = TooLarge
    return kind(
        status=number,
        reason=reason,
        message=shorten(text, MESSAGE_LENGTH),
        details=details if isinstance(details, dict) else {},
        retry_after=retry_after,
    )


def _decoded(body: bytes) -> JsonObject:
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) and value.get("kind") == "Status" else {}


def _plain(body: bytes) -> str:
    return " ".join(body[: 4 * MESSAGE_LENGTH].decode(errors="replace").split())


def _retry_after(http_status: int, status: JsonObject, headers: Mapping[str, str]) -> float | None:
    """Seconds, from the header or from `details.retryAfterSeconds`.

    An HTTP date is not understood (the API server never sends one) and counts as no answer.
    """
    details = status.get("details")
    candidates: list[Any] = [headers.get("Retry-After")]
    candidates += [details.get("retryAfterSeconds")] if isinstance(details, dict) else []
    for candidate in candidates:
        try:
            seconds = float(candidate)
        except (TypeError, ValueError):
            continue
        if 0 < seconds < float("inf"):
            return min(seconds, LONGEST_RETRY_AFTER)
    return DEFAULT_RETRY_AFTER if http_status == 429 else None  # noqa: PLR2004
