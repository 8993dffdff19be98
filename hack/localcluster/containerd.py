"""containerd: its configuration, and images put into it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from . import images, packages, probe, sandbox
from .controlplane import Component
from .errors import ClusterError
from .state import Cluster

NAME = "containerd"
SOCKET = "/run/containerd/containerd.sock"
_PATIENCE = 30.0
_LOADS = 6
"""An import may lose what it has just written to the garbage collector, on a busy machine."""

_CONFIG = """\
version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs"]

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true  # not every root may lower it
  netns_mounts_under_state_dir = true  # so that they go with the sandbox

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "{snapshotter}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{plugins}"
  conf_dir = "{config}"
"""


def component(cluster: Cluster) -> Component:
    """The process; it runs inside the sandbox."""
    argv = ("containerd", f"--config={cluster.folder.config / 'containerd.toml'}")
    return Component(NAME, tuple(sandbox.enter(cluster, argv)), forks=True)


def write_config(cluster: Cluster) -> None:
    """Write containerd's configuration and that of the Pods' network."""
    folder = cluster.folder.config / "cni"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pods.conflist").write_text(json.dumps(network(cluster), indent=2))
    text = _CONFIG.format(
        pause=images.PAUSE,
        snapshotter="overlayfs" if _overlay_works(cluster.folder.node) else "native",
        plugins=packages.cni_plugins(),
        config=folder,
    )
    (cluster.folder.config / "containerd.toml").write_text(text)


def network(cluster: Cluster) -> probe.JsonObject:
    """A bridge, and addresses handed out by this machine; Pods do not reach the world outside."""
    bridge = {
        "type": "bridge",
        "bridge": cluster.slot.bridge,
        "isGateway": True,
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": cluster.slot.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}


def await_ready(cluster: Cluster) -> None:
    """Wait until containerd answers."""
    if not probe.wait(lambda: _ctr(cluster, "version").returncode == 0, _PATIENCE):
        raise ClusterError(f"containerd does not answer; see {cluster.folder.log(NAME)}")


def present(cluster: Cluster) -> set[str]:
    """The names of the images in it."""
    return set(_ctr(cluster, "images", "list", "--quiet").stdout.decode().split())


def load(cluster: Cluster, name: str, archive: bytes) -> None:
    """Put an image into it, from the bytes of an OCI or Docker archive, under `name`."""
    command = ("images", "import", "--index-name", name, "-")
    result = _ctr(cluster, *command, stdin=archive)
    for _ in range(_LOADS - 1):
        if result.returncode:
            result = _ctr(cluster, *command, stdin=archive)
    if result.returncode:
        raise ClusterError(f"{name} could not be loaded: {result.stderr.decode().strip()}")
    # kubelet learns of an image by an event; a Pod that is quicker would try to pull it.
    known = 'labels."io.cri-containerd.image"==managed'
    query = ("images", "list", "--quiet", f"name=={name},{known}")

    def offered() -> bool:
        return bool(_ctr(cluster, *query).stdout.strip())

    if not probe.wait(offered, _PATIENCE):
        raise ClusterError(f"{name} was loaded, but containerd does not offer it to kubelet")


def load_own(cluster: Cluster) -> None:
    """Put in the images that every node has."""
    program = packages.busybox()
    have = present(cluster)
    if program and images.PAUSE not in have:
        command = ("sleep", "infinity")
        load(cluster, images.PAUSE, images.busybox_image(images.PAUSE, program, command))
    if program and images.BUSYBOX not in have:
        load(cluster, images.BUSYBOX, images.busybox_image(images.BUSYBOX, program))


def _ctr(
    cluster: Cluster, *arguments: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    command = sandbox.enter(
        cluster, ["ctr", f"--address={SOCKET}", "--namespace=k8s.io", *arguments]
    )
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


def _overlay_works(folder: Path) -> bool:
    """Whether overlay mounts can be made below the folder; not where it is an overlay itself."""
    parts = {part: folder / "overlay-trial" / part for part in ("lower", "upper", "work", "merged")}
    for path in parts.values():
        path.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={parts['lower']},upperdir={parts['upper']},workdir={parts['work']}"
    mount = ["mount", "-t", "overlay", "overlay", "-o", options, str(parts["merged"])]
    trial = subprocess.run(["unshare", "--mount", *mount], capture_output=True, check=False)
    return trial.returncode == 0
