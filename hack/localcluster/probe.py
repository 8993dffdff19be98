"""Short questions to servers on this machine, and waiting for the answer."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from .state import Cluster
from .users import token

JsonObject = dict[str, Any]

_POLL = 0.05

# Environment variables such as HTTPS_PROXY are not meant for this machine's own servers.
_DIRECT = urllib.request.ProxyHandler({})


def healthy(url: str) -> bool:
    """Whether the URL answers 200. Certificates are not checked: many sign their own."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(_DIRECT, urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=5) as response:
            return bool(response.status == 200)  # noqa: PLR2004
    except OSError:
        return False


def call(cluster: Cluster, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
    """One request to the API server as its administrator; raises `urllib.error.HTTPError`."""
    context = ssl.create_default_context(cafile=cluster.folder.pki / "ca.crt")
    opener = urllib.request.build_opener(_DIRECT, urllib.request.HTTPSHandler(context=context))
    request = urllib.request.Request(  # noqa: S310 - the URL is ours
        cluster.server + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {token(cluster.folder, 'admin')}",
            "Content-Type": "application/json",
        },
    )
    with opener.open(request, timeout=30) as response:
        answer: JsonObject = json.load(response)
    return answer


def exists(cluster: Cluster, path: str) -> bool:
    """Whether the API server has the object at `path` now."""
    try:
        call(cluster, "GET", path)
    except OSError:
        return False
    return True


def create(cluster: Cluster, path: str, body: JsonObject) -> None:
    """Create an object unless it is there."""
    try:
        call(cluster, "POST", path, body)
    except urllib.error.HTTPError as error:
        if error.code != 409:  # noqa: PLR2004
            raise


def wait(done: Callable[[], object], seconds: float) -> bool:
    """Ask until it is so; False when it is still not so after `seconds`."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True
