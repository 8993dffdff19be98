"""`hack/chart`: render `manifests` with kustomize, and write the chart."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml

from .chart import NO_CONDITIONS, chart
from .tokens import Object
from .variants import merged

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "manifests"
ALWAYS = "default"
COMPONENTS = {"certmanager": "$.Values.certManager.enabled"}
IF_WANTED = ("network-policy", "prometheus")


def main() -> int:
    """Write the chart into --out."""
    parser = argparse.ArgumentParser(
        prog="hack/chart", description="Write the Helm chart, rendered from manifests/."
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "dist/chart", help="the folder (%(default)s)"
    )
    out: Path = parser.parse_args().out
    others = [document for folder in IF_WANTED for document in rendered(MANIFESTS / folder)]
    always, conditions = rendered(MANIFESTS / ALWAYS), NO_CONDITIONS
    for component, condition in COMPONENTS.items():
        if (MANIFESTS / component).exists():
            always, conditions = merged(always, with_component(component), condition)
    files = chart(always, others, version(), conditions)
    if out.exists():
        if not (out / "Chart.yaml").exists():
            parser.error(f"{out} is no chart: name a folder that is not there, or a chart")
        shutil.rmtree(out)
    for name, text in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(f"wrote {len(files)} files to {out}")
    return 0


def rendered(folder: Path) -> list[Object]:
    """What kustomize makes of a folder."""
    command = [str(ROOT / "hack/kubectl"), "kustomize", str(folder)]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return list(yaml.safe_load_all(text))


def with_component(component: str) -> list[Object]:
    """What kustomize makes of the operator with a Component."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        # kustomize takes no absolute paths.
        kustomization = {
            "resources": [os.path.relpath(MANIFESTS / ALWAYS, folder)],
            "components": [os.path.relpath(MANIFESTS / component, folder)],
        }
        text = yaml.safe_dump(kustomization)
        (folder / "kustomization.yaml").write_text(text, encoding="utf-8")
        return rendered(folder)


def version() -> str:
    """The version of the project: the chart has the same."""
    text = (ROOT / "observatory/__init__.py").read_text(encoding="utf-8")
    (found,) = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return str(found)
