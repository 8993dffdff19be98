"""The webhook before a real API server: what people see, and who is trusted when."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from observatory.kube.client import Client
from observatory.kube.config import load
from observatory.runtime.clock import SystemClock
from observatory.runtime.registration import RENEWED_AFTER
from observatory.runtime.webhook import Webhook, WebhookOptions
from observatory.telemetry.metrics import Metrics
from tests.integration.account import Account
from tests.integration.configuration import Webhooks
from tests.integration.workflows import Runs, condition, observatory, task
from tests.support.cluster import Cluster, JsonObject, eventually

pytestmark = pytest.mark.integration

PLAN = "Warning: plan: 2 tasks, 2 levels, widest 1"


def sent(cluster: Cluster, verb: str, obj: JsonObject, *flags: str) -> str:
    """What kubectl says, on both of its streams."""
    return cluster.kubectl(verb, *flags, "-f", "-", stdin=json.dumps(obj), check=False)


def good(namespace: str, name: str = "good") -> JsonObject:
    return observatory(namespace, name, task("a"), task("b", "a"), suspend=False)


def bad(namespace: str, name: str = "bad", **spec: object) -> JsonObject:
    return observatory(namespace, name, task("a", "x"), task("b", "y"), **spec)


def asked(cluster: Cluster, namespace: str) -> str:
    """What kubectl says of a good one that is not stored."""
    return sent(cluster, "create", good(namespace), "--dry-run=server")


def is_judged(said: str) -> bool:
    return PLAN in said and "created" in said


def test_kubectl_shows_all_errors_at_once_and_warnings(
    cluster: Cluster, namespace: str, account: Account, tmp_path: Path
) -> None:
    runs = Runs(cluster, namespace)
    for name in ("old", "older"):
        assert "created" in sent(cluster, "create", bad(namespace, name))  # before the webhook
    flags = ("--namespace", namespace)
    with (
        Webhooks(cluster, namespace).configured() as webhooks,
        cluster.operator(
            *flags, *webhooks.flags(), log=tmp_path / "log", kubeconfig=str(account.kubeconfig)
        ),
    ):
        eventually(lambda: asked(cluster, namespace), is_judged)
        said = sent(cluster, "create", bad(namespace))
        assert 'The Observatory "bad" is invalid: ' in said
        for index, name in enumerate("xy"):
            assert f'* spec.tasks[{index}].dependencies[0]: Not found: "{name}" (' in said
        said = sent(
            cluster, "create", observatory(namespace, "nightly", task("a"), schedule="* 3 * * *")
        )
        assert "Warning: plan: 1 task; first run " in said
        assert "Warning: spec.schedule: fires at every minute of its hours" in said
        assert "observatory.workflow.seventh-horizon.io/nightly created" in said

        assert "created" in sent(cluster, "create", good(namespace))
        worse = {"spec": {"tasks": [task("a", "b"), task("b", "a")]}}
        patch = ("patch", "observatory", "good", "--type=merge", "-p", json.dumps(worse))
        assert "dependency cycle" in runs.kubectl(*patch, check=False)

        # What was stored before is labelled, suspended, held and deleted as ever.
        runs.kubectl("label", "observatory", "old", "a=b")
        runs.merge("old", {"metadata": {"finalizers": ["example.org/held"]}})
        said = sent(
            cluster,
            "apply",
            bad(namespace, "old", suspend=True),
            "--server-side",
            "--force-conflicts",
        )
        assert "it was invalid before and still is: 2 errors" in said
        runs.kubectl("delete", "observatory", "old", "--wait=false")
        runs.merge("old", {"metadata": {"finalizers": None}})
        runs.kubectl("wait", "--for=delete", "observatory/old", "--timeout=30s")
        assert runs.end("good")["phase"] == "Succeeded"
        assert condition(runs.status("older"), "Valid") == "False"


def test_while_the_webhook_is_down_objects_are_stored_and_told_by_the_operator(
    cluster: Cluster, namespace: str, account: Account, tmp_path: Path
) -> None:
    runs = Runs(cluster, namespace)
    flags = ("--namespace", namespace)
    with (
        Webhooks(cluster, namespace).configured(),
        cluster.operator(*flags, log=tmp_path / "log", kubeconfig=str(account.kubeconfig)),
    ):
        assert "created" in sent(cluster, "create", bad(namespace))
        assert "created" in sent(cluster, "create", good(namespace))
        eventually(lambda: runs.status("bad"), lambda seen: condition(seen, "Valid") == "False")
        assert 'Not found: "x"' in runs.row_of_get("bad")
        assert runs.end("good")["phase"] == "Succeeded"


def test_without_the_right_to_register_the_operator_works_and_says_what_it_lacks(
    cluster: Cluster, namespace: str, account: Account, tmp_path: Path
) -> None:
    cluster.kubectl("delete", "clusterrolebinding", f"{namespace}-op-webhook-rolebinding")
    runs = Runs(cluster, namespace)
    flags = ("--namespace", namespace)
    with (
        Webhooks(cluster, namespace).configured() as webhooks,
        cluster.operator(
            *flags, *webhooks.flags(), log=tmp_path / "log", kubeconfig=str(account.kubeconfig)
        ) as operator,
    ):
        line = operator.said("Webhook not registered")
        assert "give the operator webhook-role of manifests/rbac" in line["error"]
        assert "created" in sent(cluster, "create", good(namespace))
        assert runs.end("good")["phase"] == "Succeeded"


def test_two_replicas_are_both_trusted_also_after_a_reset(
    cluster: Cluster, namespace: str, account: Account, tmp_path: Path
) -> None:
    webhooks = Webhooks(cluster, namespace, replicas=2)
    common = ("--namespace", namespace, "--leader-elect", "--lease-namespace", namespace)
    operate = partial(cluster.operator, kubeconfig=str(account.kubeconfig))
    with (
        webhooks.configured(failurePolicy="Fail"),  # so that a replica without trust is seen
        operate(*common, *webhooks.flags(0), log=tmp_path / "0"),
        operate(*common, *webhooks.flags(1), log=tmp_path / "1"),
    ):
        eventually(webhooks.certificates, lambda counts: counts == [2, 2])
        eventually(lambda: asked(cluster, namespace), is_judged)
        cluster.apply(webhooks.manifest(failurePolicy="Fail"))  # server-side: it keeps the bundle
        assert webhooks.certificates() == [2, 2]
        webhooks.reset(failurePolicy="Fail")
        assert webhooks.certificates() == [0, 0]
        eventually(webhooks.certificates, lambda counts: counts == [2, 2], seconds=35)
        eventually(lambda: asked(cluster, namespace), is_judged)


class Earlier(SystemClock):
    """A clock that is behind, and whose sleepers wake when they are told to."""

    def __init__(self, behind: timedelta) -> None:
        self.behind = behind
        self.asleep = asyncio.Event()
        self._wake = asyncio.Event()

    def now(self) -> datetime:
        return super().now() - self.behind

    async def sleep(self, seconds: float) -> None:
        self.asleep.set()
        await self._wake.wait()

    async def wake(self) -> None:
        """Have whoever sleeps go on, until it sleeps again."""
        self.asleep.clear()
        self._wake.set()
        await asyncio.sleep(0)
        self._wake.clear()
        await self.asleep.wait()


def test_a_certificate_is_renewed_without_a_moment_without_trust(
    cluster: Cluster, namespace: str
) -> None:
    webhooks = Webhooks(cluster, namespace)

    async def judged() -> str:
        return await asyncio.to_thread(
            lambda: eventually(lambda: asked(cluster, namespace), is_judged, seconds=10)
        )

    async def main() -> None:
        clock = Earlier(RENEWED_AFTER)
        options = WebhookOptions(port=webhooks.ports[0], configuration=webhooks.name)
        async with Client(load(cluster.kubeconfig, None, SystemClock())) as api:
            webhook = Webhook(options, api, clock, Metrics(), identity="a")
            running = asyncio.create_task(webhook.run())
            await webhook.settled.wait()
            await clock.asleep.wait()
            await judged()
            assert webhooks.certificates() == [1]
            clock.behind = timedelta()  # two thirds of its week are over
            await clock.wake()
            assert webhooks.certificates() == [2]  # the next is registered and not served yet
            assert is_judged(await asyncio.to_thread(asked, cluster, namespace))
            await clock.wake()
            assert is_judged(await judged())
            running.cancel()
            await asyncio.wait({running})

    with webhooks.configured(failurePolicy="Fail"):
        asyncio.run(asyncio.wait_for(main(), 120))
