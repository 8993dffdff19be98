"""A real HTTP server, in threads, that keeps one Lease and misbehaves when told."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

PATH = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"


class LeaseServer:
    """The state; `answering` is cleared to hang, `fail` is set to a status to refuse."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.answering = threading.Event()
        self.answering.set()
        self.fail = 0
        self.tokens: list[str] = []
        self.requests: list[str] = []
        self.connections = 0
        self.url = ""

    def write(self, spec: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.lease = {
            "metadata": {"name": "lock", "resourceVersion": str(self.version)},
            "spec": spec,
        }
        return self.lease

    def serve(self, method: str, path: str, body: Any) -> tuple[int, Any]:  # noqa: ANN401
        with self.lock:
            self.requests.append(method)
            if self.fail:
                return self.fail, {"kind": "Status", "message": "told to", "reason": "Told"}
            if method == "POST":
                assert path.startswith(PATH)
                if self.lease is not None:
                    return 409, {"kind": "Status", "message": "is", "reason": "AlreadyExists"}
                return 201, self.write(body["spec"])
            assert path.startswith(f"{PATH}/lock")
            if self.lease is None:
                return 404, {"kind": "Status", "message": "no lease", "reason": "NotFound"}
            return self._updated(body) if method == "PATCH" else (200, self.lease)

    def _updated(self, body: Any) -> tuple[int, Any]:  # noqa: ANN401
        assert self.lease is not None
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            return 409, {"kind": "Status", "message": "stale", "reason": "Conflict"}
        return 200, self.write(body["spec"])


@contextmanager
def lease_server() -> Generator[LeaseServer, None, None]:
    state = LeaseServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            state.connections += 1

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = orjson.loads(self.rfile.read(length)) if length else None
            state.tokens.append(self.headers.get("Authorization") or "")
            state.answering.wait(30)
            status, answer = state.serve(self.command, self.path, body)
            content = orjson.dumps(answer)
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except ConnectionError:  # the client has given up
                self.close_connection = True

        do_GET = do_POST = do_PATCH = _handle  # noqa: N815 -- names of http.server

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        state.answering.set()
        server.shutdown()
        thread.join()
        server.server_close()
