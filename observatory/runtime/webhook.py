"""The validating webhook: its server, its certificates, its answers.

It is a convenience, and off by default. Where it can't be served or registered, that is logged and
tried again, and the operator does its work without it.
"""

from __future__ import annotations

import asyncio
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson

from observatory.api.names import GROUP, KIND, VERSION
from observatory.core.review import ReviewError, review
from observatory.kube.api import Api
from observatory.runtime.certificate import CertificateError, ServerCertificate, server_context
from observatory.runtime.clock import Clock
from observatory.runtime.health import follow_files
from observatory.runtime.httpserver import AddressError, Response, listen
from observatory.runtime.postserver import PostServer
from observatory.runtime.registration import CHECK_SECONDS, Registration
from observatory.telemetry.log import logger
from observatory.telemetry.metrics import Metrics

PATH = f"/validate-{GROUP.replace('.', '-')}-{VERSION}-{KIND.lower()}"
"""As kubebuilder names it."""
CONFIGURATION = "observatory-operator-validating-webhook-configuration"
"""As manifests/default names it."""
RETRY_SECONDS = 30.0
MOST_CONTAINERS = 500_000
"""Arrays and objects in a body. Each takes twenty times its bytes in memory; none has so many."""

_log = logger("webhook")


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """Where the webhook is served; not at all on port 0.

    Attributes:
        port: On all addresses.
        certificate_folder: Has `tls.crt` and `tls.key`, which somebody else makes known to the API
            server; without it, certificates are made and registered here.
        configuration: The name of the ValidatingWebhookConfiguration where they are registered.
    """

    port: int = 0
    certificate_folder: Path | None = None
    configuration: str = CONFIGURATION

    def __post_init__(self) -> None:
        if self.certificate_folder is not None and not self.port:
            raise ValueError("--webhook-cert-path needs --webhook-port: nothing else uses it")


class Webhook:
    """Serves on every replica, without the lease."""

    def __init__(
        self, options: WebhookOptions, api: Api, clock: Clock, metrics: Metrics, *, identity: str
    ) -> None:
        """`api` is spoken to for registering alone."""
        self._options = options
        self._clock = clock
        self._metrics = metrics
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="webhook")
        self._registration = (
            Registration(api, clock, name=options.configuration, path=PATH, identity=identity)
            if options.certificate_folder is None
            else None
        )
        self.settled = asyncio.Event()
        """Set when there is nothing to wait for any more before requests may come, good or bad."""
        metrics.webhook.initialise(PATH)

    def check(self) -> str | None:
        """For readiness: what is still to be waited for, for a short time and not longer.

        A replica to which requests go before API servers trust it would fail them. One that can't
        get that trust, or that can't serve, is ready all the same.
        """
        return None if self.settled.is_set() else "the webhook is not registered yet"

    async def run(self) -> None:
        """Serve until cancelled; whatever is in the way is logged and tried again."""
        try:
            while True:
                try:
                    await self._serve()
                except* (AddressError, CertificateError) as group:
                    _log.error(
                        "Webhook not served",
                        error=str(group.exceptions[0]),
                        retryAfter=RETRY_SECONDS,
                    )
                self.settled.set()
                await self._clock.sleep(RETRY_SECONDS)
        finally:
            self._executor.shutdown(wait=False, cancel_futures=True)

    async def _serve(self) -> None:
        async with AsyncExitStack() as stack:
            group = await stack.enter_async_context(asyncio.TaskGroup())
            context = self._context(group)
            listener = listen(f":{self._options.port}")
            if listener is None:
                return
            server = PostServer(context, {PATH: self._answer}, self._metrics.webhook)
            await stack.enter_async_context(server.serving(listener))
            host, port, *_ = listener.getsockname()
            _log.info("Started serving webhook", address=(host, port), path=PATH)
            if self._registration:
                await self._keep_registered(self._registration)
            self.settled.set()
            await asyncio.get_running_loop().create_future()

    def _context(self, group: asyncio.TaskGroup) -> ssl.SSLContext:
        folder = self._options.certificate_folder
        if folder is None:
            context = server_context(http2=False)
            if self._registration:
                self._registration.start(context)
            return context
        files = ServerCertificate(folder / "tls.crt", folder / "tls.key", http2=False)
        self._metrics.certificate_reads.inc()
        group.create_task(follow_files(files, self._metrics, self._clock))
        return files.context

    async def _keep_registered(self, registration: Registration) -> None:
        while True:
            await registration.check()
            self._metrics.webhook.registered(PATH, registered=registration.problem is None)
            self.settled.set()
            await self._clock.sleep(CHECK_SECONDS)

    async def _answer(self, body: bytes) -> Response:
        # In a thread: thousands of tasks take a fifth of a second, and the loop has other work. In
        # one thread alone, so that large bodies are taken apart one after the other.
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, answered, body, self._clock.now())


def answered(body: bytes, now: datetime) -> Response:
    """The answer to the body of a request, whatever it is."""
    if body.count(b"[") + body.count(b"{") > MOST_CONTAINERS:
        return _bad("the body has too many arrays and objects")
    try:
        return Response(200, orjson.dumps(review(orjson.loads(body), now)), "application/json")
    except orjson.JSONDecodeError as error:
        return _bad(f"the body is not JSON: {error}")
    except RecursionError:
        return _bad("the body is nested too deep")
    except ReviewError as error:
        return _bad(str(error))


def _bad(text: str) -> Response:
    return Response(400, f"{text}\n".encode())
