"""A real cluster for tests, and operators as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[2]
LABELS = "workflow.seventh-horizon.io"
NOTHING_MORE: Mapping[str, str] = MappingProxyType({})

JsonObject = dict[str, Any]
T = TypeVar("T")


class Cluster:
    """A cluster by its kubeconfig, spoken to with kubectl."""

    def __init__(self, kubeconfig: str, audit_log: Path | None = None) -> None:
        self.kubeconfig = kubeconfig
        self.audit_log = audit_log
        self.environment = {**os.environ, "KUBECONFIG": kubeconfig}

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        done = subprocess.run(
            [ROOT / "hack" / "kubectl", *arguments],
            check=False,
            input=stdin,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout if check else done.stdout + done.stderr

    def apply(self, obj: JsonObject) -> None:
        self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(obj))

    def get(self, *arguments: str) -> JsonObject:
        found: JsonObject = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def status(self, namespace: str, name: str) -> JsonObject:
        status: JsonObject = self.get("observatory", name, "-n", namespace).get("status", {})
        return status

    def wait_complete(self, namespace: str, name: str, seconds: float = 120) -> JsonObject:
        """The status of an Observatory once it has ended."""
        return eventually(
            lambda: self.status(namespace, name),
            lambda status: "completionTime" in status,
            seconds=seconds,
        )

    @contextmanager
    def namespace(self, name: str) -> Iterator[str]:
        """A namespace of the test's own; it is deleted afterwards, without waiting for its end."""
        self.kubectl("delete", "namespace", name, "--ignore-not-found")
        self.kubectl("create", "namespace", name)
        try:
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")

    @contextmanager
    def denied(
        self, namespace: str, resource: str, operation: str, *, reason: str = "Invalid"
    ) -> Iterator[None]:
        """While this lasts, a ValidatingAdmissionPolicy denies these writes in the namespace."""
        api = "admissionregistration.k8s.io/v1"
        name = f"deny-{namespace}"
        version = {"apiGroups": ["*"], "apiVersions": ["*"]}
        policy: JsonObject = {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {
                    "namespaceSelector": {
                        "matchLabels": {"kubernetes.io/metadata.name": namespace}
                    },
                    # A ConfigMap tells when a policy begins and ends to be in force.
                    "resourceRules": [
                        {**version, "operations": [operation], "resources": [resource]},
                        {**version, "operations": ["CREATE"], "resources": ["configmaps"]},
                    ],
                },
                "validations": [
                    {"expression": "false", "message": "not on a Friday", "reason": reason}
                ],
            },
        }
        binding = {**policy, "kind": "ValidatingAdmissionPolicyBinding"}
        binding["spec"] = {"policyName": name, "validationActions": ["Deny"]}
        probe = ("create", "configmap", "probe", "-n", namespace, "--dry-run=server")

        def in_force() -> bool:
            return "not on a Friday" in self.kubectl(*probe, check=False)

        self.apply(policy)
        self.apply(binding)
        try:
            eventually(in_force, bool)
            yield
        finally:
            for obj in (binding, policy):
                self.kubectl("delete", obj["kind"].lower(), name)
            eventually(in_force, lambda denies: not denies)

    def audited(self, user: str, since: datetime) -> list[JsonObject]:
        """The requests of a user that came since then, in the order in which they were answered."""
        assert self.audit_log is not None, "the cluster keeps no audit log"
        moment = stamp(since)
        found = []
        logs = sorted(self.audit_log.parent.glob("audit*.log"), key=lambda log: log.stat().st_mtime)
        for log in logs:
            with log.open() as lines:
                # An API server that is killed leaves half a line.
                mine = [
                    line for line in lines if f'"username":"{user}"' in line and line[-2] == "}"
                ]
            found += [json.loads(line) for line in mine]
        return [request for request in found if request["requestReceivedTimestamp"] >= moment]

    @contextmanager
    def operator(
        self,
        *flags: str,
        log: Path,
        kubeconfig: str | None = None,
        environment: Mapping[str, str] = NOTHING_MORE,
    ) -> Iterator[Operator]:
        """A running operator, ended with SIGTERM unless the test has ended it."""
        operator = Operator(self, flags, log, kubeconfig, environment)
        try:
            yield operator
        finally:
            operator.stop()


