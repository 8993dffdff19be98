"""What the commands have in common that speak to a cluster."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Awaitable, Callable

from observatory.api.fielderrors import quote
from observatory.api.names import LABEL_LENGTH
from observatory.api.openapi import DNS_LABEL
from observatory.api.text import one_line
from observatory.kube.api import Api
from observatory.kube.client import Client
from observatory.kube.config import load
from observatory.kube.credentials import ConfigError
from observatory.kube.errors import ApiError, Forbidden, KubeError, NotFound
from observatory.runtime.clock import SystemClock

DEFAULT_NAMESPACE = "default"
_NAME = re.compile("[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_NAME_LENGTH = 253

Work = Callable[[Api, str], Awaitable[int]]
"""What a command does with the cluster and the namespace of its context; the exit code."""


class CommandError(Exception):
    """A command can't go on; the message says why and what to do. `code` is its exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def object_name(text: str) -> str:
    """The type of an argument that names an Observatory, as `NAME` or `observatory/NAME`.

    What no object can be called would be the path of something else.
    """
    name = text.removeprefix("observatory/")
    if not _NAME.fullmatch(name) or len(name) > _NAME_LENGTH:
        raise argparse.ArgumentTypeError(f"invalid value {quote(text)}: no object has such a name")
    return name


def namespace_name(text: str) -> str:
    """The type of an argument that names a namespace."""
    if not re.fullmatch(DNS_LABEL, text) or len(text) > LABEL_LENGTH:
        raise argparse.ArgumentTypeError(
            f"invalid value {quote(text)}: no namespace has such a name"
        )
    return text


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which cluster."""
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--kubeconfig", metavar="FILE", help="the kubeconfig; else $KUBECONFIG or ~/.kube/config"
    )
    group.add_argument("--context", metavar="NAME", help="its context; else the current one")


def with_cluster(options: argparse.Namespace, work: Work) -> int:
    """Do the work on the cluster that the flags name. Whatever is wrong is one line."""
    try:
        return asyncio.run(_connected(options, work))
    except CommandError as error:
        code, problem = error.code, str(error)
    except Forbidden as error:
        code, problem = 2, f"{error.message}; ask for this right"
    except ApiError as error:
        code, problem = 2, f"the API server refused: {error.message}"
    except (ConfigError, KubeError) as error:
        code, problem = 2, str(error)
    return reported(CommandError(problem, code))


def reported(error: CommandError) -> int:
    """Say what is wrong in one line; the exit code."""
    print(f"error: {one_line(str(error))}", file=sys.stderr)
    return error.code


async def _connected(options: argparse.Namespace, work: Work) -> int:
    cluster = load(options.kubeconfig, options.context, SystemClock())
    async with Client(cluster) as client:
        try:
            return await work(client, cluster.namespace or DEFAULT_NAMESPACE)
        except NotFound as error:
            if "could not find the requested resource" not in error.message:
                raise
            text = "the cluster doesn't know Observatories: install the CRD with `make install`"
            raise CommandError(text, 2) from error
