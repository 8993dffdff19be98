"""Who may read `/metrics`: asked of the API server, as controller-runtime's filter does it.

A request has to carry the bearer token of somebody (TokenReview) who is allowed to `get` the
non-resource URL (SubjectAccessReview). Answers are remembered for a short time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from observatory.api.names import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS, Resource
from observatory.api.types import JsonObject
from observatory.kube.api import Api
from observatory.kube.errors import KubeError
from observatory.machinery.instant import Instant
from observatory.runtime.httpserver import Request, Response
from observatory.telemetry.log import logger

REMEMBERED_SECONDS = 60.0
"""How long a yes holds that the API server gave, as controller-runtime's token cache."""
REFUSED_SECONDS = 10.0
"""How long a no holds: rights that were just given should count soon."""
MOST_REMEMBERED = 1024
MOST_TOKEN = 16 * 1024

_log = logger("authorization")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    text: str
    until: Instant


class Authorizer:
    """Lets requests pass or answers them in their place."""

    def __init__(self, api: Api, monotonic: Callable[[], Instant]) -> None:
        """`api` is asked without holding any lease: standbys are scraped too."""
        self._api = api
        self._monotonic = monotonic
        self._answers: dict[bytes, _Answer] = {}

    async def __call__(self, request: Request) -> Response | None:
        """None where the request may pass."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > MOST_TOKEN:
            return _response(401, "give a bearer token")
        # The token itself is not kept.
        key = hashlib.sha256(f"{request.path}\0{token}".encode()).digest()
        known = self._answers.get(key)
        if known is None or self._monotonic() >= known.until:
            try:
                known = await self._ask(request.path, token)
            except KubeError as error:
                _log.warning("Authorization failed", error=str(error))
                return _response(500, "the API server could not be asked who this is")
            self._remember(key, known)
        return None if known.status == _PASS else _response(known.status, known.text)

    def _remember(self, key: bytes, answer: _Answer) -> None:
        self._answers.pop(key, None)
        while len(self._answers) >= MOST_REMEMBERED:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = answer

    async def _ask(self, path: str, token: str) -> _Answer:
        review = await self._create(TOKEN_REVIEWS, {"token": token})
        if not review.get("authenticated"):
            return self._answer(401, "the token is nobody's, or has expired")
        user = review.get("user") or {}
        spec = {
            "user": user.get("username"),
            "uid": user.get("uid"),
            "groups": user.get("groups"),
            "extra": user.get("extra"),
            "nonResourceAttributes": {"path": path, "verb": "get"},
        }
        spec = {name: value for name, value in spec.items() if value}
        review = await self._create(SUBJECT_ACCESS_REVIEWS, spec)
        if review.get("allowed") and not review.get("denied"):
            return self._answer(_PASS, "")
        return self._answer(403, f"a role has to allow get on {path}, as metrics-reader does")

    async def _create(self, resource: Resource, spec: JsonObject) -> JsonObject:
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "spec": spec}
        made = await self._api.create(resource, "", body)
        status: JsonObject = made.get("status") or {}
        return status

    def _answer(self, status: int, text: str) -> _Answer:
        seconds = REMEMBERED_SECONDS if status == _PASS else REFUSED_SECONDS
        return _Answer(status, text, Instant(self._monotonic() + seconds))


_PASS = 200


def _response(status: int, text: str) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}  # noqa: PLR2004
    return Response(status, f"{text}\n".encode(), headers=headers)
