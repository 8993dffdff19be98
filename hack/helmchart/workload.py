"""The Deployment: where most values act, and where their defaults come from."""

from __future__ import annotations

from typing import Any

from .groups import ENTIRE, conjunction
from .names import CHART, FULL_NAME
from .tokens import Object, bare, block, either, fields_when, more, optional, value, when

SECURE = "and $.Values.metrics.enabled $.Values.metrics.secure (not $.Values.rbac.namespaced)"
_OTHER = f'ne $.Release.Name "{CHART}"'
_NAMESPACES = 'join "," $.Values.watchNamespaces'
_WEBHOOK = conjunction("$.Values.webhook.enabled", ENTIRE)
_RENAMED = f'ne ({FULL_NAME}) "{CHART}"'
_CONFIGURATION = "--webhook-configuration="


def defaults(deployment: Object) -> dict[str, Any]:
    """The values that the manifest has already."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    repository, _, tag = container["image"].rpartition(":")
    return {
        "replicas": deployment["spec"]["replicas"],
        "repository": repository,
        "tag": "" if tag == "latest" else tag,
        "pullPolicy": container["imagePullPolicy"],
        "resources": container["resources"],
    }


def with_values(deployment: Object) -> Object:
    """The Deployment with the values in the places of their defaults."""
    spec = deployment["spec"]
    spec["replicas"] = bare("$.Values.replicas")
    template = spec["template"]
    metadata, pod = template["metadata"], template["spec"]
    for field, added in (("annotations", "podAnnotations"), ("labels", "podLabels")):
        metadata[field] = {**metadata[field], more(f"$.Values.{added}"): None}
    (container,) = pod["containers"]
    pod["containers"] = [_container(container)]
    if "volumes" in pod:
        pod["volumes"] = _by_name(pod["volumes"])
    fields = ("imagePullSecrets", "nodeSelector", "tolerations", "affinity")
    template["spec"] = {
        **pod,
        **optional(**{field: f"$.Values.{field}" for field in fields}),
        **fields_when(
            "$.Values.priorityClassName", {"priorityClassName": value("$.Values.priorityClassName")}
        ),
    }
    return deployment


def _container(container: Object) -> Object:
    container = {
        **container,
        "image": value(f'include "{CHART}.image" $'),
        "imagePullPolicy": value("$.Values.image.pullPolicy"),
        "args": [item for argument in container["args"] for item in _argument(argument)],
        "resources": block("$.Values.resources"),
    }
    container["args"] += [
        *when(_OTHER, [f"--lease-name={value('$.Release.Name')}-{CHART}"]),
        *when("$.Values.watchNamespaces", [f"--namespace={value(_NAMESPACES)}"]),
        more("$.Values.args"),
    ]
    for field in ("ports", "volumeMounts"):
        if field in container:
            container[field] = _by_name(container[field])
    if "env" in container:
        container["env"] = [*container["env"], more("$.Values.env")]
    else:
        container |= optional(env="$.Values.env")
    return container


def _argument(argument: str) -> list[str]:
    if argument.startswith("--metrics-bind-address="):
        return either("$.Values.metrics.enabled", argument, "--metrics-bind-address=0")
    if argument.startswith("--metrics-"):
        return when(SECURE, [argument])
    if argument.startswith("--webhook-port="):
        named = f"{_CONFIGURATION}{value(FULL_NAME)}-validating-webhook-configuration"
        return when(_WEBHOOK, [argument, *when(_RENAMED, [named])])
    if "webhook" in argument:
        return when(_WEBHOOK, [argument])
    return [argument]


def _by_name(items: list[Any]) -> list[Any]:
    """Ports, volumes and mounts; those of the webhook go with it."""
    return [
        each
        for item in items
        for each in (when(_WEBHOOK, [item]) if "webhook" in _name(item) else [item])
    ]


def _name(item: Any) -> str:  # noqa: ANN401
    """The name of a port, a volume or a mount; a token has none."""
    return str(item["name"]) if isinstance(item, dict) else ""
