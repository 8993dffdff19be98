"""The webhook as a whole: real sockets, real TLS, an API server in memory."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from base64 import b64decode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from observatory.api.names import VALIDATING_WEBHOOKS, Key
from observatory.api.types import JsonObject
from observatory.kube.errors import Forbidden
from observatory.runtime.clock import SystemClock
from observatory.runtime.webhook import (
    CONFIGURATION,
    MOST_CONTAINERS,
    PATH,
    Webhook,
    WebhookOptions,
    answered,
)
from observatory.simulation.apiserver import ApiServer, Request
from observatory.telemetry.metrics import Metrics
from tests.core.test_advice import observatory, task
from tests.core.test_review import BAD, GOOD, asked
from tests.fuzz.mutations import JSON, values
from tests.kube.certificates import Authority
from tests.runtime.posting import Client, post, trusting

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


class Site:
    """A webhook, and the API server that it registers with."""

    def __init__(self, folder: Path | None = None) -> None:
        self.port = free_port()
        self.metrics = Metrics()
        self.server = ApiServer(SystemClock().now)
        client = {"url": f"https://127.0.0.1:{self.port}{PATH}"}
        body = {"metadata": {"name": CONFIGURATION}, "webhooks": [{"clientConfig": client}]}
        self.server.create_now(VALIDATING_WEBHOOKS, "", body)
        options = WebhookOptions(port=self.port, certificate_folder=folder)
        self.webhook = Webhook(options, self.server, SystemClock(), self.metrics, identity="a")

    def bundle(self) -> bytes:
        found = self.server.get_now(VALIDATING_WEBHOOKS, Key("", CONFIGURATION))
        return b64decode(found["webhooks"][0]["clientConfig"].get("caBundle", ""))

    async def asked(self, body: bytes, ca: bytes | None = None) -> tuple[int, JsonObject]:
        tls = trusting(ca or self.bundle())
        streams = await asyncio.open_connection("127.0.0.1", self.port, ssl=tls)
        client = Client(*streams)
        await client.send(post(body, path=f"{PATH}?timeout=5s"))
        status, _, text = await client.answer()
        client.close()
        return status, orjson.loads(text) if status == 200 else {"said": text.decode()}

    def samples(self) -> dict[tuple[str, str], float]:
        page, _ = self.metrics.exposition("text/plain")
        return {
            (
                sample.name.removeprefix("controller_runtime_webhook_"),
                sample.labels.get("code", ""),
            ): (sample.value)
            for family in text_string_to_metric_families(page.decode())
            for sample in family.samples
            if "_webhook_" in sample.name and "bucket" not in sample.name
        }

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[None, None]:
        """Serve, and wait until it is ready."""
        running = asyncio.create_task(self.webhook.run())
        await self.webhook.settled.wait()
        assert self.webhook.check() is None
        try:
            yield
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


def test_it_answers_whoever_trusts_the_registered_certificate() -> None:
    async def main() -> None:
        site = Site()
        assert site.webhook.check() == "the webhook is not registered yet"
        async with site.serving():
            status, answer = await site.asked(orjson.dumps(asked("CREATE", GOOD)))
            assert (status, answer["response"]["allowed"]) == (200, True)
            status, answer = await site.asked(orjson.dumps(asked("CREATE", BAD)))
            assert (status, answer["response"]["allowed"]) == (200, False)
            assert len(answer["response"]["status"]["details"]["causes"]) == 2
            assert (await site.asked(b"{"))[0] == 400
        samples = site.samples()
        assert samples["requests_total", "200"] == 2
        assert samples["requests_total", "400"] == 1
        assert samples["requests_total", "500"] == 0
        assert samples["latency_seconds_count", ""] == 3
        assert samples["requests_in_flight", ""] == 0
        assert samples["observatory_webhook_registered", ""] == 1

    asyncio.run(asyncio.wait_for(main(), 20))


def test_without_the_right_to_register_it_is_ready_and_says_so() -> None:
    def refuse(request: Request) -> None:
        raise Forbidden(403, "Forbidden", "no")

    async def main() -> None:
        site = Site()
        site.server.before = refuse
        async with site.serving():
            assert site.bundle() == b""
            assert site.samples()["observatory_webhook_registered", ""] == 0

    with capture_logs() as logs:
        asyncio.run(asyncio.wait_for(main(), 20))
    assert [line["event"] for line in logs] == [
        "Started serving webhook",
        "Webhook not registered",
    ]


def test_with_a_folder_its_certificate_is_served_and_nothing_registered(tmp_path: Path) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    authority = Authority(tmp_path)
    pair = authority.issue("localhost")
    shutil.copy(pair.certificate, folder / "tls.crt")
    shutil.copy(pair.key, folder / "tls.key")

    async def main() -> None:
        site = Site(folder)
        async with site.serving():
            ca = authority.ca.read_bytes()
            assert (await site.asked(orjson.dumps(asked("CREATE", GOOD)), ca))[0] == 200
        assert site.server.requests == []

    asyncio.run(asyncio.wait_for(main(), 20))


@pytest.mark.parametrize("trouble", ["a port in use", "no certificate"])
def test_what_cannot_be_served_is_told_and_keeps_nothing_from_being_ready(
    tmp_path: Path, trouble: str
) -> None:
    async def main() -> None:
        site = Site(tmp_path if trouble == "no certificate" else None)
        taken = ("", site.port) if trouble == "a port in use" else ("", 0)
        with socket.create_server(taken):
            async with site.serving():
                pass

    with capture_logs() as logs:
        asyncio.run(asyncio.wait_for(main(), 20))
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("Webhook not served", "error")
    assert ("tls.crt" if trouble == "no certificate" else "another program") in line["error"]


def test_a_certificate_without_a_port_is_refused() -> None:
    with pytest.raises(ValueError, match="--webhook-cert-path needs --webhook-port"):
        WebhookOptions(certificate_folder=Path("x"))


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def review_of(spec: bytes) -> bytes:
    whole = orjson.dumps(asked("CREATE", {**GOOD, "spec": "@"}))
    return whole.replace(b'"@"', spec)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b"", "the body is not JSON", id="nothing"),
        pytest.param(b"{", "the body is not JSON", id="half"),
        pytest.param(b"\xff{}", "the body is not JSON", id="no UTF-8"),
        pytest.param(b'{"a": NaN}', "the body is not JSON", id="NaN"),
        pytest.param(b"[]", "must be an AdmissionReview", id="a list"),
        pytest.param(nested(100_000), "the body is not JSON", id="nested deep"),
        pytest.param(review_of(nested(5000)), "the body is not JSON", id="a spec nested deep"),
        pytest.param(b"[" + b"[],{}," * MOST_CONTAINERS, "too many arrays", id="a million arrays"),
    ],
)
def test_what_is_no_review_is_400_in_one_line(body: bytes, said: str) -> None:
    answer = answered(body, NOW)
    assert answer.status == 400
    assert said in answer.body.decode()
    assert answer.body.count(b"\n") == 1


@pytest.mark.parametrize("depth", [10, 900, 1000, 1020])
def test_a_spec_that_is_nested_as_deep_as_can_be_read_is_judged(depth: int) -> None:
    for spec in (nested(depth), b'{"tasks": %s}' % nested(depth)):
        answer = answered(review_of(spec), NOW)
        assert answer.status in {200, 400}
        assert b'"allowed":true' not in answer.body


@given(values)
def test_any_json_is_answered(value: JSON) -> None:
    with contextlib.suppress(TypeError):  # orjson writes no numbers of a hundred digits
        assert answered(orjson.dumps(value), NOW).status == 400


@given(st.binary(max_size=64))
def test_any_bytes_are_answered(data: bytes) -> None:
    assert answered(data, NOW).status == 400


def test_the_loop_goes_on_while_thousands_of_tasks_are_judged() -> None:
    tasks = [
        task(f"t{number}", *(f"t{other}" for other in range(max(number - 20, 0), number)))
        for number in range(4000)
    ]
    body = orjson.dumps(asked("CREATE", observatory(*tasks)))
    pauses: list[float] = []

    async def turn() -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(0.001)
            pauses.append(loop.time() - before)
            before = loop.time()

    async def main() -> None:
        site = Site()
        async with site.serving():
            turning = asyncio.create_task(turn())
            status, answer = await site.asked(body)
            turning.cancel()
            assert status == 200
            assert answer["response"]["warnings"][0] == "plan: 4000 tasks, 4000 levels, widest 1"

    asyncio.run(asyncio.wait_for(main(), 60))
    assert len(pauses) > 10  # it took its time, and the loop its turns
    assert max(pauses) < 1
