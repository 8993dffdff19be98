"""What the README and the Makefile promise holds, and the house keeps its own rules."""

from __future__ import annotations

import argparse
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from observatory.cli import run
from observatory.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
QUICK_START = ROOT / "manifests" / "samples" / "workflow_v1alpha1_observatory.yaml"
TARGETS = (
    "help install uninstall deploy undeploy run test build docker-build docker-push generate "
    "manifests demo demo-down lint benchmark build-installer chart"
)
LONGEST_FILE = 350


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_readme_shows_the_sample_that_the_demo_runs() -> None:
    assert yaml.safe_load(code_blocks("yaml")[0]) == yaml.safe_load(QUICK_START.read_text())


def test_the_readme_shows_what_validate_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "workflow.yaml").write_text(code_blocks("yaml")[0])
    monkeypatch.chdir(tmp_path)

    assert main(["validate", "workflow.yaml"]) == 0

    assert f"$ observatory validate workflow.yaml\n{capsys.readouterr().out}" in README


def test_each_flag_of_run_is_in_the_readme_and_no_other() -> None:
    parser = argparse.ArgumentParser()
    run.add_parser(parser.add_subparsers(), "run")
    text = parser._subparsers._group_actions[0].choices["run"].format_help()  # type: ignore[union-attr,index]
    flags = set(re.findall(r"--[a-z0-9-]+", text)) - {"--help"}
    section = README.partition("## Configuration")[2].partition("\n## ")[0]

    assert set(re.findall(r"`(--[a-z0-9-]+)", section)) == flags


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_within_the_repository_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_makefile_has_the_targets_that_people_expect() -> None:
    makefile = (ROOT / "Makefile").read_text()
    made = set(re.findall(r"^([a-z-]+(?: [a-z-]+)*):", makefile, re.MULTILINE))
    assert set(TARGETS.split()) <= {name for names in made for name in names.split()}


def test_make_help_lists_every_target_with_a_line() -> None:
    shown = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    for target in set(TARGETS.split()) - {"generate"}:
        assert re.search(rf"{target}\S*\s+\S*\s*[A-Z]", shown), target


@pytest.mark.parametrize("flag", [None, "CONTEXT="])
def test_make_install_needs_the_name_of_a_cluster(flag: str | None) -> None:
    command = ["env", "-u", "KUBECONFIG", "make", "install", *([flag] if flag else [])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "name the cluster" in done.stderr


def test_no_file_of_the_package_is_too_long() -> None:
    long = [
        path.name
        for path in (ROOT / "observatory").rglob("*.py")
        if len(path.read_text().splitlines()) > LONGEST_FILE
    ]
    assert long == []
