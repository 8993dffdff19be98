"""What the reading commands have in common: their flags, one Observatory by its name, formats."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import AsyncIterator

import yaml

from observatory.api.names import CONTROLLER_REVISIONS, OBSERVATORIES, Key, Resource
from observatory.api.text import one_line
from observatory.api.types import JsonObject
from observatory.cli.cluster import CommandError, add_cluster, namespace_name, object_name
from observatory.cli.style import add_color
from observatory.cli.view import View, view_of
from observatory.core.revision import stored_program
from observatory.kube.api import Api
from observatory.kube.errors import ApiError, NotFound

LOOK_SECONDS = 1.0
"""How often something is looked at again that is being watched."""
_PAGE = "500"


def add_reading(
    parser: argparse.ArgumentParser,
    formats: tuple[str, ...] = (),
    *,
    name: bool = True,
) -> None:
    """Add what each of them takes: the name, the namespace, the format, the colour, the cluster."""
    if name:
        parser.add_argument("name", metavar="NAME", type=object_name, help="the Observatory")
    parser.add_argument(
        "--namespace", "-n", type=namespace_name, metavar="NAME", help="else that of the context"
    )
    if formats:
        parser.add_argument(
            "--output",
            "-o",
            choices=formats,
            default=formats[0],
            help="(default: %(default)s)",
        )
    add_color(parser)
    add_cluster(parser)


async def fetch(api: Api, key: Key) -> JsonObject:
    """One Observatory.

    Raises:
        CommandError: There is none of that name.
    """
    try:
        found = await api.get(OBSERVATORIES, key)
    except ValueError as error:
        raise CommandError(str(error)) from error
    except NotFound as error:
        if "could not find the requested resource" in error.message:
            raise
        message = f'no Observatory "{key.name}" in namespace "{key.namespace}"'
        raise CommandError(f"{message}; see observatory list -A") from error
    metadata = {name: each for name, each in found["metadata"].items() if name != "managedFields"}
    return {**found, "metadata": metadata}


async def seen(api: Api, key: Key) -> View:
    """One Observatory as it is to be shown, with the tasks that its latest run executed.

    Raises:
        CommandError: There is none of that name.
    """
    observatory = await fetch(api, key)
    view = view_of(observatory)
    revision, program = view.status.revision, view.desired.program
    if revision is None or (program is not None and program.revision == revision):
        return view
    try:
        stored = await api.get(CONTROLLER_REVISIONS, Key(key.namespace, revision))
        return view_of(observatory, stored_program(stored))
    except (ApiError, KeyError, TypeError, ValueError, AttributeError):
        return view  # the tasks as they are written now, for want of better


async def every(
    api: Api, resource: Resource, namespace: str | None, params: dict[str, str]
) -> AsyncIterator[JsonObject]:
    """All objects of a collection, page by page; with kind and version, as `get` gives them."""
    asked = {**params, "limit": _PAGE}
    while True:
        page = await api.list(resource, namespace, asked)
        for item in page["items"]:
            yield {"apiVersion": resource.api_version, "kind": resource.kind, **item}
        more = (page.get("metadata") or {}).get("continue")
        if not more:
            return
        asked = {**asked, "continue": more}


def write_objects(objects: list[JsonObject], output: str, *, single: bool) -> None:
    """Write objects as JSON, YAML, or their names."""
    whole: object = objects[0] if single else {"apiVersion": "v1", "kind": "List", "items": objects}
    if output == "json":
        # In ASCII: any stream carries it, and nothing in it turns a line around.
        print(json.dumps(whole, indent=2))
    elif output == "yaml":
        yaml.safe_dump(whole, sys.stdout, sort_keys=False)
    else:
        for each in objects:
            print(one_line(f"observatory.workflow.seventh-horizon.io/{each['metadata']['name']}"))
