"""Who asked for a run: recorded by a real API server against all that people try, and asked about.

Alice may write Observatories and create Pods, Bob may only write Observatories. Both are service
accounts: they speak to the API server for themselves, with kubectl and with `observatory`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.integration.account import Account, kubeconfig_of, token_of
from tests.integration.test_control import observatory as command
from tests.integration.workflows import Runs, task
from tests.support.cluster import LABELS, ROOT, Cluster, JsonObject, Operator, eventually

pytestmark = pytest.mark.integration

BY, BY_UID, BY_GROUPS = (f"{LABELS}/requested-by{end}" for end in ("", "-uid", "-groups"))
NEVER = "0 0 29 2 *"
MINUTES = 150.0
"""Seconds within which a fire time of each minute has come, and more."""


@pytest.fixture(scope="module")
def policies(cluster: Cluster) -> Iterator[None]:
    """The policies of manifests/requester, in force."""
    files = sorted((ROOT / "manifests" / "requester").glob("requester_*.yaml"))
    flags = [part for file in files for part in ("-f", str(file))]
    cluster.kubectl("apply", "--server-side", *flags)
    probe = {
        "apiVersion": f"{LABELS}/v1alpha1",
        "kind": "Observatory",
        "metadata": {"name": "probe", "namespace": "default"},
        "spec": {"tasks": [task("a")]},
    }
    arguments = ("create", "--dry-run=server", "-o", "jsonpath={.metadata.annotations}", "-f", "-")
    eventually(
        lambda: cluster.kubectl(*arguments, stdin=json.dumps(probe), check=False),
        lambda said: BY in said,
    )
    yield
    cluster.kubectl("delete", *flags)


@dataclass(frozen=True)
class Person:
    """Somebody with a kubeconfig of their own."""

    name: str
    namespace: str
    cluster: Cluster

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{self.name}"

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments, stdin=stdin)

    def merge(self, name: str, patch: JsonObject) -> None:
        self.kubectl("patch", "obsy", name, "--type=merge", "-p", json.dumps(patch))


@dataclass(frozen=True)
class Scene:
    """A namespace, what is in it, and the two."""

    runs: Runs
    alice: Person
    bob: Person

    def annotations(self, name: str = "night") -> dict[str, str]:
        found = self.runs.cluster.get("obsy", name, "-n", self.runs.namespace)["metadata"]
        return dict(found.get("annotations") or {})

    def requester(self, name: str = "night") -> str:
        """The short name of the one that is recorded, once all that is recorded fits together."""
        annotations = self.annotations(name)
        accounts = f"system:serviceaccounts:{self.runs.namespace}"
        assert accounts in annotations[BY_GROUPS].split("\n")
        who = annotations[BY].rpartition(":")[2]
        account = self.runs.cluster.get("serviceaccount", who, "-n", self.runs.namespace)
        assert annotations[BY_UID] == account["metadata"]["uid"]
        return who

    def may_create_pods(self, person: Person, *, may: bool) -> None:
        binding = ("rolebinding", f"pods-{person.name}")
        if may:
            flags = ("--clusterrole=edit", f"--serviceaccount={person.namespace}:{person.name}")
            self.runs.kubectl("create", *binding, *flags)
        else:
            self.runs.kubectl("delete", *binding)

    def night(self, schedule: str = NEVER, **annotations: str) -> str:
        """A schedule, as a file has it."""
        return json.dumps(
            {
                "apiVersion": f"{LABELS}/v1alpha1",
                "kind": "Observatory",
                "metadata": {"name": "night", "annotations": annotations},
                "spec": {"schedule": schedule, "tasks": [task("a")]},
            }
        )


@pytest.fixture
def scene(cluster: Cluster, namespace: str, policies: None, tmp_path: Path) -> Scene:
    runs, people = Runs(cluster, namespace), []
    verbs = "--verb=create,delete,get,list,patch,update,watch"
    runs.kubectl("create", "role", "writer", verbs, f"--resource=observatories.{LABELS}")
    for name in ("alice", "bob"):
        runs.kubectl("create", "serviceaccount", name)
        flags = ("--role=writer", f"--serviceaccount={namespace}:{name}")
        runs.kubectl("create", "rolebinding", f"writer-{name}", *flags)
        token, kubeconfig = tmp_path / f"{name}.token", tmp_path / f"{name}.kubeconfig"
        token.write_text(token_of(cluster, namespace, name))
        kubeconfig.write_text(json.dumps(kubeconfig_of(cluster, namespace, token)))
        people.append(Person(name, namespace, Cluster(str(kubeconfig))))
    made = Scene(runs, *people)
    made.may_create_pods(made.alice, may=True)
    return made


# --- recorded ---------------------------------------------------------------------------------

FORGED = {BY: "system:admin", BY_UID: "0", BY_GROUPS: "system:masters"}


def test_whoever_creates_it_is_recorded_whatever_they_claim(scene: Scene) -> None:
    scene.alice.kubectl("create", "-f", "-", stdin=scene.night(**FORGED))
    assert scene.requester() == "alice"
    scene.alice.kubectl("delete", "obsy", "night")
    scene.bob.kubectl("apply", "--server-side", "-f", "-", stdin=scene.night(**FORGED))
    assert scene.requester() == "bob"


def test_nobody_can_write_or_take_away_who_is_recorded(scene: Scene) -> None:
    scene.alice.kubectl("create", "-f", "-", stdin=scene.night())
    recorded = scene.annotations()
    bob = scene.bob
    for patch in (
        {"annotations": FORGED},
        {"annotations": dict.fromkeys(FORGED)},
        {"annotations": {BY: bob.user}},
        {"annotations": {BY_GROUPS: ""}},
        {"annotations": None},
        {"labels": {"touched": "yes"}, "annotations": {BY_UID: "1"}},
    ):
        bob.merge("night", {"metadata": patch})
        assert {**scene.annotations(), **recorded} == scene.annotations(), patch
    for operation in (
        {"op": "remove", "path": "/metadata/annotations"},
        {"op": "replace", "path": "/metadata/annotations", "value": FORGED},
        {"op": "remove", "path": f"/metadata/annotations/{BY.replace('/', '~1')}"},
    ):
        bob.kubectl("patch", "obsy", "night", "--type=json", "-p", json.dumps([operation]))
        assert scene.annotations() == recorded, operation
    stored = scene.runs.cluster.get("obsy", "night", "-n", scene.runs.namespace)
    stored["metadata"]["annotations"] = {BY: "system:admin"}
    bob.kubectl("replace", "-f", "-", stdin=json.dumps(stored))
    assert scene.annotations() == recorded
    force = ("apply", "--server-side", "--force-conflicts", "--field-manager=bob", "-f", "-")
    for claimed in (FORGED, {}):  # and then let go of
        bob.kubectl(*force, stdin=scene.night(**claimed))
        assert scene.annotations() == recorded


def test_whoever_changes_what_is_run_is_the_requester_from_then_on(scene: Scene) -> None:
    scene.alice.kubectl("create", "-f", "-", stdin=scene.night())
    scene.bob.merge("night", {"spec": {"tasks": [task("b")]}, "metadata": {"annotations": FORGED}})
    assert scene.requester() == "bob"
    scene.alice.merge("night", {"spec": {"suspend": True}})
    assert scene.requester() == "alice"
    for request in ("retry", "run-now", "backfill", "backfill-range"):
        asker = scene.bob if scene.requester() == "alice" else scene.alice
        asker.merge("night", {"metadata": {"annotations": {f"{LABELS}/{request}": "n1"}}})
        assert scene.requester() == asker.name, request
    last = scene.requester()
    other = scene.bob if last == "alice" else scene.alice
    other.merge("night", {"metadata": {"annotations": {f"{LABELS}/stop": "n1"}}})
    assert scene.requester() == last


def test_a_write_of_status_records_nobody(scene: Scene, cluster: Cluster) -> None:
    scene.alice.kubectl("create", "-f", "-", stdin=scene.night())
    before = scene.annotations()
    patch = json.dumps({"status": {"message": "x"}, "metadata": {"annotations": FORGED}})
    flags = ("--subresource=status", "--type=merge", "-p", patch)
    cluster.kubectl("patch", "obsy", "night", "-n", scene.runs.namespace, *flags)
    assert scene.annotations() == before


def test_what_is_forged_after_it_was_recorded_is_refused(scene: Scene, cluster: Cluster) -> None:
    """Another plugin could have the last word: here, it takes the place of what records."""
    scene.alice.kubectl("create", "-f", "-", stdin=scene.night())
    forged = json.dumps({"metadata": {"annotations": FORGED}})
    file = str(ROOT / "manifests" / "requester" / "requester_record_binding.yaml")
    patch = ("patch", "obsy", "night", "--type=merge", "--dry-run=server", "-p", forged)
    cluster.kubectl("delete", "-f", file)

    def said() -> str:
        return scene.bob.cluster.kubectl("-n", scene.runs.namespace, *patch, check=False)

    try:
        refusal = eventually(said, lambda text: "denied request" in text)
        assert f"the annotations {LABELS}/requested-by* are the API server's" in refusal
    finally:
        cluster.kubectl("apply", "--server-side", "-f", file)
        eventually(said, lambda text: "denied request" not in text)


def test_a_run_that_somebody_else_makes_is_their_own(scene: Scene) -> None:
    scene.alice.kubectl("create", "-f", "-", stdin=scene.night())
    owner = scene.runs.cluster.get("obsy", "night", "-n", scene.runs.namespace)["metadata"]["uid"]
    made = json.loads(scene.night(**FORGED))
    reference = {"apiVersion": f"{LABELS}/v1alpha1", "kind": "Observatory", "name": "night"}
    made["metadata"] |= {
        "name": "spoof",
        "ownerReferences": [{**reference, "uid": owner, "controller": True}],
    }
    scene.bob.kubectl("create", "-f", "-", stdin=json.dumps(made))
    assert scene.requester("spoof") == "bob"


def test_each_binding_names_its_policy_whatever_prefix_both_are_given(
    cluster: Cluster, tmp_path: Path
) -> None:
    resources = os.path.relpath(ROOT / "manifests" / "requester", tmp_path.resolve())
    kustomization = {"namePrefix": "ours-", "resources": [resources]}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(kustomization))
    objects = list(yaml.safe_load_all(cluster.kubectl("kustomize", str(tmp_path))))
    names = {(each["kind"], each["metadata"]["name"]) for each in objects}
    bindings = [each for each in objects if each["kind"].endswith("Binding")]
    assert len(bindings) == len(objects) / 2
    for binding in bindings:
        policy = binding["spec"]["policyName"]
        assert policy.startswith("ours-")
        assert (binding["kind"].removesuffix("Binding"), policy) in names


# --- asked about ------------------------------------------------------------------------------


@pytest.fixture
def working(scene: Scene, account: Account, cluster: Cluster, tmp_path: Path) -> Iterator[Operator]:
    """An operator with the rights of manifests/rbac in this namespace, and no others."""
    flags = ("--namespace", scene.runs.namespace)
    log = tmp_path / "operator.log"
    with cluster.operator(*flags, log=log, kubeconfig=str(account.kubeconfig)) as operator:
        yield operator
    assert not operator.lines("Reconcile crashed")


def status(scene: Scene, field: str) -> list[JsonObject]:
    found: list[JsonObject] = scene.runs.status("night").get(field, [])
    return found


def test_a_deprovisioned_requester_gets_no_more_runs_until_the_right_is_given_back(
    scene: Scene, working: Operator
) -> None:
    scene.alice.kubectl("create", "-f", "-", stdin=scene.night("* * * * *"))
    (first, *_) = eventually(partial(status, scene, "runHistory"), bool, seconds=MINUTES)
    assert first["phase"] == "Succeeded"
    assert scene.requester(first["name"]) == "alice"

    scene.may_create_pods(scene.alice, may=False)
    (skip, *_) = eventually(partial(status, scene, "skippedRuns"), bool, seconds=MINUTES)
    assert skip["reason"] == "RequesterNotAllowed"
    assert skip["message"].startswith(f"{scene.alice.user} asked for this and may not create Pods")
    began = {each["number"] for each in status(scene, "runHistory")}
    assert scene.alice.user in scene.runs.row_of_get("night")
    conditions = {each["type"]: each for each in status(scene, "conditions")}
    assert conditions["Scheduled"]["reason"] == "RequesterNotAllowed"
    events = eventually(partial(scene.runs.events, "RunSkipped"), bool)
    assert "may not create Pods" in events[0]["note"]

    scene.may_create_pods(scene.alice, may=True)
    history = eventually(
        partial(status, scene, "runHistory"), lambda seen: len(seen) > len(began), seconds=MINUTES
    )
    assert history[-1]["time"] > skip.get("until", skip["time"])
    conditions = {each["type"]: each for each in status(scene, "conditions")}
    assert conditions["Scheduled"]["status"] == "True"
    assert not working.lines("Reconcile failed")


def test_a_request_by_command_is_of_whoever_makes_it(scene: Scene, working: Operator) -> None:
    scene.alice.kubectl("create", "-f", "-", stdin=scene.night())
    eventually(lambda: scene.runs.status("night").get("nextRunTimes"), bool)
    name = ("night", "-n", scene.runs.namespace)
    code, said = command(scene.bob.cluster, "run-now", *name)
    assert (code, f"{scene.bob.user} asked for this and may not create Pods" in said) == (1, True)
    assert scene.requester() == "bob"
    code, said = command(scene.alice.cluster, "run-now", *name)
    assert (code, "run 1 begins" in said) == (0, True)
    (run,) = eventually(partial(status, scene, "runHistory"), bool)
    assert scene.requester(run["name"]) == "alice"
    assert not working.lines("Reconcile failed")


def test_somebody_who_may_takes_a_schedule_over_by_suspending_and_resuming_it(
    scene: Scene, working: Operator
) -> None:
    scene.bob.kubectl("create", "-f", "-", stdin=scene.night("* * * * *"))
    eventually(partial(status, scene, "skippedRuns"), bool, seconds=MINUTES)
    for verb in ("suspend", "resume"):
        code, said = command(scene.alice.cluster, verb, "night", "-n", scene.runs.namespace)
        assert code == 0, said
    (run, *_) = eventually(partial(status, scene, "runHistory"), bool, seconds=MINUTES)
    assert scene.requester(run["name"]) == "alice"
    assert not working.lines("Reconcile failed")


def test_an_operator_that_may_not_ask_begins_nothing_and_says_so(
    scene: Scene, working: Operator, cluster: Cluster
) -> None:
    role = f"{scene.runs.namespace}-op-manager-role"
    rules = cluster.get("clusterrole", role)["rules"]
    fewer = [each for each in rules if each["resources"] != ["localsubjectaccessreviews"]]
    assert len(fewer) == len(rules) - 1

    def grant(rules: list[JsonObject]) -> None:
        patch = json.dumps({"rules": rules})
        cluster.kubectl("patch", "clusterrole", role, "--type=merge", "-p", patch)

    grant(fewer)
    scene.alice.kubectl("create", "-f", "-", stdin=scene.night())
    eventually(lambda: scene.runs.status("night").get("nextRunTimes"), bool)
    scene.alice.merge("night", {"metadata": {"annotations": {f"{LABELS}/run-now": "n1"}}})
    message = eventually(
        lambda: scene.runs.status("night").get("message", ""), lambda seen: "to say whether" in seen
    )
    assert "manifests/rbac" in message
    assert "requests" not in scene.runs.status("night")
    assert "localsubjectaccessreviews" in working.said("Reconcile failed")["error"]
    grant(rules)
    (run,) = eventually(partial(status, scene, "runHistory"), bool, seconds=MINUTES)
    assert run["phase"] == "Succeeded"
