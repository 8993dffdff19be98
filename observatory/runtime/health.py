"""`/healthz`, `/readyz` and `/metrics`.

Probes answer as the API server's do: `ok`, or with `?verbose`, or when something is wrong, one line
per check. `?exclude=NAME` leaves a check out, `/readyz/NAME` asks for one.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from observatory.runtime.certificate import CertificateError, ServerCertificate, self_signed
from observatory.runtime.clock import Clock
from observatory.runtime.httpserver import Request, Response, listen, serving
from observatory.telemetry.log import logger
from observatory.telemetry.metrics import Metrics

RELOAD_SECONDS = 10.0
"""How often the files of the certificate are looked at, as by controller-runtime's certwatcher."""

Authorize = Callable[[Request], Awaitable[Response | None]]
"""Answers in the place of the page, where whoever asks may not read it."""

Check = Callable[[], str | None]
"""None when all is well, else what is wrong, in a few words. It must be quick."""

_log = logger("health")


@dataclass(frozen=True, slots=True)
class Checks:
    """The named checks of the two probes; `ping` is always among them."""

    healthz: dict[str, Check] = field(default_factory=dict)
    readyz: dict[str, Check] = field(default_factory=dict)

    def answer(self, request: Request) -> Response:
        """The answer of a probe, or 404."""
        probe, _, name = request.path.strip("/").partition("/")
        if probe not in {"healthz", "readyz"}:
            return Response(404, b"not found\n")
        checks: dict[str, Check] = {"ping": lambda: None}
        checks |= self.healthz if probe == "healthz" else self.readyz
        if name:
            if name not in checks:
                return Response(404, b"no such check\n")
            checks = {name: checks[name]}
        excluded = set(request.query.get("exclude", ()))
        results = {name: _result(check) for name, check in checks.items() if name not in excluded}
        failed = any(result is not None for result in results.values())
        if not failed and "verbose" not in request.query:
            return Response(200, b"ok")
        lines = [
            f"[+]{name} ok" if result is None else f"[-]{name} failed: {result}"
            for name, result in results.items()
        ]
        lines.append(f"{probe} check {'failed' if failed else 'passed'}")
        return Response(500 if failed else 200, ("\n".join(lines) + "\n").encode())


def _result(check: Check) -> str | None:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 -- a check that fails to answer has failed
        return f"the check itself failed: {error!r}"


def metrics_answer(metrics: Metrics, request: Request) -> Response:
    """The metrics page, or 404."""
    if request.path != "/metrics":
        return Response(404, b"not found\n")
    page, content_type = metrics.exposition(request.headers.get("accept", ""))
    return Response(200, page, content_type)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where probes and metrics are served; the addresses are as `httpserver.listen` takes them.

    With `secure`, metrics are served over TLS, with the certificate of `certificate_folder`
    (`tls.crt`, `tls.key`) or else a self-signed one. `http2` is for TLS only.
    """

    metrics_address: str = ":8080"
    probe_address: str = ":8081"
    secure: bool = False
    certificate_folder: Path | None = None
    http2: bool = False

    def __post_init__(self) -> None:
        if self.http2 and not self.secure:
            raise ValueError(
                "--enable-http2 needs --metrics-secure: HTTP/2 is served over TLS only"
            )
        if self.certificate_folder is not None and not self.secure:
            raise ValueError(
                "--metrics-cert-path needs --metrics-secure: without TLS it is not used"
            )


@dataclass(frozen=True, slots=True)
class Bound:
    """The addresses that are listened on, as host and port; None where it is turned off."""

    metrics: tuple[str, int] | None
    probes: tuple[str, int] | None


@asynccontextmanager
async def served(
    endpoints: Endpoints,
    checks: Checks,
    metrics: Metrics,
    clock: Clock,
    authorize: Authorize | None = None,
) -> AsyncGenerator[Bound, None]:
    """Serve probes and metrics within the context; metrics to those whom `authorize` lets pass.

    Raises `AddressError` or `CertificateError` before anything is served.
    """
    async with AsyncExitStack() as stack:
        tls, certificate = _tls(endpoints, metrics, clock)
        page = _listening(stack, endpoints.metrics_address)
        probes = _listening(stack, endpoints.probe_address)
        if page is not None:

            async def handler(request: Request) -> Response:
                refusal = await authorize(request) if authorize else None
                return refusal or metrics_answer(metrics, request)

            await stack.enter_async_context(serving(page, handler, tls))
        if probes is not None:
            await stack.enter_async_context(serving(probes, checks.answer))
        if certificate is not None:
            watching = asyncio.create_task(follow_files(certificate, metrics, clock))
            stack.callback(watching.cancel)
        bound = Bound(_name(page), _name(probes))
        if bound.metrics is not None:
            _log.info("Started serving metrics", address=bound.metrics)
        if bound.probes is not None:
            _log.info("Started serving probes", address=bound.probes)
        yield bound


def _tls(
    endpoints: Endpoints, metrics: Metrics, clock: Clock
) -> tuple[ssl.SSLContext | None, ServerCertificate | None]:
    if not endpoints.secure:
        return None, None
    folder = endpoints.certificate_folder
    if folder is None:
        return self_signed(clock.now(), http2=endpoints.http2), None
    made = ServerCertificate(folder / "tls.crt", folder / "tls.key", http2=endpoints.http2)
    metrics.certificate_reads.inc()
    return made.context, made


def _listening(stack: AsyncExitStack, address: str) -> socket.socket | None:
    made = listen(address)
    if made is not None:
        stack.callback(made.close)
    return made


def _name(listener: socket.socket | None) -> tuple[str, int] | None:
    if listener is None:
        return None
    host, port, *_ = listener.getsockname()
    return host, port


async def follow_files(certificate: ServerCertificate, metrics: Metrics, clock: Clock) -> None:
    """Load the certificate anew whenever its files change, without end."""
    while True:
        await clock.sleep(RELOAD_SECONDS)
        try:
            if certificate.reload():
                metrics.certificate_reads.inc()
                _log.info("Loaded new certificate")
        except CertificateError as error:
            metrics.certificate_read_errors.inc()
            _log.warning("Kept old certificate", error=str(error))
