"""The command line."""

from __future__ import annotations

import argparse
import sys

from . import cluster, state
from .console import say
from .errors import ClusterError
from .state import Cluster, Node


def main() -> int:
    """Run one command; the exit code is 0, 1 when it failed, 2 when it was not understood."""
    parser = argparse.ArgumentParser(prog="hack/cluster")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up")
    up.add_argument("--name", default="default")
    kind = up.add_mutually_exclusive_group()
    kind.add_argument("--no-node", action="store_const", dest="node", const=Node.NONE)
    kind.add_argument("--kubelet", action="store_const", dest="node", const=Node.KUBELET)
    kind.add_argument("--kwok", action="store_const", dest="node", const=Node.KWOK)
    up.add_argument("--nodes", type=int, default=1)
    up.add_argument("--audit", action="store_true")
    up.add_argument("--fsync", action="store_true")
    down = commands.add_parser("down")
    down.add_argument("--name", default="default")
    kubeconfig = commands.add_parser("kubeconfig")
    kubeconfig.add_argument("--name", default="default")
    arguments = parser.parse_args()
    try:
        if arguments.command == "up":
            made = cluster.up(Cluster(arguments.name, node=arguments.node or Node.NONE, nodes=arguments.nodes, audit=arguments.audit, fsync=arguments.fsync))
            print(f"export KUBECONFIG={made.folder.kubeconfig}")
        elif arguments.command == "down":
            say("Removed" if cluster.down(arguments.name) else "There is no such cluster")
        else:
            found = state.load(arguments.name)
            if found is None:
                raise ClusterError(f"there is no cluster {arguments.name}")
            print(found.folder.kubeconfig)
    except ClusterError as error:
        say(f"error: {error}")
        return 1
    return 0
