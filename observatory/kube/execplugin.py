"""Credential plugins of kubeconfig's `exec`, as client-go runs them.

The `kubernetes` package would run them too, but without a time limit, with this process's input as
theirs, and with every error turned into a log line and a request without credentials.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import orjson

from observatory.api.types import JsonObject
from observatory.kube.credentials import ConfigError

SECONDS = 60.0
"""A plugin that has not answered by then is ended. It cannot ask anybody anything here."""

_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


@dataclass(frozen=True, slots=True)
class ExecCredential:
    """What a plugin answered: a token, or a certificate and its key in PEM, or all of them."""

    token: str | None = field(repr=False)
    certificate: str | None
    key: str | None = field(repr=False)
    expires: datetime | None


class ExecPlugin:
    """Runs a plugin when there is no answer of it that is still good."""

    def __init__(self, now: Callable[[], datetime], seconds: float = SECONDS) -> None:
        self._now = now
        self._seconds = seconds
        self._config: JsonObject = {}
        self._answer: ExecCredential | None = None

    def credential(self, config: JsonObject, cluster: JsonObject, *, renew: bool) -> ExecCredential:
        """The credential of the plugin so configured; it is run only if need be.

        Raises `ConfigError`.
        """
        known = self._answer
        expired = known is not None and known.expires is not None and known.expires <= self._now()
        if known is None or renew or expired or config != self._config:
            known = self._answer = _parsed(config, self._run(config, cluster))
            self._config = config
        return known

    def expires_in(self, credential: ExecCredential) -> float | None:
        """Seconds for which it is still good; None when it does not say."""
        if credential.expires is None:
            return None
        return (credential.expires - self._now()).total_seconds()

    def _run(self, config: JsonObject, cluster: JsonObject) -> bytes:
        command = str(config.get("command") or "")
        if not command:
            raise ConfigError("exec plugin: command is missing")
        version = config.get("apiVersion")
        if version not in _VERSIONS:
            raise ConfigError(f'exec plugin {command}: apiVersion "{version}" is not supported')
        try:
            done = subprocess.run(  # noqa: S603 -- the kubeconfig's owner asks for it
                [command, *map(str, config.get("args") or ())],
                env=_environment(config, cluster),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._seconds,
                check=False,
            )
        except FileNotFoundError as error:
            hint = " ".join(str(config.get("installHint") or "").split())
            raise ConfigError(f"exec plugin {command}: not found. {hint}".rstrip(". ")) from error
        except OSError as error:
            raise ConfigError(f"exec plugin {command}: {error.strerror}") from error
        except (TypeError, ValueError, AttributeError) as error:  # also NUL bytes, depth, ...
            text = f"exec plugin {command}: it cannot be given its args, env or cluster: {error}"
            raise ConfigError(text) from error
        except subprocess.TimeoutExpired as error:
            limit = f"{self._seconds:g} s"
            raise ConfigError(f"exec plugin {command}: no answer within {limit}") from error
        if done.returncode != 0:
            said = " ".join(done.stderr.decode(errors="replace").split())[-500:]
            raise ConfigError(f"exec plugin {command}: exit code {done.returncode}: {said}")
        return done.stdout


def _environment(config: JsonObject, cluster: JsonObject) -> dict[str, str]:
    spec: JsonObject = {"interactive": False}
    if config.get("provideClusterInfo"):
        names = ("server", "tls-server-name", "certificate-authority-data", "proxy-url")
        spec["cluster"] = {name: cluster[name] for name in names if name in cluster}
        for extension in cluster.get("extensions") or ():
            if extension.get("name") == "client.authentication.k8s.io/exec":
                spec["cluster"]["config"] = extension.get("extension")
    info = {"apiVersion": config["apiVersion"], "kind": "ExecCredential", "spec": spec}
    return {**os.environ, **_variables(config), "KUBERNETES_EXEC_INFO": orjson.dumps(info).decode()}


def _variables(config: JsonObject) -> dict[str, str]:
    try:
        return {str(item["name"]): str(item["value"]) for item in config.get("env") or ()}
    except (LookupError, TypeError) as error:
        text = f"exec plugin {config['command']}: each env needs a name and a value"
        raise ConfigError(text) from error


def _parsed(config: JsonObject, output: bytes) -> ExecCredential:
    name = f"exec plugin {config['command']}"
    try:
        answer = orjson.loads(output)
        status, version = answer["status"], answer["apiVersion"]
        expires = status.get("expirationTimestamp")
        credential = ExecCredential(
            token=status.get("token"),
            certificate=status.get("clientCertificateData"),
            key=status.get("clientKeyData"),
            expires=_time(expires) if expires else None,
        )
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ConfigError(f"{name}: its output is not an ExecCredential with a status") from error
    texts = (credential.token, credential.certificate, credential.key)
    if not all(isinstance(text, str | None) for text in texts):
        raise ConfigError(f"{name}: its output is not an ExecCredential with a status of texts")
    if version != config["apiVersion"]:
        raise ConfigError(f"{name}: answered in {version}, not in {config['apiVersion']}")
    if not credential.token and not credential.certificate:
        raise ConfigError(f"{name}: its answer has neither token nor clientCertificateData")
    if bool(credential.certificate) != bool(credential.key):
        raise ConfigError(f"{name}: clientCertificateData and clientKeyData have to come together")
    return credential


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without a zone could be any of a day")
    return time
