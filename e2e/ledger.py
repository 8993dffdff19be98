"""A ledger on the node: each container appends lines, so starts are counted where they happen.

A MutatingAdmissionPolicy mounts a folder of the node into every task's Pod of one namespace. The
product knows nothing of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.mutation import pods_changed
from tests.support.cluster import Cluster, JsonObject

MOUNT = "/ledger"

# The volume of service account tokens is not mounted, so there is none before ours.
_MUTATION = """
Object{spec: Object.spec{
  volumes: [Object.spec.volumes{
    name: "ledger",
    hostPath: Object.spec.volumes.hostPath{path: "%s", type: "DirectoryOrCreate"}}],
  containers: object.spec.containers.map(c, Object.spec.containers{
    name: c.name,
    volumeMounts: [Object.spec.containers.volumeMounts{name: "ledger", mountPath: "%s"}]})}}
"""


@contextmanager
def kept(cluster: Cluster, namespace: str, folder: Path) -> Iterator[None]:
    """While this lasts, `folder` of the node is in the Pods of every Observatory there."""
    with pods_changed(cluster, namespace, "ledger", _MUTATION % (folder, MOUNT)):
        yield


# Process 1 hears of SIGTERM only if it asks to, and a shell only while it waits.
_SCRIPT = """
say() {{ read up _ < /proc/uptime; echo "{name} $POD $1 $up" >> {mount}/ledger; }}
say start
trap 'echo {name} stopped; exit 143' TERM
sleep {seconds} & wait $!
say end
echo {name} done
"""


def task(name: str, *dependencies: str, seconds: float = 0.5) -> JsonObject:
    """A task that writes when it starts, works for some time, and writes when it ends."""
    made: JsonObject = {
        "name": name,
        "image": "busybox:1.36",
        "command": ["sh", "-c"],
        "args": [_SCRIPT.format(name=name, mount=MOUNT, seconds=seconds)],
        "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}],
    }
    if dependencies:
        made["dependencies"] = list(dependencies)
    return made


@dataclass(frozen=True, slots=True)
class Line:
    """What one container wrote: `what` is `start` or `end`, `at` the seconds since the boot."""

    task: str
    pod_uid: str
    what: str
    at: float


def lines(folder: Path) -> list[Line]:
    """The ledger, in the order in which it was written."""
    ledger = folder / "ledger"
    words = map(str.split, ledger.read_text().splitlines() if ledger.exists() else ())
    return [Line(task, pod_uid, what, float(at)) for task, pod_uid, what, at in words]


def starts(folder: Path) -> Counter[str]:
    """How often each task's container has started."""
    return Counter(line.task for line in lines(folder) if line.what == "start")


def ends(folder: Path) -> Counter[str]:
    """How often each task's container has come to its end by itself."""
    return Counter(line.task for line in lines(folder) if line.what == "end")


def wrote(folder: Path, what: str, *tasks: str) -> bool:
    """Whether each of the tasks has written that line."""
    return {(task, what) for task in tasks} <= {(line.task, line.what) for line in lines(folder)}


def broken(written: Iterable[Line], shape: Mapping[str, Iterable[str]]) -> list[str]:
    """Where the ledger contradicts promise 1 or the order of the tasks."""
    found: list[str] = []
    started: set[str] = set()
    ended: set[str] = set()
    for line in written:
        if line.what == "end":
            ended.add(line.task)
            continue
        if line.task in started:
            found.append(f"{line.task} started once more, in Pod {line.pod_uid}")
        started.add(line.task)
        early = sorted(set(shape[line.task]) - ended)
        found += [f"{line.task} started before {name} had ended" for name in early]
    return found
