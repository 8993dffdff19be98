"""The API server behind the proxies, and what the harness itself asks of it."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson
from yarl import URL

JsonObject = dict[str, Any]
MERGE_PATCH = "application/merge-patch+json"
_PATIENCE = 60.0


class AnswerError(Exception):
    """The API server refused what the harness asked for."""

    def __init__(self, what: str, status: int, answer: object) -> None:
        message = answer.get("message") if isinstance(answer, dict) else answer
        super().__init__(f"{what}: {status} {message}")
        self.status = status


class Upstream:
    """One API server, as the administrator of a kubeconfig that `hack/cluster` wrote."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        context = next(
            item["context"]
            for item in config["contexts"]
            if item["name"] == config["current-context"]
        )
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        self.server = str(cluster["server"]).rstrip("/")
        self._admin = f"Bearer {user['token']}"
        encrypted = self.server.startswith("https:")
        self._tls = _tls(cluster) if encrypted else True
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            auto_decompress=False,
            read_bufsize=2**20,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> aiohttp.ClientResponse:
        """Pass a request on, as whoever its headers say."""
        assert self._session is not None
        url = URL(self.server + target, encoded=True)
        return await self._session.request(
            method, url, headers=headers, data=body, allow_redirects=False
        )

    async def ask(
        self,
        method: str,
        target: str,
        body: JsonObject | list[JsonObject] | None = None,
        *,
        content_type: str = "application/json",
        accept: tuple[int, ...] = (),
        token: str = "",
    ) -> JsonObject:
        """The answer to a request of the harness; statuses from 300 on are accepted if listed."""
        headers = {"Authorization": f"Bearer {token}" if token else self._admin}
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = orjson.dumps(body)
        async with (
            asyncio.timeout(_PATIENCE),
            await self.send(method, target, headers, data) as response,
        ):
            content = await response.read()
            try:
                answer = orjson.loads(content)
            except orjson.JSONDecodeError:
                answer = {"message": content.decode(errors="replace")}
            if response.status >= 300 and response.status not in accept:
                raise AnswerError(f"{method} {target}", response.status, answer)
            found: JsonObject = {**answer, "httpStatus": response.status}
            return found


def _named(items: list[JsonObject], name: str) -> JsonObject:
    return next(item for item in items if item["name"] == name)


def _tls(cluster: JsonObject) -> ssl.SSLContext:
    if data := cluster.get("certificate-authority-data"):
        return ssl.create_default_context(cadata=base64.b64decode(data).decode())
    return ssl.create_default_context(cafile=cluster["certificate-authority"])