class Operator:
    """One operator process against a cluster."""

    def __init__(
        self,
        cluster: Cluster,
        flags: tuple[str, ...],
        log: Path,
        kubeconfig: str | None = None,
        environment: Mapping[str, str] = NOTHING_MORE,
    ) -> None:
        self._environment = {**os.environ, **environment}
        self._kubeconfig = kubeconfig or cluster.kubeconfig
        self._flags = flags
        self.log = log
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "observatory", "run", "--kubeconfig"]
        argv += [self._kubeconfig, "--metrics-bind-address=0"]
        argv += ["--health-probe-bind-address=0", "--log-format=json", *self._flags]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._environment
            )

    def kill(self) -> None:
        """SIGKILL, as the OOM killer does it."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start again after a kill."""
        assert self.process.poll() is not None, "the operator still runs"
        self.process = self._start()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.go_on()
            self.process.terminate()
        try:
            return self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"SIGTERM did not end it:\n{self.log.read_text()}") from None

    def lines(self, msg: str = "") -> list[JsonObject]:
        """What it logged so far, or what of it has this message."""
        text = self.log.read_text()
        whole = [line for line in text.splitlines() if line.startswith("{") and line[-1] == "}"]
        return [line for line in map(json.loads, whole) if msg in {"", line["msg"]}]

    def said(self, msg: str, *, seconds: float = 60) -> JsonObject:
        """The first line with that message, once it is there."""
        return eventually(lambda: self.lines(msg), bool, seconds=seconds)[0]


def eventually(
    look: Callable[[], T], accept: Callable[[T], object], *, seconds: float = 60, pause: float = 0.2
) -> T:
    """What `look` shows once it is acceptable; fails with the last sight after `seconds`.

    It polls a system that nothing in this process can wait on.
    """
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if accept(seen):
            return seen
        assert time.monotonic() < deadline, f"not so after {seconds} s; last seen: {seen}"
        time.sleep(pause)


def now() -> datetime:
    """The time as the API server on this machine has it."""
    return datetime.fromtimestamp(time.time(), UTC)


def stamp(moment: datetime) -> str:
    """A time as audit logs write it; these texts are in the order of their times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def hack_cluster(*arguments: str, check: bool = True) -> str:
    """Run `hack/cluster`; what it prints to stdout. What it tells people goes to stderr."""
    done = subprocess.run(
        [ROOT / "hack" / "cluster", *arguments], check=False, stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == 0 or not check, f"hack/cluster {' '.join(arguments)} failed"
    return done.stdout.strip()


@contextmanager
def made_cluster(name: str, *flags: str) -> Iterator[Cluster]:
    """The cluster of OBSERVATORY_TEST_KUBECONFIG, else one that is made, and removed afterwards.

    OBSERVATORY_TEST_KEEP=1 leaves it running, for quick repetitions.
    """
    given = os.environ.get("OBSERVATORY_TEST_KUBECONFIG")
    if given:
        cluster = Cluster(given, audit_log_beside(given))
        install(cluster)
        yield cluster
        return
    hack_cluster("up", "--name", name, *flags)
    try:
        kubeconfig = hack_cluster("kubeconfig", "--name", name)
        cluster = Cluster(kubeconfig, audit_log_beside(kubeconfig))
        install(cluster)
        yield cluster
    finally:
        if not os.environ.get("OBSERVATORY_TEST_KEEP"):
            hack_cluster("down", "--name", name)


def audit_log_beside(kubeconfig: str) -> Path | None:
    """The audit log of the cluster, where `hack/cluster` made it so that it keeps one."""
    log = Path(kubeconfig).parent / "logs" / "audit.log"
    return log if log.exists() else None


def install(cluster: Cluster) -> None:
    """Install the CRD."""
    cluster.kubectl("apply", "--server-side", "-f", str(ROOT / "manifests" / "crd"))
    crd = f"crd/observatories.{LABELS}"
    # kubectl takes it for an error that there are no conditions yet: first wait for these.
    for what in ("jsonpath={.status.acceptedNames.plural}=observatories", "condition=Established"):
        cluster.kubectl("wait", f"--for={what}", "--timeout=60s", crd)
