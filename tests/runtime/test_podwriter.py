from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from observatory.api.names import FINALIZER, GATE, LABEL_OBSERVATORY, PODS, Key
from observatory.api.status import Status
from observatory.api.types import JsonObject
from observatory.core.desired import desire
from observatory.core.model import Observed, PodRef, Refused, Start
from observatory.core.plan import plan
from observatory.kube.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Forbidden,
    KubeError,
    TooLarge,
)
from observatory.runtime.podwriter import PodWriter, refusal
from observatory.simulation.rules import terminating
from tests.runtime.faults import (
    BROKEN,
    BUSY,
    CUT,
    DENIED,
    NO_RIGHT,
    NO_WEBHOOK,
    POLICY,
    QUOTA,
    REFUSED,
    WEBHOOK,
    failing,
)
from tests.runtime.world import NAMESPACE, World, observatory, task

FOREIGN = {"name": "kueue.x-k8s.io/admission"}


class Desk:
    """A PodWriter, and the start of one task that nothing was done for yet."""

    def __init__(self) -> None:
        self.world = World()
        self.desired = desire(self.world.apply(observatory("night", task("a"))))
        (self.start,) = plan(self.desired, Observed(Status(), ()), self.world.now).starts
        self.writer = PodWriter(self.world.server, lambda *_: None)

    @property
    def key(self) -> Key:
        return Key(NAMESPACE, self.start.pod_name)

    def create(self, change: Callable[[JsonObject], None] = lambda _: None) -> PodRef:
        """The Pod of the start, as an earlier try or somebody else has made it."""
        pod = self.world.server.create_now(PODS, NAMESPACE, self.start.body or {})
        change(pod)
        self.world.server.storage.put(PODS, self.key, pod)
        return PodRef(self.start.pod_name, pod["metadata"]["uid"])

    def begin(self, start: Start | None = None) -> PodRef | Refused:
        return asyncio.run(self.writer.start(self.desired, start or self.start))

    def pod(self) -> JsonObject:
        return self.world.server.get_now(PODS, self.key)

    def writes(self) -> int:
        return len(self.world.writes())


def test_a_start_makes_the_gated_pod() -> None:
    desk = Desk()

    made = desk.begin()

    assert made == PodRef(desk.start.pod_name, desk.pod()["metadata"]["uid"])
    assert desk.pod()["spec"]["schedulingGates"] == [{"name": GATE}]


def test_the_gated_pod_of_an_earlier_try_is_adopted() -> None:
    desk = Desk()
    left = desk.create()

    assert desk.begin() == left
    assert desk.begin(Start(desk.start.attempt, "p", adopt=PodRef("p", "u"))) == PodRef("p", "u")


def remove_gate(pod: JsonObject) -> None:
    pod["spec"]["schedulingGates"] = []


def forge_owner(pod: JsonObject) -> None:
    pod["metadata"]["ownerReferences"][0]["uid"] = "another"


def drop_owner(pod: JsonObject) -> None:
    pod["metadata"]["ownerReferences"] = []


def other_task(pod: JsonObject) -> None:
    pod["metadata"]["labels"] = {LABEL_OBSERVATORY: "night"}


def garble(pod: JsonObject) -> None:
    pod["status"] = "Succeeded"


@pytest.mark.parametrize("change", [remove_gate, forge_owner, drop_owner, other_task, garble])
def test_any_other_pod_of_that_name_is_a_conflict(change: Callable[[JsonObject], None]) -> None:
    desk = Desk()
    desk.create(change)

    refused = desk.begin()

    assert isinstance(refused, Refused)
    assert (refused.reason, refused.permanent) == ("NameConflict", False)
    assert desk.start.pod_name in refused.message


def test_a_gated_pod_that_is_being_deleted_is_waited_for() -> None:
    desk = Desk()
    desk.create()
    desk.world.server.delete_now(PODS, desk.key)

    with pytest.raises(AlreadyExists):
        desk.begin()


@pytest.mark.parametrize("error", [CUT, BUSY, BROKEN])
def test_what_says_nothing_about_the_pod_is_no_refusal(error: KubeError) -> None:
    desk = Desk()
    desk.world.server.before = failing(error, "create", PODS)

    with pytest.raises(type(error)):
        desk.begin()


@pytest.mark.parametrize(
    ("error", "reason", "permanent"),
    [
        (QUOTA, "QuotaExceeded", False),
        (DENIED, "AdmissionDenied", False),
        (POLICY, "AdmissionDenied", False),
        (WEBHOOK, "AdmissionDenied", False),
        (NO_WEBHOOK, "WebhookFailed", False),
        (NO_RIGHT, "Forbidden", False),
        (terminating(PODS, Key("x", "y")), "NamespaceTerminating", False),
        (REFUSED, "InvalidPod", True),
        (BadRequest(400, "BadRequest", "no"), "InvalidPod", True),
        (TooLarge(413, "RequestEntityTooLarge", "no"), "InvalidPod", True),
    ],
)
def test_what_a_refusal_means(error: ApiError, reason: str, *, permanent: bool) -> None:
    desk = Desk()
    desk.world.server.before = failing(error, "create", PODS)

    refused = desk.begin()

    assert isinstance(refused, Refused)
    assert (refused.reason, refused.permanent) == (reason, permanent)
    assert error.message in refused.message


