"""The Lease over a connection of its own, without an event loop: for the elector's thread.

An event loop that is busy for ten seconds must not cost the lease, so nothing here waits for it.
"""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Callable
from urllib.parse import SplitResult, unquote, urlsplit

import orjson

from observatory.api.names import FIELD_MANAGER, LEASES, Key
from observatory.api.types import JsonObject
from observatory.kube.client import USER_AGENT
from observatory.kube.credentials import ClusterConfig, ConfigError, Credential
from observatory.kube.errors import NotFound, TransportError, Unauthorized, from_status
from observatory.kube.transport import keep_alive

_FIRST_ERROR = 300
_MANAGED = f"?fieldManager={FIELD_MANAGER}"
_CHUNK = 65536


class LeaseConnection:
    """Reads and writes one Lease. To be used by one thread. Raises `KubeError`.

    Each request takes at most about `seconds`: it is the limit of each wait for the network, and
    of the reading of an answer as a whole.
    """

    def __init__(
        self, config: ClusterConfig, lease: Key, seconds: float, monotonic: Callable[[], float]
    ) -> None:
        self._config = config
        self._lease = lease
        self._seconds = seconds
        self._monotonic = monotonic
        self._base = urlsplit(config.server)
        self._connection: http.client.HTTPConnection | None = None
        self._tls: ssl.SSLContext | None = None

    def get(self) -> JsonObject | None:
        """The Lease, or None if there is none."""
        try:
            return self._request("GET", LEASES.path(self._lease.namespace, self._lease.name))
        except NotFound:
            return None

    def create(self, spec: JsonObject) -> JsonObject:
        """The Lease as created."""
        body = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"namespace": self._lease.namespace, "name": self._lease.name},
            "spec": spec,
        }
        path = LEASES.path(self._lease.namespace) + _MANAGED
        return self._request("POST", path, body, "application/json")

    def update(self, spec: JsonObject, resource_version: str) -> JsonObject:
        """The Lease as stored; `Conflict` if it has another version."""
        # A merge patch keeps labels and annotations that others have put there.
        body = {"metadata": {"resourceVersion": resource_version}, "spec": spec}
        path = LEASES.path(self._lease.namespace, self._lease.name) + _MANAGED
        return self._request("PATCH", path, body, "application/merge-patch+json")

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _request(
        self, method: str, path: str, body: JsonObject | None = None, content_type: str = ""
    ) -> JsonObject:
        try:
            credential = self._config.credentials.load()
        except ConfigError as error:
            raise TransportError(f"no credentials to send: {error}") from error
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
        if content_type:
            headers["Content-Type"] = content_type
        if credential.authorization:
            headers["Authorization"] = credential.authorization
        data = None if body is None else orjson.dumps(body)
        try:
            status, answer, answered = self._exchange(method, path, data, headers, credential)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise TransportError(str(error) or type(error).__name__) from error
        if status >= _FIRST_ERROR:
            failure = from_status(status, answer, answered)
            if isinstance(failure, Unauthorized):
                self._config.credentials.reject(credential)  # the next request reads it again
            raise failure
        return _decoded(answer)

    def _exchange(
        self,
        method: str,
        path: str,
        data: bytes | None,
        headers: dict[str, str],
        credential: Credential,
    ) -> tuple[int, bytes, dict[str, str]]:
        deadline = self._monotonic() + self._seconds
        connection = self._connected(credential)
        connection.request(method, self._base.path + path, data, headers)
        response = connection.getresponse()
        parts = []
        while part := response.read1(_CHUNK):
            parts.append(part)
            if self._monotonic() > deadline:
                raise TimeoutError("the answer took too long")
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        response.close()  # done with it; the connection stays
        return response.status, b"".join(parts), dict(response.headers)

    def _connected(self, credential: Credential) -> http.client.HTTPConnection:
        if self._connection is not None and self._tls is not credential.tls:
            self.close()  # certificates were rotated
        if self._connection is None:
            made = self._made(credential)
            made.connect()
            keep_alive(made.sock)
            self._connection, self._tls = made, credential.tls
        return self._connection

    def _made(self, credential: Credential) -> http.client.HTTPConnection:
        host, port = str(self._base.hostname), self._base.port
        proxy = urlsplit(self._config.proxy) if self._config.proxy else None
        at = (str(proxy.hostname), proxy.port or 80) if proxy is not None else (host, port)
        made: http.client.HTTPConnection
        if credential.tls is not None:
            name = self._config.tls_server_name or host
            made = _NamedConnection(*at, timeout=self._seconds, context=credential.tls, name=name)
        else:
            made = http.client.HTTPConnection(*at, timeout=self._seconds)
        if proxy is not None:
            made.set_tunnel(host, port, _proxy_authorization(proxy))
        return made


def _proxy_authorization(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


class _NamedConnection(http.client.HTTPConnection):
    """HTTPS that checks the certificate for a name which need not be that of the URL."""

    default_port = http.client.HTTPS_PORT

    def __init__(
        self, host: str, port: int | None, *, timeout: float, context: ssl.SSLContext, name: str
    ) -> None:
        super().__init__(host, port, timeout=timeout)
        self._context = context
        self._name = name

    def connect(self) -> None:
        super().connect()
        plain = self.sock
        try:
            self.sock = self._context.wrap_socket(plain, server_hostname=self._name)
        except BaseException:
            plain.close()
            raise


def _decoded(answer: bytes) -> JsonObject:
    try:
        value = orjson.loads(answer)
    except orjson.JSONDecodeError as error:
        raise TransportError(f"the answer is not JSON: {error}") from error
    if not isinstance(value, dict) or not isinstance(value.get("metadata"), dict):
        raise TransportError("the answer is not an object")
    if not isinstance(value["metadata"].get("resourceVersion"), str):
        # The next write would have no precondition.
        raise TransportError("the answer is not an object that is stored")
    return value
