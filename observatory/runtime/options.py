"""What the operator is told when it is started."""

from __future__ import annotations

from dataclasses import dataclass, field

from observatory.api.limits import NO_LIMITS, Limits
from observatory.machinery.lease import Durations
from observatory.runtime.health import Endpoints
from observatory.runtime.webhook import WebhookOptions
from observatory.telemetry.log import Format, Level


@dataclass(frozen=True, slots=True)
class Options:
    """The flags of `observatory run`, checked. No namespaces means all of them."""

    kubeconfig: str | None
    context: str | None
    namespaces: tuple[str, ...]
    endpoints: Endpoints
    leader_elect: bool
    lease_name: str
    lease_namespace: str | None
    durations: Durations
    workers: int
    log_level: Level
    log_format: Format
    webhook: WebhookOptions = field(default_factory=WebhookOptions)
    limits: Limits = NO_LIMITS
