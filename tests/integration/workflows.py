"""Workflows on kwok's fake nodes: how each task is to go is written into its arguments.

Observatories have no annotations for Pods, and kwok takes its orders from annotations. A
MutatingAdmissionPolicy of the test cluster turns the arguments of a task's container into them.
The product knows nothing of it.
"""

from __future__ import annotations

import json
import re

from tests.support.cluster import LABELS, Cluster, JsonObject, eventually

FINALIZER = f"{LABELS}/tracking"
GATE = f"{LABELS}/start"
OTHER_GATE = "example.com/other"
"""A scheduling gate that isn't the operator's: the Pod stays Pending until it is taken away."""

_WISH = "kwok.observatory/"
_HAS_WISHES = f"object.spec.containers[0].?args.orValue([]).exists(a, a.startsWith('{_WISH}'))"
_ANNOTATE = f"""
[JSONPatch{{
  op: "add", path: "/metadata/annotations",
  value: object.spec.containers[0].args.filter(a, a.startsWith('{_WISH}'))
    .transformMapEntry(i, a, {{a.split('=', 2)[0]: a.split('=', 2)[1]}})}}]
"""
_ADD_GATE = f"""
has(object.metadata.annotations) && '{_WISH}gate' in object.metadata.annotations
? [JSONPatch{{
    op: "add", path: "/spec/schedulingGates/0",
    value: Object.spec.schedulingGates{{name: "{OTHER_GATE}"}}}}]
: []
"""


def install_wishes(cluster: Cluster) -> None:
    """Let the arguments of tasks be wishes, and wait until they are."""
    api = "admissionregistration.k8s.io/v1"
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    spec: JsonObject = {
        "reinvocationPolicy": "Never",
        "matchConstraints": {"resourceRules": [{**pods, "operations": ["CREATE"]}]},
        "matchConditions": [{"name": "wishes", "expression": _HAS_WISHES}],
        "mutations": [
            {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}
            for expression in (_ANNOTATE, _ADD_GATE)
        ],
    }
    policy = {"apiVersion": api, "kind": "MutatingAdmissionPolicy", "metadata": {"name": "wishes"}}
    binding = {**policy, "kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": "wishes"}}
    cluster.apply({**policy, "spec": spec})
    cluster.apply(binding)
    container = {"name": "task", "image": "x", "args": [f"{_WISH}hold=true"]}
    probe = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "namespace": "kube-public"},
        "spec": {"automountServiceAccountToken": False, "containers": [container]},
    }
    arguments = ("create", "--dry-run=server", "-o", "jsonpath={.metadata.annotations}", "-f", "-")
    eventually(
        lambda: cluster.kubectl(*arguments, stdin=json.dumps(probe), check=False),
        lambda said: "kwok" in said,
    )


def task(name: str, *dependencies: str, **wishes: object) -> JsonObject:
    """A task; the wishes are those of hack/localcluster/stages.yaml, and `gate`.

    `hold=True` keeps it running until `let_go`, `gate=True` keeps its Pod Pending until `ungate`.
    """
    made: JsonObject = {"name": name, "image": "busybox:1.36"}
    if dependencies:
        made["dependencies"] = list(dependencies)
    args = []
    for wish, value in wishes.items():
        text = str(value).lower() if isinstance(value, bool) else value
        args.append(f"{_WISH}{wish.replace('_', '-')}={text}")
    return {**made, "args": args} if args else made


def observatory(namespace: str, name: str, *tasks: JsonObject, **spec: object) -> JsonObject:
    """An Observatory of these tasks. Its Pods stay, unless the spec says otherwise."""
    return {
        "apiVersion": f"{LABELS}/v1alpha1",
        "kind": "Observatory",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"tasks": list(tasks), "podRetention": "All", **spec},
    }


