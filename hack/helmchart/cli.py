"""`hack/chart`: render `manifests` with kustomize, and write the chart."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from pathlib import Path

import yaml

from .chart import chart
from .tokens import Object

ROOT = Path(__file__).resolve().parents[2]
ALWAYS = "default"
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
    others = [document for folder in IF_WANTED for document in rendered(folder)]
    files = chart(rendered(ALWAYS), others, version())
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


def rendered(folder: str) -> list[Object]:
    """What kustomize makes of a folder of `manifests`."""
    command = [str(ROOT / "hack/kubectl"), "kustomize", str(ROOT / "manifests" / folder)]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return list(yaml.safe_load_all(text))


def version() -> str:
    """The version of the project: the chart has the same."""
    text = (ROOT / "observatory/__init__.py").read_text(encoding="utf-8")
    (found,) = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return str(found)
