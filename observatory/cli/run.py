"""`observatory run`: the operator."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from observatory.api.limits import CLUSTER_FLAG, NAMESPACE_FLAG, RUN_FLAG, TASKS_FLAG, Limits
from observatory.api.taskschema import MAX_TASKS
from observatory.api.text import one_line
from observatory.cli import values
from observatory.machinery.lease import Durations
from observatory.runtime.health import Endpoints
from observatory.runtime.options import Options
from observatory.runtime.webhook import CONFIGURATION, WebhookOptions
from observatory.telemetry.log import Format, Level

_EPILOG = """\
examples:
  observatory run --context dev             against a cluster of your kubeconfig, from your desk
  observatory run --namespace etl,reports   only these namespaces; it needs no rights elsewhere
  observatory run --leader-elect            one of several replicas leads, the others stand by

Traces, metrics and logs are exported over OTLP where OTEL_EXPORTER_OTLP_ENDPOINT is set, and as the
other standard OTEL_* variables say. SIGUSR1 shows debug lines, SIGUSR2 goes back to --log-level.

Exit codes: 0 ended by SIGTERM or SIGINT, 1 it could not go on (a lost lease), 2 wrong usage.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add the parser of `observatory run`."""
    parser = subparsers.add_parser(
        name,
        help="run the operator",
        description="Runs the operator until it is told to end.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_cluster(parser)
    _add_servers(parser)
    _add_webhook(parser)
    _add_election(parser)
    _add_limits(parser)
    _add_behaviour(parser)
    parser.set_defaults(handler=run, parser=parser)


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--kubeconfig",
        metavar="FILE",
        help="the kubeconfig; else $KUBECONFIG, the Pod this runs in, or ~/.kube/config",
    )
    group.add_argument("--context", metavar="NAME", help="its context; else the current one")
    group.add_argument(
        "--namespace",
        action="append",
        type=values.names,
        default=[],
        metavar="NAME[,NAME…]",
        help="work in these namespaces only; may be repeated (default: all)",
    )


def _add_servers(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("metrics and health")
    group.add_argument(
        "--metrics-bind-address",
        default=":8080",
        metavar="ADDRESS",
        help="where /metrics is served; 0 turns it off (default: %(default)s)",
    )
    group.add_argument(
        "--metrics-secure",
        action="store_true",
        help="serve /metrics over TLS, and only to those who bring a token that a role allows to "
        "read it, such as that of metrics-reader",
    )
    group.add_argument(
        "--metrics-cert-path",
        metavar="FOLDER",
        help="where tls.crt and tls.key are, read again when they change; else self-signed",
    )
    group.add_argument(
        "--enable-http2",
        action="store_true",
        help="offer HTTP/2 for metrics; needs --metrics-secure",
    )
    group.add_argument(
        "--health-probe-bind-address",
        default=":8081",
        metavar="ADDRESS",
        help="where /healthz and /readyz are served; 0 turns them off (default: %(default)s)",
    )


def _add_webhook(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("admission webhook")
    group.add_argument(
        "--webhook-port",
        type=values.port,
        default=0,
        metavar="PORT",
        help="where the validating webhook is served, 9443 in manifests/default; 0 turns it off "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--webhook-cert-path",
        metavar="FOLDER",
        help="where tls.crt and tls.key are, read again when they change, as cert-manager mounts "
        "them; else certificates are made, renewed and registered without it",
    )
    group.add_argument(
        "--webhook-configuration",
        type=values.dns_name,
        default=CONFIGURATION,
        metavar="NAME",
        help="the ValidatingWebhookConfiguration where they are registered (default: %(default)s)",
    )


def _add_election(parser: argparse.ArgumentParser) -> None:
    defaults = Durations()
    group = parser.add_argument_group("leader election")
    group.add_argument(
        "--leader-elect",
        action="store_true",
        help="work only while this process holds the Lease; for more than one replica",
    )
    group.add_argument(
        "--lease-name",
        type=values.dns_name,
        default="observatory-operator",
        metavar="NAME",
        help="the Lease (default: %(default)s)",
    )
    group.add_argument(
        "--lease-namespace",
        type=values.name,
        metavar="NAME",
        help="its namespace (default: that of the Pod or of the context)",
    )
    for flag, seconds, text in (
        ("--lease-duration", defaults.lease, "how long others wait after the last renewal"),
        ("--lease-renew-deadline", defaults.renew_deadline, "how long to try to renew"),
        ("--lease-retry-period", defaults.retry_period, "how long to wait between tries"),
    ):
        group.add_argument(
            flag,
            type=values.seconds,
            default=seconds,
            metavar="SECONDS",
            help=f"{text} (default: {seconds:g}s)",
        )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "limits", "What tenants may have at most. What is over a limit of Pods waits, and says so."
    )
    group.add_argument(
        TASKS_FLAG,
        type=values.tasks,
        default=MAX_TASKS,
        metavar="N",
        help="refuse workflows with more tasks, 1 to %(default)s (default: %(default)s)",
    )
    for flag, what in (
        (RUN_FLAG, "one run"),
        (NAMESPACE_FLAG, "all runs of one namespace"),
        (CLUSTER_FLAG, "all runs that this operator works on"),
    ):
        group.add_argument(
            flag,
            type=values.pods,
            default=0,
            metavar="N",
            help=f"how many Pods of {what} may be active at once; 0 for no limit (the default)",
        )


def _add_behaviour(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("behaviour")
    group.add_argument(
        "--workers",
        type=values.workers,
        default=16,
        metavar="N",
        help="Observatories that are worked on at once, 1 to 256 (default: %(default)s)",
    )
    group.add_argument(
        "--log-level",
        choices=tuple(level.value for level in Level),
        default=Level.INFO.value,
        help="(default: %(default)s)",
    )
    group.add_argument(
        "--log-format",
        choices=tuple(form.value for form in Format),
        default=Format.AUTO.value,
        help="auto: console in a terminal, JSON elsewhere (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the operator; the exit codes are in its help."""
    from observatory.kube.credentials import ConfigError  # noqa: PLC0415 -- takes a second
    from observatory.runtime.certificate import CertificateError  # noqa: PLC0415
    from observatory.runtime.httpserver import AddressError  # noqa: PLC0415
    from observatory.runtime.manager import run_operator  # noqa: PLC0415
    from observatory.telemetry.otlp import TelemetryError  # noqa: PLC0415

    try:
        return run_operator(_options(arguments))
    except AddressError as error:
        flag = next((flag for flag, it in _addresses(arguments) if it == error.address), "address")
        problem = f"{flag}: {error} (give another address or port, or 0 to turn it off)"
    except CertificateError as error:
        flag = "--metrics-cert-path" if arguments.metrics_cert_path else "--metrics-secure"
        problem = f"{flag}: {error}"
    except (ConfigError, TelemetryError, ValueError) as error:
        problem = str(error)
    print(f"error: {one_line(problem)}", file=sys.stderr)
    return 2


