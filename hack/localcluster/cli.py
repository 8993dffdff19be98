"""The command line."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from . import build, cluster, images, packages, state, status
from .cluster import Wish
from .console import say
from .errors import ClusterError
from .state import Node

_DESCRIPTION = """\
Make a real Kubernetes cluster on this machine, for tests and demonstrations, and remove it
without a trace. Your own kubeconfig and current context are never touched.

With a Docker daemon, kind makes it. Without one it consists of processes: etcd, kube-apiserver,
kube-controller-manager and kube-scheduler, built once from pinned Go modules, and a node:

  --kubelet   a kubelet with containerd that runs containers (needs root)
  --kwok      nodes that pretend to run Pods: thousands of them, none real
  --no-node   none, for tests of the API alone
"""

_EXAMPLES = """\
examples:
  hack/cluster up                            a cluster called default that runs containers
  eval "$(hack/cluster up)"                  the same, and this shell's kubectl speaks to it
  hack/cluster up --kwok --nodes 20 --name big
  hack/cluster up --no-node --audit --name api
  hack/cluster up --kubeconfig ~/.kube/config --context staging --name staging
  kubectl --kubeconfig "$(hack/cluster kubeconfig --name api)" --context alice get pods
  hack/cluster load-image registry.example/tool:1 --from-busybox
  hack/cluster logs kube-apiserver --name api
  hack/cluster status
  hack/cluster down --all

`up` on a cluster that is there starts what has died in it, and takes no time when nothing has.
With other options it is refused, unless no process of that cluster runs: then it is made anew.
The first `up` builds for about 10 minutes on two cores; `hack/cluster build` does so beforehand.
Nodes of --kubelet hold docker.io/library/busybox:1.36, made from this machine's busybox. Pods reach
one another, and the API server by the address in their environment; there is no cluster DNS.
Annotations tell how a Pod on --kwok ends, such as kwok.observatory/exit-code: "3"; all of them
stand in hack/localcluster/stages.yaml.
Everything lies below ${XDG_CACHE_HOME:-~/.cache}/observatory-operator.

exit status: 0 when it worked, 1 when it did not, 2 when the command was not understood, 130 when
it was interrupted
"""

_INTERRUPTED = 130
_ADMINISTRATORS_PATH = "/usr/local/sbin:/usr/sbin:/sbin"  # `su` alone does not lead there
_WISHES = tuple(field.name for field in dataclasses.fields(Wish))


class _Parser(argparse.ArgumentParser):
    """Says what was not understood in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    options = parser().parse_args(arguments)
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:{_ADMINISTRATORS_PATH}"
    try:
        return int(options.run(options))
    except (ClusterError, OSError, subprocess.SubprocessError) as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """What may be typed."""
    top = _Parser(
        prog="hack/cluster",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    named = _Parser(add_help=False)
    named.add_argument("--name", default="default", help="which cluster (default: %(default)s)")

    _up_options(commands.add_parser("up", parents=[named], help="make a cluster, or heal it"))

    down = commands.add_parser("down", parents=[named], help="remove a cluster, all of it")
    down.add_argument("--all", action="store_true", help="every cluster")
    down.set_defaults(run=_down)

    show = commands.add_parser("status", help="list the clusters, or tell all about one")
    show.add_argument("--name", help="which cluster")
    show.add_argument("--json", action="store_true", help="for scripts")
    show.set_defaults(run=_status)

    path = commands.add_parser("kubeconfig", parents=[named], help="print the kubeconfig's path")
    path.set_defaults(run=_kubeconfig)

    logs = commands.add_parser("logs", parents=[named], help="print a component's log")
    logs.add_argument("component", metavar="COMPONENT", help="as `status --name` lists them")
    logs.add_argument("--follow", "-f", action="store_true", help="go on as it grows")
    logs.set_defaults(run=_logs)

    load = commands.add_parser("load-image", parents=[named], help="give containers an image")
    load.add_argument("image", metavar="IMAGE", help="its full name, as docker.io/library/tool:1")
    source = load.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "archive", metavar="TAR", nargs="?", type=Path, help="an OCI or Docker archive"
    )
    source.add_argument(
        "--from-busybox", action="store_true", help="made of this machine's busybox"
    )
    load.set_defaults(run=_load_image)

    make = commands.add_parser("build", help="build the programs of a control plane")
    make.add_argument(
        "--kubelet", action="append_const", dest="nodes", const=Node.KUBELET, help="and kubelet"
    )
    make.add_argument(
        "--kwok", action="append_const", dest="nodes", const=Node.KWOK, help="and kwok"
    )
    make.set_defaults(run=_build, nodes=[])
    return top


