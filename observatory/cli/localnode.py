"""A node that really runs what tasks ask for, on this machine: for `observatory try`.

With podman or docker, tasks run in containers of their images. Without, their commands run as
processes of whoever tries them: without isolation, and whatever the image is.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from observatory.api.names import LABEL_TASK, PODS, Key
from observatory.api.types import JsonObject
from observatory.simulation.apiserver import ApiServer
from observatory.simulation.kubelet import End, Kubelet, Stage, stage
from observatory.simulation.storage import Entry

ENGINES = ("podman", "docker")
_GRACE = 30
_ANSWER_SECONDS = 10
_KILLED, _NOT_FOUND, _NOT_EXECUTABLE = 137, 127, 126
_KEPT_LINES, _KEPT_BYTES = 80, 2048
"""What a kubelet keeps of the output of a container that failed."""
_READ = 64 * 1024

Output = Callable[[str, bytes], None]
"""Told of each line that a task writes: the task, and the line without its end."""


def engine() -> str | None:
    """The container engine that there is, and that answers."""
    return next((name for name in ENGINES if shutil.which(name) and _answers(name)), None)


def _answers(name: str) -> bool:
    """Whether an engine can be used: many machines have a client without its daemon."""
    try:
        done = subprocess.run(  # noqa: S603 -- one of `ENGINES`
            [name, "version", "--format", "{{.Server.Version}}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


class CannotRunError(Exception):
    """A container can't be run here; the message says why."""