class Runs:
    """What tests do to the Observatories and Pods of one namespace, and see of them."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        """kubectl in the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, check=check)

    def apply(self, name: str, *tasks: JsonObject, **spec: object) -> JsonObject:
        """Apply an Observatory; the object as it was sent."""
        made = observatory(self.namespace, name, *tasks, **spec)
        self.cluster.apply(made)
        return made

    def merge(self, name: str, patch: JsonObject, *flags: str) -> str:
        """Merge a patch into an Observatory."""
        arguments = ("patch", "observatory", name, "--type=merge", "-p", json.dumps(patch))
        return self.kubectl(*arguments, *flags)

    def status(self, name: str) -> JsonObject:
        """The status of an Observatory."""
        return self.cluster.status(self.namespace, name)

    def rows(self, name: str) -> dict[str, JsonObject]:
        """The rows of its tasks."""
        return {row["name"]: row for row in self.status(name).get("tasks", ())}

    def phases(self, name: str) -> dict[str, str]:
        """The phases of its tasks."""
        return {task: row["phase"] for task, row in self.rows(name).items()}

    def until(self, name: str, *, seconds: float = 60, **phases: str) -> dict[str, JsonObject]:
        """The rows, once these tasks have these phases."""

        def reached(rows: dict[str, JsonObject]) -> bool:
            return all(rows.get(task, {}).get("phase") == phases[task] for task in phases)

        return eventually(lambda: self.rows(name), reached, seconds=seconds)

    def end(self, name: str, *, run: int = 1, seconds: float = 60) -> JsonObject:
        """The status, once that run has ended."""
        return eventually(
            lambda: self.status(name),
            lambda status: status.get("run") == run and "completionTime" in status,
            seconds=seconds,
        )

    def pods(self, name: str = "") -> dict[str, JsonObject]:
        """The Pods, of one Observatory or of all, by name."""
        selector = f"{LABELS}/observatory" + (f"={name}" if name else "")
        found = self.cluster.get("pods", "-n", self.namespace, "-l", selector)["items"]
        return {pod["metadata"]["name"]: pod for pod in found}

    def pod(self, name: str, task: str) -> JsonObject:
        """The one Pod of a task, once it is there."""
        selector = f"{LABELS}/observatory={name},{LABELS}/task={task}"
        arguments = ("pods", "-n", self.namespace, "-l", selector)
        found = eventually(lambda: self.cluster.get(*arguments)["items"], bool)
        assert len(found) == 1, [pod["metadata"]["name"] for pod in found]
        first: JsonObject = found[0]
        return first

    def running(self, name: str, task: str) -> JsonObject:
        """The Pod of a task, once its container runs."""
        return eventually(
            lambda: self.pod(name, task), lambda pod: pod["status"].get("phase") == "Running"
        )

    def let_go(self, *tasks: str) -> None:
        """Let tasks end that were told to hold."""
        for each in tasks:
            annotation = f"{_WISH}hold-"
            self.kubectl("annotate", "pods", "-l", f"{LABELS}/task={each}", annotation)

    def ungate(self, pod: str) -> None:
        """Take the other gate away, wherever it is; ours must be gone."""
        spec = self.cluster.get("pod", pod, "-n", self.namespace)["spec"]
        assert spec["schedulingGates"] == [{"name": OTHER_GATE}]
        patch = '[{"op": "remove", "path": "/spec/schedulingGates/0"}]'
        self.kubectl("patch", "pod", pod, "--type=json", "-p", patch)

    def events(self, reason: str) -> list[JsonObject]:
        """The Events with that reason."""
        found = self.cluster.get("events.v1.events.k8s.io", "-n", self.namespace)["items"]
        return [event for event in found if event["reason"] == reason]

    def row_of_get(self, name: str) -> str:
        """What `kubectl get` shows of it, without the header."""
        return self.kubectl("get", "observatory", name, "--no-headers").strip()

    def tracked(self) -> list[str]:
        """The Pods that the operator's finalizer still holds."""
        return [
            name
            for name, pod in self.pods().items()
            if FINALIZER in pod["metadata"].get("finalizers", ())
        ]


def condition(status: JsonObject, type_: str) -> str:
    """The status of a condition; empty if there is none."""
    for each in status.get("conditions", ()):
        if each["type"] == type_:
            return str(each["status"])
    return ""


def last_line(text: str) -> str:
    """The last line of a text, with the spaces of columns made one."""
    return re.sub(r"\s+", " ", text.strip().splitlines()[-1])
