"""What can go wrong with a request, as hooks for the fake API server."""

from __future__ import annotations

from collections.abc import Callable

from observatory.api.names import Resource
from observatory.kube.errors import (
    BadRequest,
    Forbidden,
    Invalid,
    ServerError,
    TooManyRequests,
    TransportError,
)
from observatory.simulation.apiserver import Request

CUT = TransportError("Connection lost")
BUSY = TooManyRequests(429, "TooManyRequests", "too many requests", retry_after=1)
BROKEN = ServerError(500, "InternalError", "etcd has no leader")
QUOTA = Forbidden(
    403, "Forbidden", 'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=10'
)
DENIED = Forbidden(403, "Forbidden", 'pods "x" is forbidden: violates PodSecurity "restricted"')
NO_RIGHT = Forbidden(403, "Forbidden", 'User "operator" cannot create resource "pods" in API group')
REFUSED = Invalid(422, "Invalid", 'Pod "x" is invalid: spec.containers[0].image: Required value')
POLICY = Invalid(
    422, "Invalid", "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: no"
)
WEBHOOK = BadRequest(400, "BadRequest", 'admission webhook "w.example.com" denied the request: no')
NO_WEBHOOK = ServerError(
    500, "InternalError", 'Internal error occurred: failed calling webhook "w.example.com": refused'
)
WRITES = {"create", "update", "patch", "delete"}


def failing(
    error: Exception, verb: str, resource: Resource, times: int = 1
) -> Callable[[Request], None]:
    """A hook that fails the first requests of that kind."""
    left = times

    def hook(request: Request) -> None:
        nonlocal left
        if left and (request.verb, request.resource) == (verb, resource):
            left -= 1
            raise error

    return hook


def failing_write(error: BaseException, number: int) -> Callable[[Request], None]:
    """A hook that fails one write, counted from 0."""
    seen = -1

    def hook(request: Request) -> None:
        nonlocal seen
        if request.verb in WRITES:
            seen += 1
            if seen == number:
                raise error

    return hook
