"""Container images without a registry: one static busybox, written as an OCI archive.

The format is the OCI image layout: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PAUSE = "localhost/observatory/pause:1"
"""What holds the namespaces of a Pod."""

BUSYBOX = "docker.io/library/busybox:1.36"

_TYPE = "application/vnd.oci.image"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def busybox_image(name: str, program: Path, command: Sequence[str] = ("sh",)) -> bytes:
    """An archive of an image called `name`: busybox, its applets, the few files they expect."""
    applets = subprocess.run([program, "--list-full"], capture_output=True, text=True, check=True)
    return archive(name, layer(program.read_bytes(), applets.stdout.split()), command)


def layer(busybox: bytes, applets: Sequence[str]) -> bytes:
    """The root file system, as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777)):
            _add(tar, folder, kind=tarfile.DIRTYPE, mode=mode)
        _add(tar, "bin/busybox", busybox, mode=0o755)
        _add(
            tar,
            "etc/passwd",
            b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
        )
        _add(tar, "etc/group", b"root:x:0:\nnobody:x:65534:\n")
        for applet in applets:
            if applet != "bin/busybox":
                _add(tar, applet, kind=tarfile.SYMTYPE, target="/bin/busybox")
    return buffer.getvalue()


def archive(name: str, root: bytes, command: Sequence[str]) -> bytes:
    """An OCI archive of an image with one layer; equal inputs make equal bytes."""
    machine = platform.machine()
    config = _json(
        {
            "architecture": _ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "config": {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": list(command)},
            "rootfs": {"type": "layers", "diff_ids": [_digest(root)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_TYPE}.manifest.v1+json",
            "config": _descriptor(f"{_TYPE}.config.v1+json", config),
            "layers": [_descriptor(f"{_TYPE}.layer.v1.tar", root)],
        }
    )
    entry = _descriptor(f"{_TYPE}.manifest.v1+json", manifest)
    entry["annotations"] = {"io.containerd.image.name": name}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", _json({"schemaVersion": 2, "manifests": [entry]}))
        for blob in (config, manifest, root):
            _add(tar, f"blobs/sha256/{_digest(blob).removeprefix('sha256:')}", blob)
    return buffer.getvalue()


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True).encode()


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _add(
    tar: tarfile.TarFile,
    name: str,
    content: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    mode: int = 0o644,
    target: str = "",
) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname, entry.size = kind, mode, target, len(content)
    tar.addfile(entry, io.BytesIO(content))
