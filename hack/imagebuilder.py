"""Builds the image with buildah, on a base made from the distribution's packages."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from localcluster import packages
from localcluster.errors import ClusterError
from localcluster.paths import cache

ROOT = Path(__file__).resolve().parent.parent

_DESCRIPTION = """\
Build the operator's image without Docker and without a registry: buildah builds the Dockerfile on a
base that mmdebstrap makes from this machine's distribution. Both are installed where apt-get can.
Equal sources and packages make an equal image. Its commands are those of docker that the Makefile
uses, so it can take docker's place there:

  make docker-build CONTAINER_TOOL=hack/image IMG=localhost/observatory-operator:dev
"""

_EXAMPLES = """\
examples:
  hack/image build --tag localhost/observatory-operator:dev .
  hack/image save --output image.tar localhost/observatory-operator:dev
  hack/cluster load-image localhost/observatory-operator:dev image.tar
  hack/image push registry.example.com/observatory-operator:0.1.0
  hack/image clean

It needs root on a Debian-like Linux with Python 3.11 or newer. Everything lies below
${XDG_CACHE_HOME:-~/.cache}/observatory-operator/images; `clean` removes it.

exit status: 0 when it worked, 1 when it did not, 2 when the command was not understood
"""

_PROGRAMS = {"buildah": "buildah", "mmdebstrap": "mmdebstrap"}
_BUILD_PACKAGES = ("--variant=minbase", "--include=python3,python3-venv")
_UNUSED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
_LIST_PACKAGES = """\
for deb in "$1"/var/cache/apt/archives/*.deb; do
  dpkg-deb --field "$deb"
  printf 'Status: install ok installed\\n\\n'
done > "$1/var/lib/dpkg/status"
"""
"""What a package manager would have written: scanners look there for what is in an image."""
_RUN_PACKAGES = (
    "--variant=extract",
    "--include=python3",
    f"--extract-hook={_LIST_PACKAGES}",
)
_CERTIFICATES = Path("/etc/ssl/certs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except subprocess.CalledProcessError as error:
        # What went wrong is on the screen already, in the builder's own words.
        print(f"error: {error.cmd[0]} failed with exit code {error.returncode}", file=sys.stderr)
        return 1
    except (ClusterError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="hack/image",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    build = commands.add_parser("build", help="build an image from the Dockerfile")
    build.add_argument("--tag", "-t", required=True, metavar="IMAGE", help="its name")
    build.add_argument(
        "--build-arg", action="append", default=[], metavar="NAME=VALUE", help="as docker has it"
    )
    build.add_argument("--no-cache", action="store_true", help="make every layer anew")
    build.add_argument("context", nargs="?", type=Path, default=ROOT, help="the sources' folder")
    build.set_defaults(run=_build)
    save = commands.add_parser("save", help="write an image to an archive")
    save.add_argument("--output", "-o", type=Path, required=True, help="the archive")
    save.add_argument("image")
    save.set_defaults(run=_save)
    listed = commands.add_parser("packages", help="print dpkg's list of what an image has")
    listed.add_argument("image")
    listed.set_defaults(run=_packages)
    push = commands.add_parser("push", help="push an image to its registry")
    push.add_argument("image")
    push.set_defaults(run=lambda options: _buildah("push", options.image))
    clean = commands.add_parser("clean", help="remove images, bases and what they were made of")
    clean.set_defaults(run=_clean)
    return top


def _build(options: argparse.Namespace) -> None:
    packages.ensure(_PROGRAMS)
    epoch = source_date(options.context)
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    bases = {
        # The package manager and a shell are for the stage that is thrown away.
        "BUILD_IMAGE": _base("build", suite, epoch, _BUILD_PACKAGES),
        "BASE_IMAGE": _base("run", suite, epoch, _RUN_PACKAGES),
    }
    given = [f"{name}={image}" for name, image in bases.items()] + options.build_arg
    certificates = ["--volume", f"{_CERTIFICATES}:{_CERTIFICATES}:ro"]
    _say(f"Building {options.tag}")
    _buildah(
        "bud",
        "--isolation=chroot",
        "--network=host",
        "--layers=true",
        f"--timestamp={epoch}",
        *(["--no-cache"] if options.no_cache else []),
        *(certificates if _CERTIFICATES.is_dir() else []),
        *(f"--build-arg={each}" for each in given),
        f"--tag={options.tag}",
        str(options.context),
    )


def _save(options: argparse.Namespace) -> None:
    options.output.unlink(missing_ok=True)
    _buildah("push", options.image, f"oci-archive:{options.output}:{options.image}")


def _packages(options: argparse.Namespace) -> None:
    container = _buildah("from", "--pull-never", options.image, quiet=True)
    try:
        mounted = Path(_buildah("mount", container, quiet=True))
        print((mounted / "var/lib/dpkg/status").read_text(encoding="utf-8"), end="")
    finally:
        _buildah("rm", container, quiet=True)


def _clean(_: argparse.Namespace) -> None:
    if shutil.which("buildah") and _storage().exists():
        _buildah("rmi", "--all", "--force")
    shutil.rmtree(_storage(), ignore_errors=True)


def source_date(context: Path) -> int:
    """The time of the sources, in seconds since 1970: that of their commit, where there is one."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        if not given.isdecimal():
            raise ClusterError(f'SOURCE_DATE_EPOCH is "{given}": give seconds since 1970')
        return int(given)
    command = ["git", "-C", str(context), "log", "-1", "--format=%ct"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(told.stdout) if told.returncode == 0 and told.stdout.strip() else 0


def _base(purpose: str, suite: str, epoch: int, wanted: Sequence[str]) -> str:
    """The name of an image of these packages; it is made if it is not there."""
    image = f"localhost/observatory/base-{purpose}:{suite}"
    if _known(image):
        return image
    _say(f"Making {image} from packages of {suite}")
    with tempfile.TemporaryDirectory(prefix="observatory-image-") as scratch:
        root = Path(scratch, "root.tar")
        subprocess.run(
            [
                "mmdebstrap",
                "--quiet",
                *wanted,
                *(f"--dpkgopt=path-exclude={path}" for path in _UNUSED),
                suite,
                str(root),
            ],
            env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)},
            check=True,
        )
        container = _buildah("from", "scratch", quiet=True)
        _buildah("add", "--quiet", container, str(root), "/", quiet=True)
        _buildah("commit", "--quiet", f"--timestamp={epoch}", "--rm", container, image, quiet=True)
    return image


def _known(image: str) -> bool:
    command = ["buildah", *_where(), "inspect", "--type=image", image]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _buildah(*arguments: str, quiet: bool = False) -> str:
    """Run buildah on the images of our own; what it printed, where that is not for people."""
    done = subprocess.run(
        ["buildah", *_where(), *arguments],
        stdout=subprocess.PIPE if quiet else None,
        text=True,
        check=True,
    )
    return done.stdout.strip() if quiet else ""


def _where() -> list[str]:
    return [f"--root={_storage()}", f"--runroot={_storage() / 'run'}"]


def _storage() -> Path:
    return cache() / "images"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
