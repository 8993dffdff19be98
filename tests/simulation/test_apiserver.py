from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson
import pytest

from observatory.api.names import NAMESPACES, OBSERVATORIES, PODS, Key
from observatory.api.types import JsonObject
from observatory.kube.api import Api, PatchKind
from observatory.kube.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    ServerError,
    TransportError,
)
from observatory.simulation.apiserver import ApiServer, Request
from observatory.simulation.kubelet import Kubelet

T = TypeVar("T")
ONE = Key("default", "one")
GATED: JsonObject = {
    "metadata": {"name": "one"},
    "spec": {"containers": [{"name": "task", "image": "i"}], "schedulingGates": [{"name": "g"}]},
}
PLAIN: JsonObject = {"metadata": {"name": "one"}, "spec": {"containers": [{"name": "task"}]}}
OBSERVATORY: JsonObject = {"metadata": {"name": "one"}, "spec": {"tasks": []}}
UNGATE = [{"op": "remove", "path": "/spec/schedulingGates/0"}]


def now() -> datetime:
    return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def server() -> ApiServer:
    return ApiServer(now)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(coroutine, 5))


async def watched(api: Api, count: int, **params: str) -> list[tuple[str, str, str]]:
    """The type, name and resourceVersion of the first events of a watch of Pods."""
    seen: list[tuple[str, str, str]] = []
    async with api.watch(PODS, None, params) as lines:
        async for line in lines:
            event = orjson.loads(line)
            metadata = event["object"]["metadata"]
            seen.append((event["type"], metadata.get("name", ""), metadata["resourceVersion"]))
            if len(seen) == count:
                break
    return seen


def test_it_offers_the_api(server: ApiServer) -> None:
    api: Api = server
    assert run(api.create(PODS, "default", PLAIN))["status"]["phase"] == "Pending"


def test_identity_and_times_are_the_servers(server: ApiServer) -> None:
    made = server.create_now(OBSERVATORIES, "default", {**OBSERVATORY, "status": {"phase": "x"}})
    assert made["metadata"]["uid"] != server.create_now(PODS, "default", PLAIN)["metadata"]["uid"]
    assert made["metadata"]["creationTimestamp"] == "2026-01-02T03:04:05Z"
    assert made["metadata"]["generation"] == 1
    assert "status" not in made


def test_a_name_is_taken_once(server: ApiServer) -> None:
    server.create_now(PODS, "default", PLAIN)
    with pytest.raises(AlreadyExists):
        run(server.create(PODS, "default", PLAIN))


def test_a_stale_write_is_a_conflict_and_a_write_of_nothing_new_is_none(
    server: ApiServer,
) -> None:
    made = server.create_now(OBSERVATORIES, "default", OBSERVATORY)
    same = run(server.replace(OBSERVATORIES, ONE, made))
    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    made["spec"]["suspend"] = True
    changed = run(server.replace(OBSERVATORIES, ONE, made))
    assert changed["metadata"]["generation"] == 2
    with pytest.raises(Conflict):
        run(server.replace(OBSERVATORIES, ONE, made))
    with pytest.raises(Invalid):
        run(server.replace(OBSERVATORIES, ONE, OBSERVATORY))


def test_spec_and_status_have_an_endpoint_each(server: ApiServer) -> None:
    made = server.create_now(OBSERVATORIES, "default", OBSERVATORY)
    body = {**made, "spec": {"tasks": [], "suspend": True}, "status": {"phase": "Running"}}
    written = server.replace_now(OBSERVATORIES, ONE, body, subresource="status")
    assert (written["spec"], written["status"]) == ({"tasks": []}, {"phase": "Running"})
    assert written["metadata"]["generation"] == 1
    body["metadata"] = written["metadata"]
    body["status"] = {"phase": "Failed"}
    written = server.replace_now(OBSERVATORIES, ONE, body)
    assert (written["spec"]["suspend"], written["status"]) == (True, {"phase": "Running"})


def test_a_json_patch_is_done_whole_or_not_at_all(server: ApiServer) -> None:
    server.create_now(PODS, "default", GATED)
    wrong = [{"op": "test", "path": "/metadata/uid", "value": "other"}, *UNGATE]
    with pytest.raises(Invalid):
        run(server.patch(PODS, ONE, wrong, kind=PatchKind.JSON))
    assert server.get_now(PODS, ONE)["spec"]["schedulingGates"] == [{"name": "g"}]
    assert (
        run(server.patch(PODS, ONE, UNGATE, kind=PatchKind.JSON))["spec"]["schedulingGates"] == []
    )
    with pytest.raises(Invalid):
        run(server.patch(PODS, ONE, UNGATE, kind=PatchKind.JSON))


def test_a_gate_is_never_put_back(server: ApiServer) -> None:
    server.create_now(PODS, "default", PLAIN)
    with pytest.raises(Invalid, match="only deletion"):
        server.patch_now(
            PODS, ONE, {"spec": {"schedulingGates": [{"name": "g"}]}}, kind=PatchKind.MERGE
        )