class LocalNode:
    """Binds Pods, runs their containers, and reports how they end. Use it within one loop."""

    def __init__(
        self, server: ApiServer, folder: Path, *, container_engine: str | None, output: Output
    ) -> None:
        """`folder` is where processes without containers run."""
        self._server = server
        self._folder = folder
        self._engine = container_engine
        self._output = output
        self._ends: dict[str, End] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._kubelet = Kubelet(server, lambda pod: self._ends.get(pod["metadata"]["uid"]))
        server.storage.changed.append(self._see)

    def _see(self, entry: Entry) -> None:
        if entry.resource == PODS and entry.new is not None:
            asyncio.get_running_loop().call_soon(self._move, entry.key)

    def _move(self, key: Key) -> None:
        pod = self._server.storage.get(PODS, key)
        if pod is None:
            return
        uid = pod["metadata"]["uid"]
        match stage(pod):
            case Stage.START:
                self._kubelet.step(key, pod)
                self._tasks[uid] = asyncio.create_task(self._run(key, pod))
            case Stage.KILL if uid in self._tasks and not self._tasks[uid].done():
                if uid not in self._ends:
                    grace = pod["metadata"].get("deletionGracePeriodSeconds")
                    stopping = self._stop(uid, _GRACE if grace is None else grace)
                    self._tasks[f"{uid}/stop"] = asyncio.create_task(stopping)
            case Stage.REST:
                pass
            case _:
                self._kubelet.step(key, pod)

    async def _run(self, key: Key, pod: JsonObject) -> None:
        uid = pod["metadata"]["uid"]
        task = pod["metadata"]["labels"][LABEL_TASK]
        kept: deque[bytes] = deque(maxlen=_KEPT_LINES)
        try:
            end = await self._process(uid, task, pod, kept)
        except CannotRunError as error:
            end = End(_NOT_EXECUTABLE, "ContainerCannotRun", str(error))
        if end.exit_code and end.message is None and kept:
            message = b"\n".join(kept)[-_KEPT_BYTES:].decode(errors="replace")
            end = End(end.exit_code, end.reason, message)
        self._ends[uid] = end
        current = self._server.storage.get(PODS, key)
        if current is not None and current["metadata"]["uid"] == uid:
            self._finish(key, current, end)

    def _finish(self, key: Key, pod: JsonObject, end: End) -> None:
        """Report how a container has ended, whether its Pod is being deleted or not."""
        if stage(pod) is Stage.KILL:
            self._kubelet.finish(key, pod, end)
        else:
            self._kubelet.step(key, pod)

    async def _process(self, uid: str, task: str, pod: JsonObject, kept: deque[bytes]) -> End:
        container = pod["spec"]["containers"][0]
        variables = environment(container, pod["metadata"])
        argv = self._argv(pod, container, variables)
        folder = self._folder / pod["metadata"]["name"]
        folder.mkdir()
        own = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        # A pipe of our own: with asyncio's, the end of a process is not told while it is open.
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                cwd=folder,
                env=own if self._engine else {**own, **variables},
                start_new_session=True,
            )
        except FileNotFoundError:
            os.close(reading)
            return End(_NOT_FOUND, "ContainerCannotRun", f"no program {argv[0]!r} on this machine")
        except OSError as error:
            os.close(reading)
            return End(_NOT_EXECUTABLE, "ContainerCannotRun", f"{argv[0]}: {error.strerror}")
        finally:
            os.close(writing)
        self._processes[uid] = process
        limit = pod["spec"].get("activeDeadlineSeconds")
        copying = asyncio.create_task(self._copy(reading, task, kept))
        try:
            async with asyncio.timeout(limit):
                code = await process.wait()
        except TimeoutError:
            await self._stop(uid, pod["spec"].get("terminationGracePeriodSeconds", _GRACE))
            return End(_KILLED, "DeadlineExceeded", f"ran longer than {limit} s")
        finally:
            # As in a container, what it has started ends with it.
            _signal(process, signal.SIGKILL)
            await copying
        return End(code if code >= 0 else 128 - code)

    async def _copy(self, reading: int, task: str, kept: deque[bytes]) -> None:
        """Pass on what is written into a pipe, until nobody has it open any more."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", 0)
        )
        try:
            await self._pass_on(reader, task, kept)
        finally:
            transport.close()

    async def _pass_on(self, reader: asyncio.StreamReader, task: str, kept: deque[bytes]) -> None:
        rest = b""
        while chunk := await reader.read(_READ):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                kept.append(line)
                self._output(task, line)
        if rest:
            kept.append(rest)
            self._output(task, rest)

    def _argv(
        self, pod: JsonObject, container: JsonObject, variables: Mapping[str, str]
    ) -> list[str]:
        command = [expand(part, variables) for part in container.get("command") or ()]
        args = [expand(part, variables) for part in container.get("args") or ()]
        if self._engine is None:
            if not command:
                raise CannotRunError(
                    f"the task has no command, and what image {container['image']} would run is "
                    "not known without podman or docker: give the task a command, or install one"
                )
            return [*command, *args]
        flags = [part for name, value in variables.items() for part in ("-e", f"{name}={value}")]
        if memory := ((container.get("resources") or {}).get("limits") or {}).get("memory"):
            flags += ["--memory", str(memory).removesuffix("i").lower()]
        flags += _identity(container["securityContext"])
        if command:
            flags += ["--entrypoint", command[0]]
        name = pod["metadata"]["name"]
        return [
            *(self._engine, "run", "--rm", "--name", name, *flags),
            *(container["image"], *command[1:], *args),
        ]

    async def _stop(self, uid: str, grace: float) -> None:
        """SIGTERM, the grace, SIGKILL: to everything that the container has started."""
        process = self._processes.get(uid)
        if process is None or process.returncode is not None:
            return
        for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, None)):
            _signal(process, number)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await process.wait()
                    return

    async def close(self) -> None:
        """End whatever still runs, at once."""
        for uid in list(self._processes):
            await self._stop(uid, 1)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


def _identity(security: JsonObject) -> list[str]:
    """Whom the engine runs the container as; without these, as the image says."""
    user, group = security.get("runAsUser"), security.get("runAsGroup")
    flags = ["--read-only"] if security.get("readOnlyRootFilesystem") else []
    if user is not None:
        flags += ["--user", f"{user}" if group is None else f"{user}:{group}"]
    return flags


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal to a process and all that it has started, as far as they still live."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """The text with `$(NAME)` replaced as Kubernetes does it; `$$` is one `$`."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] is None else variables.get(match[1], match[0])

    return _REFERENCE.sub(value, text)


_FIELD = re.compile(r"metadata\.(?:(name|namespace|uid)|(labels|annotations)\['([^']+)'\])")


def environment(container: JsonObject, metadata: JsonObject) -> dict[str, str]:
    """The variables of a container, and what they say of its Pod's metadata.

    Raises:
        CannotRunError: One comes from an object that only a cluster has.
    """
    variables: dict[str, str] = {}
    given: Sequence[JsonObject] = container.get("env") or ()
    for variable in given:
        source = variable.get("valueFrom")
        field = _FIELD.fullmatch(str(((source or {}).get("fieldRef") or {}).get("fieldPath")))
        if field is not None:
            values = {**metadata, **(metadata.get(field[2] or "") or {})}
            variables[variable["name"]] = str(values.get(field[1] or field[3], ""))
            continue
        if source is not None:
            raise CannotRunError(
                f'variable "{variable["name"]}" has a valueFrom, and there is no cluster to take '
                "it from: give it a value to try the workflow"
            )
        variables[variable["name"]] = expand(variable.get("value") or "", variables)
    return variables
