"""`observatory cleanup`: let go of everything that the operator holds, for when it is gone."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from observatory.api.names import (
    FINALIZER,
    FINALLY,
    LABEL_OBSERVATORY,
    LEASES,
    OBSERVATORIES,
    PODS,
    Key,
    Resource,
)
from observatory.api.times import parse_time
from observatory.api.types import JsonObject
from observatory.cli.cluster import CommandError, add_cluster, namespace_name, with_cluster
from observatory.kube.api import Api, PatchKind
from observatory.kube.errors import Invalid, NotFound
from observatory.runtime.clock import SystemClock

PAGE = 500
LEASE = "observatory-operator"
"""How the names of Leases end that operators are led by, unless flags say otherwise."""

_EPILOG = """\
examples:
  observatory cleanup --dry-run            show what is held
  observatory cleanup                      let go of it, in all namespaces
  observatory cleanup --namespace etl      in one namespace

What is held: Pods, and runs of schedules, by the finalizer {pods}
until their outcome is in a status, and Observatories by {observatories}
until their `finally` has run. While an operator runs it does this by itself, and would put them on
again: stop it first. Outcomes that it has not seen yet are lost.

Exit codes: 0 nothing is held any more, 1 an operator runs, 2 the command could not do its work.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add the parser of `observatory cleanup`."""
    parser = subparsers.add_parser(
        name,
        help="let go of what the operator holds, for when it is gone",
        description="Removes the operator's finalizers, so that no Pod and no namespace stays "
        "Terminating when the operator is gone.",
        epilog=_EPILOG.format(pods=FINALIZER, observatories=FINALLY),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--namespace",
        "-n",
        type=namespace_name,
        metavar="NAME",
        help="only there; else everywhere",
    )
    parser.add_argument("--dry-run", action="store_true", help="show it, and change nothing")
    parser.add_argument("--force", action="store_true", help="although an operator runs")
    add_cluster(parser)
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    """Let go of everything."""

    async def work(api: Api, _: str) -> int:
        if not options.force and not options.dry_run:
            await refuse_while_led(api, SystemClock().now())
        return await let_go(api, options.namespace, dry_run=options.dry_run)

    return with_cluster(options, work)


async def refuse_while_led(api: Api, now: datetime) -> None:
    """Raise `CommandError` if a leader has renewed its Lease so lately that it must be running."""
    async for lease in _pages(api, LEASES, None, {}):
        spec = lease.get("spec") or {}
        renewed, seconds = spec.get("renewTime"), spec.get("leaseDurationSeconds")
        name = lease["metadata"]["name"]
        if not name.endswith(LEASE) or not (renewed and seconds):
            continue
        if spec.get("holderIdentity") and now < parse_time(renewed) + timedelta(seconds=seconds):
            where = lease["metadata"]["namespace"]
            text = f'"{spec["holderIdentity"]}" leads by Lease {where}/{name}: stop it first'
            raise CommandError(f"{text}, or use --force")


async def let_go(api: Api, namespace: str | None, *, dry_run: bool) -> int:
    """Remove our finalizers; print each object, and how many there were."""
    count = 0
    for resource, ours, params in (
        (PODS, {FINALIZER}, {"labelSelector": LABEL_OBSERVATORY}),
        (OBSERVATORIES, {FINALLY, FINALIZER}, {}),
    ):
        async for item in _pages(api, resource, namespace, params):
            metadata = item["metadata"]
            held_by = ours.intersection(metadata.get("finalizers") or ())
            if not held_by:
                continue
            count += 1
            key = Key(metadata["namespace"], metadata["name"])
            for finalizer in () if dry_run else sorted(held_by):
                await _remove(api, resource, key, finalizer)
            print(f"{resource.kind.lower()}/{key}: {'held' if dry_run else 'let go'}")
    print(f"{count} {'are held' if dry_run else 'let go'}")
    return 0


async def _remove(api: Api, resource: Resource, key: Key, finalizer: str) -> None:
    """Remove one finalizer of one object, whatever others do to it meanwhile."""
    while True:
        try:
            found = (await api.get(resource, key))["metadata"]
            finalizers = found.get("finalizers") or []
            if finalizer not in finalizers:
                return
            path = f"/metadata/finalizers/{finalizers.index(finalizer)}"
            patch = [
                {"op": "test", "path": "/metadata/uid", "value": found["uid"]},
                {"op": "test", "path": path, "value": finalizer},
                {"op": "remove", "path": path},
            ]
            await api.patch(resource, key, patch, kind=PatchKind.JSON)
        except NotFound:
            return
        except Invalid:
            continue  # somebody changed the list in between: look again
        return


async def _pages(
    api: Api, resource: Resource, namespace: str | None, params: dict[str, str]
) -> AsyncIterator[JsonObject]:
    """The objects of a list, page by page; none where the cluster does not know the kind."""
    params = {**params, "limit": str(PAGE)}
    while True:
        try:
            page = await api.list(resource, namespace, params)
        except NotFound:
            return  # the definition is gone, and with it every Observatory
        for item in page["items"]:
            yield item
        token = (page.get("metadata") or {}).get("continue")
        if not token:
            return
        params["continue"] = token
