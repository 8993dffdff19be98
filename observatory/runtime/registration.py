"""Has the API server trust our webhook: certificates made here, and registered without any Secret.

Each replica has a key of its own, which stays in memory, and a certificate that it has signed
itself. It adds that to the `caBundle` of the ValidatingWebhookConfiguration, beside those of the
other replicas; whichever of them is asked, the API server knows it. The bundle is looked at every
30 seconds: what `kubectl apply`, Helm or GitOps have taken out is put back. A certificate lasts
seven days. When two thirds of them are over the next one is registered, and served once it has been
seen there a check later: by then API servers know it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from observatory.api.jitter import fraction
from observatory.api.names import VALIDATING_WEBHOOKS, Key
from observatory.api.types import JsonObject
from observatory.kube.api import Api, PatchKind
from observatory.kube.errors import Conflict, Forbidden, Invalid, KubeError, NotFound
from observatory.runtime.cabundle import COMMON_NAME, merged
from observatory.runtime.certificate import OwnPair, own_pair
from observatory.runtime.clock import Clock
from observatory.telemetry.log import logger

CHECK_SECONDS = 30.0
VALID = timedelta(days=7)
RENEWED_AFTER = VALID * 2 / 3
TRIES = 8
"""Writes that lose against other replicas' before the next check is waited for."""
_PAUSE_SECONDS = 0.1
_LOCAL = ("localhost", "127.0.0.1")
"""The names of a certificate before it is known by which name we are called."""

_log = logger("webhook")


class UnregisteredError(Exception):
    """The configuration cannot be made to fit; one line."""


class Registration:
    """Keeps a TLS context in certificates that the API server trusts."""

    def __init__(self, api: Api, clock: Clock, *, name: str, path: str, identity: str) -> None:
        """`name` is that of the configuration; its webhooks with this path are ours."""
        self._api = api
        self._clock = clock
        self._key = Key("", name)
        self._path = path
        self._identity = identity
        self._next: OwnPair | None = None
        self.problem: str | None = "it is not registered yet"
        """What keeps the API server from trusting us, as far as is known."""
        self._told: str | None = self.problem

    def start(self, context: ssl.SSLContext) -> None:
        """Have it served with a first certificate. Raises `CertificateError`."""
        self._context = context
        self._serve(self._made(_LOCAL))

    async def check(self) -> None:
        """Have the configuration hold what is served, and renew that in time.

        To be called every `CHECK_SECONDS`. What the API server answers is no error here, but in
        `problem`. Raises `CertificateError` where no certificate can be made.
        """
        try:
            await self._settle()
            self.problem = None
        except UnregisteredError as error:
            self.problem = str(error)
        except KubeError as error:
            self.problem = self._explained(error)
        if self.problem != self._told:
            self._tell(self.problem)

    def _tell(self, problem: str | None) -> None:
        self._told = problem
        if problem is None:
            _log.info("Registered webhook", name=self._key.name)
        else:
            _log.warning(
                "Webhook not registered",
                name=self._key.name,
                error=problem,
                retryAfter=CHECK_SECONDS,
            )

    async def _settle(self) -> None:
        lost: KubeError | None = None
        for attempt in range(TRIES):
            configuration = await self._api.get(VALIDATING_WEBHOOKS, self._key)
            self._follow(tuple(self._hosts(configuration)))
            patch = self._patch(configuration)
            if not patch:
                self._promote()
                return
            try:
                await self._api.patch(VALIDATING_WEBHOOKS, self._key, patch, kind=PatchKind.JSON)
            except (Conflict, Invalid) as error:
                # Somebody else has written since: another replica, most likely.
                lost = error
                spread = fraction(self._identity, attempt)
                await self._clock.sleep(_PAUSE_SECONDS * (attempt + spread))
            else:
                return
        if lost is not None:
            raise lost

    def _hosts(self, configuration: JsonObject) -> Iterator[str]:
        """By which names the API server calls us."""
        hosts = dict.fromkeys(host for _, host in self._ours(configuration))
        if not hosts:
            raise UnregisteredError(
                f"ValidatingWebhookConfiguration {self._key.name} has no webhook for the path "
                f"{self._path}; apply manifests/webhook"
            )
        yield from hosts

    def _ours(self, configuration: JsonObject) -> Iterator[tuple[int, str]]:
        """Where the configuration speaks of us: the place of the webhook, and the host it names."""
        for index, webhook in enumerate(configuration.get("webhooks") or ()):
            client = webhook.get("clientConfig") or {}
            service, url = client.get("service"), urlsplit(client.get("url") or "")
            if service and service.get("path") == self._path:
                yield index, f"{service['name']}.{service['namespace']}.svc"
            elif url.path == self._path and url.hostname:
                yield index, url.hostname

    def _follow(self, hosts: tuple[str, ...]) -> None:
        """Have certificates for these hosts, and another in time."""
        now = self._clock.now()
        if self._current.names != hosts or not _valid(self._current, now):
            # Nobody can trust what is served now: there is nothing to wait for.
            self._serve(self._made(hosts))
        elif self._next is None and now >= self._current.not_after - VALID + RENEWED_AFTER:
            self._next = self._made(hosts)

    def _patch(self, configuration: JsonObject) -> list[JsonObject]:
        """What has to be written, for this version of the configuration only."""
        pairs = [self._current, *([self._next] if self._next else [])]
        certificates = [pair.certificate for pair in pairs]
        changes: list[JsonObject] = []
        for index, _ in self._ours(configuration):
            before = configuration["webhooks"][index]["clientConfig"].get("caBundle")
            after = merged(before, certificates, self._clock.now())
            if after != before:
                path = f"/webhooks/{index}/clientConfig/caBundle"
                changes.append({"op": "add", "path": path, "value": after})
        if not changes:
            return []
        version = configuration["metadata"]["resourceVersion"]
        return [{"op": "test", "path": "/metadata/resourceVersion", "value": version}, *changes]

    def _promote(self) -> None:
        """Serve the next certificate, which was found registered: API servers know it by now."""
        if self._next is not None:
            self._serve(self._next)
            _log.info("Loaded new certificate")

    def _made(self, hosts: tuple[str, ...]) -> OwnPair:
        return own_pair(hosts, COMMON_NAME, self._clock.now(), VALID)

    def _serve(self, pair: OwnPair) -> None:
        pair.load_into(self._context)
        self._current, self._next = pair, None

    def _explained(self, error: KubeError) -> str:
        if isinstance(error, NotFound):
            return (
                f"there is no ValidatingWebhookConfiguration {self._key.name}; apply "
                "manifests/webhook, or name it with --webhook-configuration"
            )
        if isinstance(error, Forbidden):
            return (
                f"{error}; give the operator webhook-role of manifests/rbac, or a certificate with "
                "--webhook-cert-path"
            )
        return str(error)


def _valid(pair: OwnPair, now: datetime) -> bool:
    return pair.not_before <= now < pair.not_after