def test_without_rights_the_remedy_is_named() -> None:
    assert "RBAC" in refusal(NO_RIGHT).message


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("exceeded quota: q, requested: pods=1", "others end, or the quota is raised"),
        ("failed quota: q: must specify limits.cpu for: task", "set the resources that the quota"),
        ("maximum cpu usage per Pod is 1, but limit is 2", "within the namespace's LimitRange"),
        ("cpu max limit to request ratio per Container is 4", "within the namespace's LimitRange"),
        ('violates PodSecurity "restricted:latest": x', "set securityContext in the spec, or have"),
        ("not on a Friday", "ask for an exception of the policy"),
    ],
)
def test_what_a_namespace_does_not_take_is_told_with_its_remedy(said: str, remedy: str) -> None:
    refused = refusal(Forbidden(403, "Forbidden", f'pods "x" is forbidden: {said}'))
    assert said in refused.message
    assert remedy in refused.message


@pytest.mark.parametrize("gates", [[GATE], [GATE, FOREIGN["name"]], [FOREIGN["name"], GATE]])
def test_only_our_gate_is_removed_wherever_it_is(gates: list[str]) -> None:
    desk = Desk()
    named = [{"name": gate} for gate in gates]
    pod = desk.create(lambda pod: pod["spec"].update(schedulingGates=named))

    asyncio.run(desk.writer.release(desk.desired, pod))

    left = [gate for gate in gates if gate != GATE]
    assert [gate["name"] for gate in desk.pod()["spec"]["schedulingGates"]] == left


@pytest.mark.parametrize("others", [[], ["example.com/x"]])
def test_only_our_finalizer_is_removed(others: list[str]) -> None:
    desk = Desk()
    pod = desk.create(lambda pod: pod["metadata"].update(finalizers=[*others, FINALIZER]))

    asyncio.run(desk.writer.finish(desk.desired, pod))

    assert desk.pod()["metadata"].get("finalizers", []) == others


@pytest.mark.parametrize("action", ["release", "finish"])
def test_what_was_done_already_is_done(action: str) -> None:
    desk = Desk()
    pod = desk.create()
    for _ in range(2):
        asyncio.run(getattr(desk.writer, action)(desk.desired, pod))
    version = desk.pod()["metadata"]["resourceVersion"]

    asyncio.run(getattr(desk.writer, action)(desk.desired, pod))

    assert desk.pod()["metadata"]["resourceVersion"] == version


@pytest.mark.parametrize("action", ["release", "finish", "delete"])
@pytest.mark.parametrize("gone", [True, False])
def test_a_late_write_does_nothing_to_a_namesake(action: str, *, gone: bool) -> None:
    desk = Desk()
    if not gone:
        desk.create()
    before = desk.world.server.storage.version

    asyncio.run(getattr(desk.writer, action)(desk.desired, PodRef(desk.key.name, "earlier")))

    assert desk.world.server.storage.version == before


def test_a_pod_is_deleted_by_its_uid() -> None:
    desk = Desk()
    pod = desk.create()

    asyncio.run(desk.writer.delete(desk.desired, pod))

    assert "deletionTimestamp" in desk.pod()["metadata"]


def lost(desk: Desk, pod: PodRef) -> bool:
    return asyncio.run(desk.writer.is_lost(desk.desired, pod))


def test_lost_is_what_a_look_does_not_find() -> None:
    desk = Desk()
    assert lost(desk, PodRef(desk.key.name, "u"))

    pod = desk.create()
    assert not lost(desk, pod)
    assert lost(desk, PodRef(desk.key.name, "earlier"))
    assert desk.writes() == 0


@pytest.mark.parametrize("labels", [{}, {LABEL_OBSERVATORY: "x"}, None, ["x"], "x"])
def test_a_pod_that_no_watch_shows_gets_its_label_back(labels: object) -> None:
    desk = Desk()
    pod = desk.create(lambda pod: pod["metadata"].update(labels=labels))

    assert not lost(desk, pod)

    assert desk.pod()["metadata"]["labels"][LABEL_OBSERVATORY] == "night"


def test_a_look_that_fails_proves_nothing() -> None:
    desk = Desk()
    desk.world.server.before = failing(CUT, "get", PODS)

    with pytest.raises(type(CUT)):
        lost(desk, PodRef(desk.key.name, "u"))
