"""hack/audit, with a stand-in for pip-audit that answers as the test says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FINE = {"dependencies": [{"name": "a", "version": "1", "vulns": []}]}
SKIPPED = {"dependencies": [{"name": "a", "skip_reason": "not found"}]}
FOUND = {
    "dependencies": [
        {
            "name": "a",
            "version": "1",
            "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-2026-1"], "fix_versions": ["2"]}],
        }
    ]
}


@pytest.mark.parametrize(
    ("osv", "pypi", "code", "said"),
    [
        (FINE, None, 0, "no known vulnerability in 1 packages (osv)"),
        (FOUND, FINE, 1, "a 1: PYSEC-1, CVE-2026-1; mended in 2"),
        (None, FINE, 0, "no known vulnerability in 1 packages (pypi)"),
        (None, FOUND, 1, "a 1: PYSEC-1, CVE-2026-1; mended in 2"),
        (None, None, 0, "not audited: osv: no such host"),
        (None, SKIPPED, 0, "not audited: osv: no such host"),
        (SKIPPED, SKIPPED, 0, "not audited: osv knows nothing of 1 of 1 packages"),
    ],
)
def test_what_is_known_fails_and_what_nobody_knows_is_said(
    tmp_path: Path, osv: object, pypi: object, code: int, said: str
) -> None:
    for service, answer in (("osv", osv), ("pypi", pypi)):
        if answer is not None:
            (tmp_path / service).write_text(json.dumps(answer))
    fake = tmp_path / "pip-audit"
    fake.write_text(
        f"#!/bin/sh\ncat '{tmp_path}/'${{1#*=}} 2> /dev/null "
        "|| { echo no such host >&2; exit 1; }\n"
    )
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, ROOT / "hack" / "audit"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, f"{said}\n")
