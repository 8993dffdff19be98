from __future__ import annotations

import subprocess
from pathlib import Path

import imagebuilder
import pytest
from localcluster.errors import ClusterError


def test_the_time_of_an_image_is_that_of_its_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert imagebuilder.source_date(tmp_path) == 0  # no repository: any fixed time will do
    git = ("git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e")
    subprocess.run([*git, "init", "--quiet"], check=True)
    environment = {"GIT_COMMITTER_DATE": "1700000000 +0000", "PATH": "/usr/bin:/bin"}
    commit = [*git, "commit", "--quiet", "--allow-empty", "--message=m"]
    subprocess.run(commit, check=True, env=environment)
    assert imagebuilder.source_date(tmp_path) == 1_700_000_000


def test_the_time_of_an_image_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "12345")
    assert imagebuilder.source_date(Path("/nowhere")) == 12345
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ClusterError, match='SOURCE_DATE_EPOCH is "yesterday"'):
        imagebuilder.source_date(Path("/nowhere"))


@pytest.mark.parametrize("arguments", [[], ["build"], ["save", "image"], ["push"], ["paint"]])
def test_what_is_not_understood_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        imagebuilder.main(arguments)
    assert left.value.code == 2
    assert "usage: hack/image" in capsys.readouterr().err


def test_a_builder_that_fails_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "buildah"
    broken.write_text("#!/bin/sh\nexit 125\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert imagebuilder.main(["push", "registry.example.com/x:1"]) == 1
    assert capfd.readouterr().err == "error: buildah failed with exit code 125\n"
