from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STATUS = """\
Package: zlib1g
Status: install ok installed
Architecture: amd64
Version: 1:1.2.13
Description: compression
 with a line that says Version: 9

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


def sbom(tmp_path: Path, **environment: str) -> str:
    (tmp_path / "status").write_text(STATUS)
    return subprocess.run(
        [sys.executable, ROOT / "hack" / "sbom", "--dpkg-status", tmp_path / "status"],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_it_lists_each_package_that_is_in_the_image(tmp_path: Path) -> None:
    told: dict[str, Any] = json.loads(sbom(tmp_path))
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    packages = {each["purl"]: each for each in told["components"]}
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^([a-z0-9.-]+)==([^ ;\\]+)", lock, re.MULTILINE)
    python = {f"pkg:pypi/{name}@{version}" for name, version in pins}
    assert len(python) > 40
    assert packages.keys() == python | {"pkg:deb/debian/zlib1g@1:1.2.13?arch=amd64"}
    assert all(packages[purl]["hashes"] for purl in python)


def test_equal_inputs_make_equal_output(tmp_path: Path) -> None:
    first = sbom(tmp_path, SOURCE_DATE_EPOCH="1700000000")
    assert sbom(tmp_path, SOURCE_DATE_EPOCH="1700000000") == first
    assert json.loads(first)["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
