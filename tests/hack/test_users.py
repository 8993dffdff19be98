from __future__ import annotations

import json
from pathlib import Path

import pytest
from localcluster import users
from localcluster.paths import Folder
from localcluster.users import COMPONENTS, PEOPLE


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    users.write_tokens(Folder(tmp_path))
    return Folder(tmp_path)


def test_everybody_has_a_token_of_their_own(folder: Folder) -> None:
    tokens = {users.token(folder, user.context) for user in (*PEOPLE, *COMPONENTS)}
    assert len(tokens) == len(PEOPLE) + len(COMPONENTS)
    assert min(map(len, tokens)) == 32


def test_only_the_owner_may_read_tokens(folder: Folder) -> None:
    users.write_kubeconfig(folder.kubeconfig, folder, "https://server", PEOPLE)
    for path in (folder.users, folder.kubeconfig):
        assert path.stat().st_mode & 0o077 == 0


def test_a_kubeconfig_has_a_context_for_each_user_and_starts_with_the_first(
    folder: Folder,
) -> None:
    users.write_kubeconfig(folder.kubeconfig, folder, "https://server:1", PEOPLE)
    content = json.loads(folder.kubeconfig.read_text())
    assert content["current-context"] == "admin"
    assert [entry["name"] for entry in content["contexts"]] == ["admin", "alice", "bob", "carol"]
    assert content["users"][1]["user"] == {"token": users.token(folder, "alice")}
    assert content["clusters"][0]["cluster"]["server"] == "https://server:1"
