"""Who may speak to the API server: a token each, and a kubeconfig for whoever needs one."""

from __future__ import annotations

import csv
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from .paths import Folder

NODE_NAME = "node-0"
"""The name of the node that runs containers."""


@dataclass(frozen=True, slots=True)
class User:
    """A name for `kubectl --context`, the user name that the API server sees, and its groups."""

    context: str
    name: str
    groups: tuple[str, ...] = ()


PEOPLE = (
    User("admin", "admin", ("system:masters",)),
    User("alice", "alice", ("editors",)),
    User("bob", "bob", ("viewers",)),
    User("carol", "carol"),
)
"""Contexts of the kubeconfig. Only admin may do anything before RBAC rules say otherwise."""

COMPONENTS = (
    User("kube-controller-manager", "system:kube-controller-manager"),
    User("kube-scheduler", "system:kube-scheduler"),
    User("kubelet", f"system:node:{NODE_NAME}", ("system:nodes",)),
    User("kwok", "kwok", ("system:masters",)),
)


def write_tokens(folder: Folder) -> None:
    """Make up a token for everybody, in the form that `--token-auth-file` reads."""
    folder.users.touch(mode=0o600)
    with folder.users.open("w", newline="") as file:
        for user in (*PEOPLE, *COMPONENTS):
            row = [secrets.token_hex(16), user.name, user.context]
            csv.writer(file).writerow([*row, ",".join(user.groups)] if user.groups else row)


def token(folder: Folder, context: str) -> str:
    """The token of a user, by the name of its context."""
    with folder.users.open(newline="") as file:
        return next(row[0] for row in csv.reader(file) if row[2] == context)


def write_kubeconfig(path: Path, folder: Folder, server: str, users: tuple[User, ...]) -> None:
    """Write a kubeconfig with a context for each of the users; the first one is the current one.

    It is JSON, which every reader of YAML reads.
    """
    cluster = {"server": server, "certificate-authority": str(folder.pki / "ca.crt")}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": users[0].context,
        "clusters": [{"name": folder.root.name, "cluster": cluster}],
        "users": [
            {"name": user.context, "user": {"token": token(folder, user.context)}} for user in users
        ],
        "contexts": [
            {
                "name": user.context,
                "context": {"cluster": folder.root.name, "user": user.context},
            }
            for user in users
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=2) + "\n")
