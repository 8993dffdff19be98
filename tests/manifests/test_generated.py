"""What is committed is what is generated."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATED = [
    "docs/api.md",
    "docs/roles.md",
    "manifests/admission/children.yaml",
    "manifests/admission/gates.yaml",
    "manifests/admission/observatories.yaml",
    "manifests/admission/requesters.yaml",
    "manifests/admission/status.yaml",
    "manifests/crd/workflow.seventh-horizon.io_observatories.yaml",
    "manifests/grafana/observatory-operator.json",
    "manifests/rbac/leader_election_role.yaml",
    "manifests/rbac/metrics_auth_role.yaml",
    "manifests/rbac/metrics_reader_role.yaml",
    "manifests/rbac/observatory_admin_role.yaml",
    "manifests/rbac/observatory_editor_role.yaml",
    "manifests/rbac/observatory_viewer_role.yaml",
    "manifests/rbac/role.yaml",
    "manifests/rbac/webhook_role.yaml",
    "manifests/requester/requester_check.yaml",
    "manifests/requester/requester_check_binding.yaml",
    "manifests/requester/requester_record.yaml",
    "manifests/requester/requester_record_binding.yaml",
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "hack/manifests"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("generated")
    assert run("--root", str(root)).returncode == 0
    return root


@pytest.mark.parametrize("path", GENERATED)
def test_the_committed_file_is_the_generated_one(written: Path, path: str) -> None:
    assert (ROOT / path).read_text() == (written / path).read_text(), "run `make manifests`"


def test_nothing_else_is_generated(written: Path) -> None:
    files = sorted(str(path.relative_to(written)) for path in written.rglob("*") if path.is_file())
    assert files == GENERATED


def test_a_stale_file_fails_the_check_with_a_diff(written: Path, tmp_path: Path) -> None:
    for path in GENERATED:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text((written / path).read_text())
    assert run("--check", "--root", str(tmp_path)).returncode == 0
    role = tmp_path / "manifests/rbac/role.yaml"
    role.write_text(role.read_text().replace("- delete", "- '*'"))
    check = run("--check", "--root", str(tmp_path))
    assert check.returncode == 1
    assert "-      - '*'\n+      - delete\n" in check.stdout
    assert check.stderr == "error: 1 generated files are stale: run `make manifests`\n"
    assert "'*'" in role.read_text()