def _addresses(arguments: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """The flags that are addresses, and those."""
    return (
        ("--metrics-bind-address", arguments.metrics_bind_address),
        ("--health-probe-bind-address", arguments.health_probe_bind_address),
    )


def _check_addresses(arguments: argparse.Namespace) -> None:
    """Find before anything is started what is no address; raises `ValueError`."""
    from observatory.runtime.httpserver import AddressError, parse  # noqa: PLC0415

    places = []
    for flag, address in _addresses(arguments):
        try:
            places.append(parse(address))
        except AddressError as error:
            raise ValueError(f"{flag}: {error}") from error
    first, second = places
    if first is not None and first == second and first[1]:
        address = arguments.metrics_bind_address
        raise ValueError(
            f'--metrics-bind-address and --health-probe-bind-address are both "{address}": give '
            "them two ports, or 0 to turn one off"
        )
    for (flag, _), place in zip(_addresses(arguments), places, strict=True):
        if place is not None and place[1] and place[1] == arguments.webhook_port:
            raise ValueError(
                f"{flag} and --webhook-port have the same port, {place[1]}: give them two, or 0 to "
                "turn one off"
            )


def _options(arguments: argparse.Namespace) -> Options:
    """The options, checked where one flag depends on another.

    Raises:
        ValueError: They contradict each other.
    """
    if arguments.metrics_secure and arguments.metrics_bind_address == "0":
        raise ValueError("--metrics-secure has nothing to secure: --metrics-bind-address is 0")
    _check_addresses(arguments)
    return Options(
        kubeconfig=arguments.kubeconfig,
        context=arguments.context,
        namespaces=tuple(dict.fromkeys(name for names in arguments.namespace for name in names)),
        endpoints=Endpoints(
            metrics_address=arguments.metrics_bind_address,
            probe_address=arguments.health_probe_bind_address,
            secure=arguments.metrics_secure,
            certificate_folder=_folder(arguments.metrics_cert_path),
            http2=arguments.enable_http2,
        ),
        leader_elect=arguments.leader_elect,
        lease_name=arguments.lease_name,
        lease_namespace=arguments.lease_namespace,
        durations=Durations(
            lease=arguments.lease_duration,
            renew_deadline=arguments.lease_renew_deadline,
            retry_period=arguments.lease_retry_period,
        ),
        limits=Limits(
            tasks=arguments.max_tasks_per_run,
            run=arguments.max_active_pods_per_run or None,
            namespace=arguments.max_active_pods_per_namespace or None,
            cluster=arguments.max_active_pods or None,
        ),
        workers=arguments.workers,
        log_level=Level(arguments.log_level),
        log_format=Format(arguments.log_format),
        webhook=WebhookOptions(
            port=arguments.webhook_port,
            certificate_folder=_folder(arguments.webhook_cert_path),
            configuration=arguments.webhook_configuration,
        ),
    )


def _folder(path: str | None) -> Path | None:
    return Path(path) if path else None
