"""The same operations on the fake API server and on a real one: the same answers, versions, events.

A control plane without a scheduler or kubelet that would act on Pods by itself is enough, and one
with them does no harm, as the Pods here are gated or unbindable.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from observatory.api.names import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, PODS, Key, Resource
from observatory.api.types import JsonObject
from observatory.core.model import Refused
from observatory.kube.api import Api, PatchKind
from observatory.kube.client import Client
from observatory.kube.config import load
from observatory.kube.errors import AlreadyExists, ApiError
from observatory.runtime.clock import SystemClock
from observatory.runtime.podwriter import refusal
from observatory.simulation.acts import Acts
from observatory.simulation.apiserver import ApiServer
from observatory.simulation.scenario import Fault
from tests.integration.operations import (
    CRD,
    HOME,
    KINDS,
    LABEL,
    MERGES,
    THINGS,
    Operation,
    Session,
    body_of,
    create,
    delete,
    events,
    get,
    merge,
    operations,
    outcome,
)
from tests.support.cluster import Cluster, eventually

pytestmark = pytest.mark.integration
T = TypeVar("T")
_numbers = itertools.count()
EXAMPLES = int(os.environ.get("OBSERVATORY_TEST_EXAMPLES", "100"))
"""Sequences of operations for each kind of object."""


@pytest.fixture(scope="module")
def kubeconfig(cluster: Cluster) -> str:
    return cluster.kubeconfig


@pytest.fixture(scope="module")
def runner(kubeconfig: str) -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        made.run(_install(kubeconfig))
        yield made


async def _install(kubeconfig: str) -> None:
    async with real(kubeconfig) as api:
        things: tuple[tuple[Resource, JsonObject], ...] = (
            (CUSTOM_RESOURCE_DEFINITIONS, CRD),
            (NAMESPACES, {"metadata": {"name": HOME}}),
        )
        for resource, body in things:
            try:
                await api.create(resource, "", body)
            except AlreadyExists:
                continue
        for _ in range(100):
            try:
                await api.list(THINGS, HOME, {})
            except ApiError:
                await asyncio.sleep(0.1)
            else:
                return
        pytest.fail("the CRD was not served within 10 s")


@asynccontextmanager
async def real(kubeconfig: str) -> AsyncIterator[Client]:
    async with Client(load(kubeconfig, None, SystemClock())) as client:
        yield client


def fake() -> ApiServer:
    return ApiServer(lambda: datetime(2026, 1, 1, tzinfo=UTC), namespaces=("default", HOME))


async def play(api: Api, kind: str, label: str, script: list[Operation]) -> list[Any]:
    session = Session(api, label)
    start = (await api.list(KINDS[kind], HOME, {"limit": "1"}))["metadata"]["resourceVersion"]
    told: list[Any] = [await outcome(session, kind, operation) for operation in script]
    told.append(await events(session, kind, start))
    try:  # leave nothing behind
        await api.patch(KINDS[kind], session.key(kind), MERGES["release"], kind=PatchKind.MERGE)
        await api.delete(KINDS[kind], session.key(kind))
    except ApiError:
        pass
    return told


async def compared(
    kubeconfig: str, kind: str, script: list[Operation]
) -> tuple[list[Any], list[Any]]:
    label = f"{os.getpid()}-{next(_numbers)}"
    async with real(kubeconfig) as client:
        return await play(fake(), kind, label, script), await play(client, kind, label, script)


@pytest.mark.parametrize("kind", KINDS)
def test_any_sequence_of_operations_has_the_same_outcome(
    kind: str, kubeconfig: str, runner: asyncio.Runner
) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.booleans(), st.booleans(), st.lists(operations(kind), max_size=8))
    @example(False, True, [delete(kind, "right"), merge(kind, "release")])  # noqa: FBT003
    @example(True, True, [delete(kind, "none"), merge(kind, "label"), get(kind)])  # noqa: FBT003
    def agree(gated: bool, held: bool, script: list[Operation]) -> None:  # noqa: FBT001
        whole = [create(kind, gated=gated, held=held), *script]
        ours, theirs = runner.run(compared(kubeconfig, kind, whole))
        assert ours == theirs

    agree()


def test_pages_and_errors_of_lists_are_the_same(kubeconfig: str, runner: asyncio.Runner) -> None:
    label = f"{os.getpid()}-{next(_numbers)}"

    async def listing(api: Api) -> list[Any]:
        for number in range(5):
            body = body_of("thing", f"{label}-{number}", label, gated=False, held=False)
            await api.create(THINGS, HOME, body)
        told: list[Any] = []
        params = {"labelSelector": f"{LABEL}={label}", "limit": "2"}
        page = await api.list(THINGS, HOME, params)
        first = page["metadata"]["resourceVersion"]
        await api.delete(THINGS, Key(HOME, f"{label}-4"))
        while True:
            names = [item["metadata"]["name"] for item in page["items"]]
            told.append((page["kind"], names, page["metadata"]["resourceVersion"] == first))
            if not (token := page["metadata"].get("continue")):
                break
            page = await api.list(THINGS, HOME, {**params, "continue": token})
        for wrong in (
            {"resourceVersion": str(int(first) + 10_000_000)},
            {"limit": "1", "continue": token_of(page), "resourceVersion": first},
        ):
            try:
                await api.list(THINGS, HOME, wrong)
                told.append("ok")
            except ApiError as error:
                told.append((error.status, error.reason, bool(error.retry_after)))
        return told

    def token_of(_: JsonObject) -> str:
        return "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhXHUwMDAwIn0"

    async def both() -> tuple[list[Any], list[Any]]:
        async with real(kubeconfig) as client:
            return await listing(fake()), await listing(client)

    ours, theirs = runner.run(both())
    assert ours == theirs


def test_a_watch_starts_and_ends_the_same(kubeconfig: str, runner: asyncio.Runner) -> None:
    label = f"{os.getpid()}-{next(_numbers)}"
    streaming = {
        "sendInitialEvents": "true",
        "allowWatchBookmarks": "true",
        "resourceVersionMatch": "NotOlderThan",
    }
    starts: list[dict[str, str]] = [
        {},
        {"resourceVersion": "0"},
        streaming,
        {"sendInitialEvents": "true"},
        {"resourceVersion": "1"},  # older than the history
    ]

    async def first_events(api: Api, params: dict[str, str]) -> Any:  # noqa: ANN401
        selected = {**params, "labelSelector": f"{LABEL}={label}"}
        told = []
        try:
            async with api.watch(THINGS, HOME, selected) as lines:
                async for line in lines:
                    event = orjson.loads(line)
                    metadata = event["object"]["metadata"]
                    told.append(
                        (event["type"], metadata.get("annotations"), event["object"].get("code"))
                    )
                    if len(told) == (3 if params == streaming else 2):
                        break
        except ApiError as error:
            return error.status, error.reason
        return told

    async def watching(api: Api) -> list[Any]:
        for number in range(2):
            body = body_of("thing", f"{label}-{number}", label, gated=False, held=False)
            await api.create(THINGS, HOME, body)
        if isinstance(api, ApiServer):
            api.compact()
        return [await first_events(api, params) for params in starts]

    async def both() -> tuple[list[Any], list[Any]]:
        async with real(kubeconfig) as client:
            return await watching(fake()), await watching(client)

    ours, theirs = runner.run(both())
    assert ours == theirs


def refusal_of(create: Coroutine[None, None, JsonObject], runner: asyncio.Runner) -> Refused:
    """What the operator makes of the refusal of a Pod, without its words."""
    with pytest.raises(ApiError) as refused:
        runner.run(create)
    return replace(refusal(refused.value), message="")


async def create_pod(api: Api, namespace: str, name: str) -> JsonObject:
    body = body_of("pod", name, "refused", gated=True, held=False)
    body["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "1", "memory": "1Mi"}}
    return await api.create(PODS, namespace, body)


async def create_really(kubeconfig: str, namespace: str, name: str) -> JsonObject:
    async with real(kubeconfig) as client:
        return await create_pod(client, namespace, name)


def simulated(fault: Fault) -> ApiServer:
    """A simulated server on which somebody has done that."""
    server = fake()
    Acts(server, {}).do(fault)
    return server


def test_a_quota_refuses_the_same(cluster: Cluster, namespace: str, runner: asyncio.Runner) -> None:
    cluster.kubectl("create", "quota", "q", "--hard=pods=1", "-n", namespace)
    eventually(
        lambda: cluster.get("resourcequota", "q", "-n", namespace).get("status", {}),
        lambda status: status.get("hard") == {"pods": "1"},
    )
    server = simulated(Fault("quota", value=1, at=0))
    runner.run(create_pod(server, "default", "one"))
    runner.run(create_really(cluster.kubeconfig, namespace, "one"))

    theirs = refusal_of(create_really(cluster.kubeconfig, namespace, "two"), runner)

    assert theirs.reason == "QuotaExceeded"
    assert refusal_of(create_pod(server, "default", "two"), runner) == theirs


def test_a_policy_refuses_the_same_and_is_asked_before_names_are_looked_at(
    cluster: Cluster, namespace: str, runner: asyncio.Runner
) -> None:
    runner.run(create_really(cluster.kubeconfig, namespace, "taken"))
    with cluster.denied(namespace, "pods", "CREATE"):
        theirs = [
            refusal_of(create_really(cluster.kubeconfig, namespace, name), runner)
            for name in ("one", "taken")
        ]

    server = fake()
    runner.run(create_pod(server, "default", "taken"))
    Acts(server, {}).do(Fault("deny", value=True, at=0))
    ours = [refusal_of(create_pod(server, "default", name), runner) for name in ("one", "taken")]
    assert [refused.reason for refused in theirs] == ["AdmissionDenied"] * 2
    assert ours == theirs


def test_garbage_is_collected_the_same(cluster: Cluster, runner: asyncio.Runner) -> None:
    """What a deleted object owned is deleted: at once, or marked where a finalizer holds it."""
    label = f"{os.getpid()}-{next(_numbers)}"

    async def orphan(api: Api) -> None:
        owner = await api.create(
            THINGS, HOME, body_of("thing", f"{label}-owner", label, gated=False, held=False)
        )
        reference = {
            "apiVersion": THINGS.api_version,
            "kind": THINGS.kind,
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
        }
        for name, held in (("free", False), ("held", True)):
            body = body_of("pod", f"{label}-{name}", label, gated=True, held=held)
            body["metadata"]["ownerReferences"] = [reference]
            await api.create(PODS, HOME, body)
        await api.delete(THINGS, Key(HOME, owner["metadata"]["name"]))

    async def left(api: Api) -> dict[str, bool]:
        listed = await api.list(PODS, HOME, {"labelSelector": f"{LABEL}={label}"})
        return {
            item["metadata"]["name"]: "deletionTimestamp" in item["metadata"]
            for item in listed["items"]
        }

    async def really(what: Callable[[Api], Coroutine[None, None, T]]) -> T:
        async with real(cluster.kubeconfig) as client:
            return await what(client)

    server = fake()
    runner.run(orphan(server))
    server.collect_garbage()
    runner.run(really(orphan))
    ours = runner.run(left(server))

    assert ours == {f"{label}-held": True}
    eventually(lambda: runner.run(really(left)), lambda theirs: theirs == ours)
    release = MERGES["release"]

    async def let_go(api: Api) -> JsonObject:
        return await api.patch(PODS, Key(HOME, f"{label}-held"), release, kind=PatchKind.MERGE)

    runner.run(let_go(server))
    runner.run(really(let_go))
    assert runner.run(left(server)) == runner.run(really(left)) == {}
