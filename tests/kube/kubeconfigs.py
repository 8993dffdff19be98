"""Kubeconfigs, and a clock that stands still, for the tests of configuration."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from observatory.api.types import JsonObject
from observatory.kube.config import load
from observatory.kube.credentials import ClusterConfig, ConfigError


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(1_800_000_000 + self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


def kubeconfig(
    folder: Path, *, cluster: JsonObject | None = None, user: JsonObject | None = None
) -> Path:
    """A kubeconfig whose context `dev` has this cluster and user."""
    path = folder / "config"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "dev",
        "clusters": [{"name": "c", "cluster": cluster or {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [
            {"name": "dev", "context": {"cluster": "c", "user": "u", "namespace": "mine"}},
            {"name": "test", "context": {"cluster": "gone", "user": "u"}},
            {"name": "anybody", "context": {"cluster": "c", "user": "nobody"}},
        ],
    }
    path.write_bytes(orjson.dumps(document))  # JSON is YAML
    return path


def loaded(path: Path | None, context: str | None = None, **options: Any) -> ClusterConfig:  # noqa: ANN401
    options.setdefault("environ", {})
    return load(str(path) if path else None, context, options.pop("clock", Clock()), **options)


def refused(path: Path | None, context: str | None = None, **options: Any) -> str:  # noqa: ANN401
    with pytest.raises(ConfigError) as error:
        loaded(path, context, **options)
    text = str(error.value)
    assert "\n" not in text
    return text


def token_of(config: ClusterConfig) -> str | None:
    return config.credentials.load().authorization


def plugin(folder: Path, script: str, **more: Any) -> JsonObject:  # noqa: ANN401
    """A user whose plugin is this Python script; it may use `answer(**status)`."""
    path = folder / "plugin.py"
    path.write_text(
        "import json, os, sys\n"
        "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "def answer(**status):\n"
        "    print(json.dumps({'apiVersion': info['apiVersion'], 'kind': 'ExecCredential',"
        " 'status': status}))\n" + script
    )
    version = "client.authentication.k8s.io/v1"
    run = {"apiVersion": version, "command": sys.executable, "args": [str(path)], **more}
    return {"exec": run}
