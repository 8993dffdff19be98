from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.faults.fakes import listening
from tests.faults.recorder import Recorder
from tests.faults.recording import entries, read

JsonObject = dict[str, Any]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def pod(name: str, **labels: str) -> JsonObject:
    metadata = {"namespace": "ns", "name": name, "uid": f"uid-{name}", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


def put(version: int, obj: JsonObject) -> JsonObject:
    key = f"/registry/pods/{obj['metadata']['namespace']}/{obj['metadata']['name']}"
    return {"kv": {"key": encoded(key), "mod_revision": str(version),
                   "value": encoded(json.dumps(obj))}}  # fmt: skip


def removal(version: int, name: str) -> JsonObject:
    key = encoded(f"/registry/pods/ns/{name}")
    return {"type": "DELETE", "kv": {"key": key, "mod_revision": str(version)}}


class FakeEtcd:
    """Answers each watch with the next batch of events, and then ends it, as in a restart."""

    def __init__(self, *batches: list[JsonObject]) -> None:
        self._batches = list(batches)
        self.asked: list[JsonObject] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(json.loads(await request.read())["create_request"])
        response = web.StreamResponse()
        await response.prepare(request)
        await self._say(response, {"header": {"revision": "4"}, "created": True})
        if not self._batches:
            await asyncio.Event().wait()
        events = self._batches.pop(0)
        version = max(int(event["kv"]["mod_revision"]) for event in events)
        await self._say(response, {"header": {"revision": str(version)}, "events": events})
        return response

    async def _say(self, response: web.StreamResponse, result: JsonObject) -> None:
        await response.write(json.dumps({"result": result}).encode() + b"\n")


def record(folder: Path, etcd: FakeEtcd, version: int) -> Recorder:
    async def main() -> Recorder:
        async with listening(etcd.handle) as url:
            recorder = Recorder(url, folder)
            await recorder.start()
            assert await recorder.reach(version, 10)
            recorder.save("ns")
            await recorder.close()
            return recorder

    return asyncio.run(main())


def test_every_write_is_recorded_in_order_with_what_was_there_before(tmp_path: Path) -> None:
    etcd = FakeEtcd([put(5, pod("a")), put(6, pod("a", x="1"))], [removal(8, "a")])
    record(tmp_path, etcd, 8)

    made = list(entries(read(tmp_path / "ns.jsonl")))

    assert [entry.version for entry in made] == [5, 6, 8]
    assert [entry.key.name for entry in made] == ["a", "a", "a"]
    assert made[0].old is None
    assert made[1].old == made[0].new
    assert made[1].new is not None
    assert made[1].new["metadata"]["labels"] == {"x": "1"}
    assert made[1].new["metadata"]["resourceVersion"] == "6"
    assert made[2].new is None
    assert made[2].removed is not None
    assert made[2].removed["metadata"]["resourceVersion"] == "8"


def test_after_a_restart_of_etcd_it_goes_on_behind_what_it_has(tmp_path: Path) -> None:
    etcd = FakeEtcd([put(5, pod("a"))], [put(9, pod("b"))])
    record(tmp_path, etcd, 9)
    assert [asked.get("start_revision") for asked in etcd.asked[:2]] == [None, "6"]


def test_what_etcd_has_forgotten_is_a_gap(tmp_path: Path) -> None:
    recorder = Recorder("http://127.0.0.1:1", tmp_path)
    recorder._take({"result": {"header": {"revision": "4"}, "created": True}})
    recorder._take({"result": {"canceled": True, "compact_revision": "70"}})
    assert recorder.gap


def test_an_earlier_list_is_what_was_there_so_many_writes_ago(tmp_path: Path) -> None:
    recorder = Recorder("http://127.0.0.1:1", tmp_path)
    events = [put(5, pod("a")), put(6, pod("b")), removal(7, "a"), put(9, pod("c"))]
    recorder._take({"result": {"header": {"revision": "9"}, "events": events}})

    def earlier(back: int) -> tuple[int, list[str]]:
        version, objects = recorder.earlier("ns", "pods", back)
        return version, [obj["metadata"]["name"] for obj in objects]

    assert earlier(0) == (9, ["b", "c"])
    assert earlier(2) == (6, ["a", "b"])
    assert earlier(50) == (5, [])


def test_of_a_forgotten_namespace_nothing_is_kept_whatever_is_still_to_come(
    tmp_path: Path,
) -> None:
    recorder = Recorder("http://127.0.0.1:1", tmp_path)
    recorder._take({"result": {"events": [put(5, pod("a"))]}})
    recorder.forget("ns")
    recorder._take({"result": {"events": [removal(6, "a"), put(7, pod("b"))]}})
    assert recorder.version == 7
    assert not recorder.records
    assert not recorder.state


def test_a_half_written_last_line_of_a_recording_is_left_out(tmp_path: Path) -> None:
    etcd = FakeEtcd([put(5, pod("a")), put(6, pod("b"))])
    record(tmp_path, etcd, 6)
    path = tmp_path / "ns.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    assert [each.version for each in read(path)] == [5]