def test_a_merge_patch_with_a_version_is_a_precondition(server: ApiServer) -> None:
    server.create_now(PODS, "default", PLAIN)
    labels = {"metadata": {"labels": {"a": "b"}, "resourceVersion": "1"}}
    with pytest.raises(Conflict):
        server.patch_now(PODS, ONE, labels, kind=PatchKind.MERGE)


def test_a_deletion_checks_the_uid(server: ApiServer) -> None:
    server.create_now(PODS, "default", PLAIN)
    with pytest.raises(Conflict):
        run(server.delete(PODS, ONE, uid="other"))
    run(server.delete(PODS, ONE, uid=server.get_now(PODS, ONE)["metadata"]["uid"]))
    with pytest.raises(NotFound):
        run(server.get(PODS, ONE))


def test_a_finalizer_holds_an_object_until_it_is_removed(server: ApiServer) -> None:
    body = {**OBSERVATORY, "metadata": {"name": "one", "finalizers": ["a/b"]}}
    server.create_now(OBSERVATORIES, "default", body)
    held = run(server.delete(OBSERVATORIES, ONE))
    assert held["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:05Z"
    assert held["metadata"]["generation"] == 2
    assert server.delete_now(OBSERVATORIES, ONE) == held
    server.patch_now(OBSERVATORIES, ONE, {"metadata": {"finalizers": None}}, kind=PatchKind.MERGE)
    with pytest.raises(NotFound):
        server.get_now(OBSERVATORIES, ONE)


def test_a_pod_on_a_node_is_deleted_by_its_kubelet(server: ApiServer) -> None:
    kubelet = Kubelet(server, end=lambda _: None)
    server.create_now(PODS, "default", PLAIN)
    kubelet.run_until_idle()
    going = server.delete_now(PODS, ONE)
    assert going["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:35Z"
    assert kubelet.run_pods() == 1
    status = server.get_now(PODS, ONE)["status"]["containerStatuses"][0]
    assert status["state"]["terminated"]["exitCode"] == 143
    assert kubelet.run_pods() == 1
    with pytest.raises(NotFound):
        server.get_now(PODS, ONE)


def test_a_gated_pod_never_runs(server: ApiServer) -> None:
    kubelet = Kubelet(server)
    uid = server.create_now(PODS, "default", GATED)["metadata"]["uid"]
    assert kubelet.run_pods() == 0
    server.patch_now(PODS, ONE, UNGATE, kind=PatchKind.JSON)
    kubelet.run_until_idle()
    assert server.get_now(PODS, ONE)["status"]["phase"] == "Succeeded"
    assert kubelet.starts == {("one", uid): 1}


def test_garbage_is_what_no_living_owner_owns(server: ApiServer) -> None:
    owner = server.create_now(OBSERVATORIES, "default", OBSERVATORY)
    reference = {"uid": owner["metadata"]["uid"], "kind": "Observatory", "name": "one"}
    owned = {**PLAIN, "metadata": {"name": "one", "ownerReferences": [reference]}}
    server.create_now(PODS, "default", owned)
    assert server.collect_garbage() == 0
    server.delete_now(OBSERVATORIES, ONE)
    assert server.collect_garbage() == 1
    with pytest.raises(NotFound):
        server.get_now(PODS, ONE)


def test_nothing_is_created_in_a_namespace_that_ends_or_is_not_there(
    server: ApiServer,
) -> None:
    with pytest.raises(NotFound):
        server.create_now(PODS, "other", PLAIN)
    server.delete_now(NAMESPACES, Key("", "default"))
    with pytest.raises(Forbidden) as refused:
        server.create_now(PODS, "default", PLAIN)
    assert refused.value.namespace_terminating
    server.collect_garbage()
    with pytest.raises(NotFound):
        server.get_now(NAMESPACES, Key("", "default"))


def test_pages_show_one_state_and_expire(server: ApiServer) -> None:
    for name in ("a", "b", "c"):
        server.create_now(PODS, "default", {**PLAIN, "metadata": {"name": name}})

    async def main() -> None:
        first = await server.list(PODS, None, {"limit": "2"})
        server.create_now(PODS, "default", {**PLAIN, "metadata": {"name": "bb"}})
        rest = {"limit": "2", "continue": first["metadata"]["continue"]}
        second = await server.list(PODS, None, rest)
        names = [item["metadata"]["name"] for item in first["items"] + second["items"]]
        assert names == ["a", "b", "c"]
        assert second["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}
        server.compact()
        with pytest.raises(Gone):
            await server.list(PODS, None, rest)
        with pytest.raises(ServerError) as future:
            await server.list(PODS, None, {"resourceVersion": "999"})
        assert "ResourceVersionTooLarge" in future.value.causes

    run(main())


def test_a_watch_tells_what_happened_since_its_version(server: ApiServer) -> None:
    made = server.create_now(PODS, "default", PLAIN)
    since = made["metadata"]["resourceVersion"]
    server.patch_now(PODS, ONE, {"metadata": {"labels": {"a": "b"}}}, kind=PatchKind.MERGE)
    server.delete_now(PODS, ONE)
    at = int(since)
    assert run(watched(server, 3, resourceVersion=since)) == [
        ("MODIFIED", "one", str(at + 1)),
        ("MODIFIED", "one", str(at + 2)),
        ("DELETED", "one", str(at + 3)),
    ]


def test_a_watch_with_a_selector_sees_objects_come_and_go(server: ApiServer) -> None:
    start = str(server.storage.version)
    server.create_now(PODS, "default", PLAIN)
    for value in ("b", None):
        patch = {"metadata": {"labels": {"a": value}}}
        server.patch_now(PODS, ONE, patch, kind=PatchKind.MERGE)
    events = run(watched(server, 2, resourceVersion=start, labelSelector="a=b"))
    assert [kind for kind, _, _ in events] == ["ADDED", "DELETED"]


def test_initial_events_end_with_a_bookmark(server: ApiServer) -> None:
    server.create_now(PODS, "default", PLAIN)
    streaming = {"sendInitialEvents": "true", "allowWatchBookmarks": "true"}
    with pytest.raises(Invalid):
        run(watched(server, 1, **streaming))
    streaming["resourceVersionMatch"] = "NotOlderThan"
    events = run(watched(server, 2, **streaming))
    assert [(kind, name) for kind, name, _ in events] == [("ADDED", "one"), ("BOOKMARK", "")]


def test_a_watch_is_told_when_its_version_is_too_old_and_when_it_is_cut(
    server: ApiServer,
) -> None:
    async def lines_of(version: str) -> list[JsonObject]:
        async with server.watch(PODS, None, {"resourceVersion": version}) as lines:
            return [orjson.loads(line) async for line in lines]

    async def main() -> None:
        old = str(server.storage.version)
        server.create_now(PODS, "default", PLAIN)
        server.compact()
        assert [event["object"]["code"] for event in await lines_of(old)] == [410]
        cut = asyncio.create_task(lines_of(str(server.storage.version)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        server.cut_watches()
        assert await cut == []
        broken = asyncio.create_task(lines_of(str(server.storage.version)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        server.cut_watches(TransportError("reset"))
        with pytest.raises(TransportError):
            await broken

    run(main())


def test_a_paused_watch_delivers_later(server: ApiServer) -> None:
    async def main() -> None:
        start = str(server.storage.version)
        server.watches.pause()
        task = asyncio.create_task(watched(server, 1, resourceVersion=start))
        server.create_now(PODS, "default", PLAIN)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
        server.watches.resume()
        assert [kind for kind, _, _ in await task] == ["ADDED"]

    run(main())


def test_a_request_can_be_lost_and_an_answer_can_be_lost(server: ApiServer) -> None:
    def lose(request: Request) -> None:
        if request.verb == "create":
            raise TransportError("lost")

    server.before = lose
    with pytest.raises(TransportError):
        run(server.create(PODS, "default", PLAIN))
    assert server.storage.get(PODS, ONE) is None
    server.before, server.after = server.after, lose
    with pytest.raises(TransportError):
        run(server.create(PODS, "default", PLAIN))
    assert server.storage.get(PODS, ONE) is not None
    assert [request.verb for request in server.requests] == ["create", "create"]


def test_what_was_given_out_or_taken_in_is_not_shared(server: ApiServer) -> None:
    body: JsonObject = {"metadata": {"name": "one"}, "spec": {"tasks": [{"name": "a"}]}}
    server.create_now(OBSERVATORIES, "default", body)["spec"]["tasks"].clear()
    body["spec"]["tasks"].clear()
    got = run(server.get(OBSERVATORIES, ONE))
    assert got["spec"]["tasks"] == [{"name": "a"}]
    got["spec"]["tasks"].clear()
    assert server.get_now(OBSERVATORIES, ONE)["spec"]["tasks"] == [{"name": "a"}]


def test_two_lists_of_one_version_have_pages_of_their_own(server: ApiServer) -> None:
    for name in ("one", "two"):
        server.create_now(PODS, "default", {**GATED, "metadata": {"name": name}})
        server.create_now(OBSERVATORIES, "default", {**OBSERVATORY, "metadata": {"name": name}})
    pods = server.list_now(PODS, None, {"limit": "1"})
    server.list_now(OBSERVATORIES, None, {"limit": "1"})
    rest = server.list_now(PODS, None, {"continue": pods["metadata"]["continue"]})
    assert [item["spec"].keys() >= {"containers"} for item in rest["items"]] == [True]


def test_admission_is_asked_before_it_is_known_whether_the_name_is_taken(server: ApiServer) -> None:
    server.create_now(PODS, "default", GATED)

    def deny(*_: object) -> None:
        raise Forbidden(403, "Forbidden", "exceeded quota")

    server.admission.append(deny)
    with pytest.raises(Forbidden):
        server.create_now(PODS, "default", GATED)
