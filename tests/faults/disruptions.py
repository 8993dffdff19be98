"""F19: what befalls the control plane itself. Everybody on the cluster feels it.

["kill", "kube-apiserver"]        SIGKILL, and a new one; also "etcd", or both names
["pause", "etcd", 5]              SIGSTOP for so many seconds
["compact"]                       etcd forgets its history
["compact", "kube-apiserver"]     and the API server is killed: it remembers nothing either
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess

import aiohttp

from tests.faults.site import Site
from tests.support.cluster import ROOT

_NODES = "kwok"
"""Killed too: kwok does not repeat a write that was answered with 500, as etcd's delays are, and
what it should have told of a Pod stays untold. A kubelet would tell it again.
"""


TRIES = 5


class HealError(Exception):
    """The control plane is broken."""


async def disrupt(site: Site, what: str, *rest: object) -> None:
    """Do it; returns when the control plane is whole again."""
    match (what, *rest):
        case ("kill", *names):
            await _kill(site, *map(str, names), _NODES)
        case ("pause", str(name), int() | float() as seconds):
            pid = site.pid(name)
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(seconds)
            os.kill(pid, signal.SIGCONT)
            await nodes_again(site)
        case ("compact", *names):
            await _compact(site.etcd)
            await _kill(site, *map(str, names), _NODES)
        case _:
            raise ValueError(f"{what}: no such disruption; see disruptions.py")


async def nodes_again(site: Site) -> None:
    """Let the fake nodes look at their Pods anew: the new ones too may have met a 500."""
    await _kill(site, _NODES)


async def _kill(site: Site, *names: str) -> None:
    for name in names:
        os.kill(site.pid(name), signal.SIGKILL)
    await heal(site)


async def heal(site: Site) -> None:
    """Start again what of the control plane doesn't run.

    An API server that starts beside an etcd that starts may give up; the next try heals it.

    Raises:
        HealError: It doesn't come up, whatever is tried.
    """
    for _ in range(TRIES):
        up = await asyncio.create_subprocess_exec(
            ROOT / "hack" / "cluster", "up", "--name", site.name, stdout=subprocess.DEVNULL
        )
        if await up.wait() == 0:
            return
    raise HealError(f"hack/cluster up --name {site.name} failed {TRIES} times")


async def _compact(etcd: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{etcd}/v3/kv/range", json={"key": "AA=="}) as answer:
            revision = (await answer.json(content_type=None))["header"]["revision"]
        body = {"revision": revision, "physical": True}
        async with session.post(f"{etcd}/v3/kv/compaction", json=body) as answer:
            answer.raise_for_status()
