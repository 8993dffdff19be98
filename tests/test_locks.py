"""What the image installs is pinned, hashed, and what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {
    "requirements.lock": PROJECT["project"]["dependencies"],
    "requirements-build.lock": PROJECT["build-system"]["requires"],
}


def entries(file: str) -> list[str]:
    """Each requirement of a lock with its hashes, on one line."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / file).read_text(), flags=re.MULTILINE)
    return text.replace("\\\n", " ").splitlines()


def pins(file: str) -> dict[str, set[Version]]:
    found: dict[str, set[Version]] = {}
    for entry in entries(file):
        requirement = Requirement(entry.split(" --hash")[0])
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        found.setdefault(canonicalize_name(requirement.name), set()).add(Version(pin.version))
    return found


@pytest.mark.parametrize("file", LOCKS)
def test_each_line_of_a_lock_is_pinned_and_hashed(file: str) -> None:
    assert entries(file)
    for entry in entries(file):
        assert re.search(r" --hash=sha256:[0-9a-f]{64}", entry), entry
        assert "://" not in entry, "a lock names no index and no address"
    assert pins(file)


@pytest.mark.parametrize("file", LOCKS)
def test_a_lock_has_what_the_project_asks_for(file: str) -> None:
    pinned = pins(file)
    for text in LOCKS[file]:
        wanted = Requirement(text)
        versions = pinned[canonicalize_name(wanted.name)]
        assert all(map(wanted.specifier.contains, versions)), f"{text}: run `make lock`"


def test_each_dependency_is_accounted_for() -> None:
    table = (ROOT / "docs" / "dependencies.md").read_text()
    named = set(re.findall(r"^\| ([a-z][a-z0-9-]*) \|", table, re.MULTILINE))
    assert named == {Requirement(text).name for text in LOCKS["requirements.lock"]}


def test_the_image_is_made_of_the_locks_alone() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    installs = re.findall(r"pip install .*?(?=\n[A-Z#]|&&|$)", dockerfile, re.DOTALL)
    assert len(installs) == 3
    for install in installs:
        assert "--require-hashes" in install or "--no-index --no-deps" in install