def _up_options(up: argparse.ArgumentParser) -> None:
    node = up.add_mutually_exclusive_group()
    for flag, kind, text in (
        ("--kubelet", Node.KUBELET, "a node that runs containers; the default"),
        ("--kwok", Node.KWOK, "nodes that pretend to run Pods"),
        ("--no-node", Node.NONE, "a control plane alone"),
    ):
        node.add_argument(flag, action="store_const", dest="node", const=kind, help=text)
    node.add_argument("--kubeconfig", type=Path, metavar="FILE", help="use this cluster, make none")
    up.add_argument("--context", default="", help="of --kubeconfig (default: its current one)")
    up.add_argument("--nodes", type=int, metavar="N", help="how many, with --kwok (default: 1)")
    up.add_argument("--audit", action="store_true", help="log every request; not with kind")
    up.add_argument(
        "--fsync", action="store_true", help="let etcd wait for the disk; not with kind"
    )
    up.add_argument("--local", action="store_true", help="processes even where Docker runs")
    up.set_defaults(run=_up, refuse=up.error)


def _up(options: argparse.Namespace) -> int:
    if options.context and not options.kubeconfig:
        options.refuse("--context belongs to --kubeconfig")
    if options.nodes is not None and (options.nodes < 1 or options.node is not Node.KWOK):
        options.refuse("--nodes belongs to --kwok and is at least 1")
    try:
        made = cluster.up(Wish(**{name: getattr(options, name) for name in _WISHES}))
    except KeyboardInterrupt:
        remedy = f"hack/cluster down --name {options.name} removes it"
        say(f"Interrupted; the same command goes on from here, {remedy}")
        raise
    print(f"export KUBECONFIG={shlex.quote(str(made.folder.kubeconfig))}")
    return 0


def _down(options: argparse.Namespace) -> int:
    names = [found.name for found in state.load_all()] if options.all else [options.name]
    for name in names:
        say(f"Removed cluster {name}" if cluster.down(name) else f"There is no cluster {name}")
    return 0


def _status(options: argparse.Namespace) -> int:
    if options.name:
        found = status.look(cluster.get(options.name))
        print(status.as_json(found) if options.json else status.details(found))
        return int(found.state != "running")
    every = [status.look(known) for known in state.load_all()]
    print(status.as_json(every) if options.json else status.overview(every))
    return int(not every or any(known.state != "running" for known in every))


def _kubeconfig(options: argparse.Namespace) -> int:
    print(cluster.get(options.name).folder.kubeconfig)
    return 0


def _logs(options: argparse.Namespace) -> int:
    folder = cluster.get(options.name).folder
    log = folder.log(options.component)
    if not log.exists():
        known = ", ".join(sorted(path.stem for path in log.parent.glob("*.log")))
        raise ClusterError(f"there is no log of {options.component}; there are logs of {known}")
    follow = ["--follow"] if options.follow else []
    return subprocess.run(["tail", "--lines=+1", *follow, log], check=False).returncode


def _load_image(options: argparse.Namespace) -> int:
    if options.archive:
        archive = options.archive.read_bytes()
    elif program := packages.busybox():
        archive = images.busybox_image(options.image, program)
    else:
        raise ClusterError("there is no static busybox: install the package busybox-static")
    cluster.load_image(options.name, options.image, archive)
    return 0


def _build(options: argparse.Namespace) -> int:
    print(build.ensure(build.programs(options.nodes)))
    return 0
