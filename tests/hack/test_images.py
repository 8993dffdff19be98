from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import Any

from localcluster import images

ROOT = images.layer(b"\x7fELF busybox", ["bin/busybox", "bin/sh", "usr/bin/wc"])


def files(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isreg()}  # type: ignore[union-attr]


def blob(content: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    """The blob that a descriptor names; its digest and size are checked."""
    algorithm, digest = descriptor["digest"].split(":")
    found = content[f"blobs/{algorithm}/{digest}"]
    assert hashlib.sha256(found).hexdigest() == digest
    assert len(found) == descriptor["size"]
    return found


def test_an_archive_leads_from_its_index_to_its_layer() -> None:
    content = files(images.archive("registry.example/tool:1", ROOT, ["sh"]))
    assert json.loads(content["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    [entry] = json.loads(content["index.json"])["manifests"]
    assert entry["annotations"] == {"io.containerd.image.name": "registry.example/tool:1"}
    manifest = json.loads(blob(content, entry))
    config = json.loads(blob(content, manifest["config"]))
    [layer] = manifest["layers"]
    assert blob(content, layer) == ROOT
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    assert config["config"]["Cmd"] == ["sh"]


def test_applets_are_links_to_busybox_but_for_itself() -> None:
    with tarfile.open(fileobj=io.BytesIO(ROOT)) as tar:
        links = {entry.name: entry.linkname for entry in tar if entry.issym()}
        assert tar.getmember("bin/busybox").mode == 0o755
        assert tar.getmember("tmp").mode == 0o1777
    assert links == {"bin/sh": "/bin/busybox", "usr/bin/wc": "/bin/busybox"}


def test_equal_inputs_make_equal_archives() -> None:
    assert images.archive("a", ROOT, ["sh"]) == images.archive("a", ROOT, ["sh"])
