"""What the watches bring becomes keys."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Self

import structlog

from observatory.api.names import LABEL_OBSERVATORY, OBSERVATORIES, PODS, Key
from observatory.api.types import JsonObject
from observatory.core.owners import owner_reference
from observatory.kube.errors import Forbidden
from observatory.runtime.cache import Cache
from observatory.runtime.clock import SystemClock
from observatory.runtime.watches import watches
from observatory.simulation.apiserver import ApiServer, Request
from tests.runtime.test_operator import until
from tests.runtime.world import NAMESPACE, observatory, task


class Keys:
    """Takes what is enqueued."""

    def __init__(self) -> None:
        self.initial: set[str] = set()
        self.later: set[str] = set()

    def __call__(self, keys: Iterable[Key], *, initial: bool = False) -> None:
        (self.initial if initial else self.later).update(key.name for key in keys)


class Watching:
    """A server, watched."""

    def __init__(self) -> None:
        self.server = ApiServer(lambda: datetime(2026, 1, 1, tzinfo=UTC))
        self.cache = Cache([])
        self.keys = Keys()
        (self.watched,) = watches(
            self.server, self.cache, enqueue=self.keys, clock=SystemClock(), identity="test"
        )

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(reflector.run()) for reflector in self.watched.reflectors
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for running in self._tasks:
            running.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def pod(name: str, owner: str, **labels: str) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {LABEL_OBSERVATORY: owner, **labels},
            "ownerReferences": [owner_reference(owner, f"uid-of-{owner}")],
        },
        "spec": {"containers": [{"name": "task", "image": "busybox"}]},
    }


def test_what_is_there_at_the_start_yields_to_what_happens_then() -> None:
    async def scene() -> Keys:
        watching = Watching()
        server = watching.server
        server.create_now(OBSERVATORIES, NAMESPACE, observatory("first", task("a")))
        async with watching:
            await watching.watched.synced()
            server.create_now(OBSERVATORIES, NAMESPACE, observatory("second", task("a")))
            assert await until(lambda: watching.keys.later)
        return watching.keys

    keys = asyncio.run(scene())

    assert (keys.initial, keys.later) == ({"first"}, {"second"})


def test_a_pod_that_changes_owners_wakes_both() -> None:
    async def scene() -> set[str]:
        watching = Watching()
        watching.server.create_now(PODS, NAMESPACE, pod("p", "old"))
        async with watching:
            await watching.watched.synced()
            stored = watching.server.get_now(PODS, Key(NAMESPACE, "p"))
            stored["metadata"]["ownerReferences"] = [owner_reference("new", "uid-of-new")]
            watching.server.replace_now(PODS, Key(NAMESPACE, "p"), stored)
            assert await until(lambda: watching.keys.later)
        return watching.keys.later

    assert asyncio.run(scene()) == {"old", "new"}


def test_pods_of_others_are_not_even_asked_for() -> None:
    async def scene() -> Watching:
        watching = Watching()
        foreign = pod("p", "nobody")
        del foreign["metadata"]["labels"]
        watching.server.create_now(PODS, NAMESPACE, foreign)
        async with watching:
            await watching.watched.synced()
        return watching

    assert len(asyncio.run(scene()).cache) == 0


def test_what_cannot_be_watched_is_told_once_with_the_remedy() -> None:
    async def scene() -> None:
        watching = Watching()
        tries = 0

        def refuse(request: Request) -> None:
            nonlocal tries
            if request.resource == OBSERVATORIES:
                tries += 1
                raise Forbidden(
                    403, "Forbidden", 'observatories is forbidden: User "x" cannot list'
                )

        watching.server.before = refuse
        async with watching:
            assert await until(lambda: tries)

    with structlog.testing.capture_logs() as lines:
        asyncio.run(scene())

    (told,) = [line for line in lines if line["event"] == "Watch failed"]
    assert "cannot list or watch observatories.workflow.seventh-horizon.io" in told["error"]
    assert "manifests/rbac" in told["error"]
