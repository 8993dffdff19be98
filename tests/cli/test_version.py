from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from observatory import __version__
from observatory.cli.main import main
from observatory.cli.version import KUBERNETES
from observatory.telemetry.build import REVISION

ROOT = Path(__file__).parents[2]


def test_the_version_names_its_sources(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(REVISION, "abc")
    assert main(["version", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "version": __version__,
        "revision": "abc",
        "python_version": platform.python_version(),
        "kubernetes": ">=1.32",
    }


def test_sources_that_nobody_named_are_unknown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(REVISION, raising=False)
    assert main(["version"]) == 0
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (said["observatory"], said["revision"]) == (__version__, "unknown")


def test_the_image_names_its_sources_and_the_chart_the_same_kubernetes() -> None:
    assert f"ENV {REVISION}=${{REVISION}}" in (ROOT / "Dockerfile").read_text()
    chart = (ROOT / "hack" / "helmchart" / "static" / "Chart.yaml").read_text()
    assert f'kubeVersion: ">={KUBERNETES}.0-0"' in chart
    assert f"Kubernetes {KUBERNETES} or newer" in (ROOT / "README.md").read_text()
