"""Operator processes: forked by the zygote, killed and paused by the proxy, started again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

GRACE = 40.0
"""Seconds that an operator has to end after SIGTERM."""
PATIENCE = 30.0


class Zygote:
    """The process that forks operators; see `zygote.py`."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._ids = itertools.count()
        self._starting: dict[int, asyncio.Future[int]] = {}
        self._ended: dict[int, Callable[[int], None]] = {}
        self._early: dict[int, int] = {}
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it; the imports take about a second."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.zygote",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read())

    async def close(self) -> None:
        """End it, and with it whatever it has forked."""
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        await self._process.wait()
        if self._reader is not None:
            await self._reader

    async def fork(self, argv: list[str], log: Path, ended: Callable[[int], None]) -> int:
        """The process ID of a new operator; `ended` is called with its exit code."""
        assert self._process is not None
        assert self._process.stdin is not None
        number = next(self._ids)
        future = self._starting[number] = asyncio.get_running_loop().create_future()
        request = {"id": number, "argv": argv, "log": str(log)}
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        pid: int = await asyncio.wait_for(future, PATIENCE)
        self._ended[pid] = ended
        if pid in self._early:
            self._ended.pop(pid)(self._early.pop(pid))
        return pid

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            answer = json.loads(line)
            if "id" in answer:
                self._starting.pop(answer["id"]).set_result(answer["pid"])
            elif answer["pid"] in self._ended:
                self._ended.pop(answer["pid"])(answer["code"])
            else:
                self._early[answer["pid"]] = answer["code"]


@dataclass(slots=True)
class Operator:
    """One operator of a case, over all its incarnations.

    `unasked` are the exit codes of incarnations that ended by themselves, `asked` of those that
    were sent SIGTERM.
    """

    zygote: Zygote
    argv: list[str]
    log: Path
    incarnations: int = 0
    kills: int = 0
    unasked: list[int] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    stopped: int | None = None
    _pidfd: int = -1
    _gone: asyncio.Event = field(default_factory=asyncio.Event)
    _up: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None
    _killed: bool = False
    _terminated: bool = False
    _stopping: bool = False

    def start(self) -> None:
        """Start it, and start it again whenever it ends, as a Deployment does; until `stop`."""
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while not self._stopping:
            await self._start()
            await self._gone.wait()
            if not self._killed and not self._stopping:
                await asyncio.sleep(0.2)  # as with a Pod, a crash is not repeated at once

    async def _start(self) -> None:
        self._gone.clear()
        self._killed = self._terminated = False
        self.incarnations += 1
        pid = await self.zygote.fork(self.argv, self.log, self._ended)
        with contextlib.suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(pid)
        self._up.set()

    def _ended(self, code: int) -> None:
        self._up.clear()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        if self._stopping:
            self.stopped = code
        elif self._terminated:
            self.asked.append(code)
        elif not self._killed:
            self.unasked.append(code)
        self._gone.set()

    def _signal(self, number: int) -> None:
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._killed = True
        self.kills += 1
        self._signal(signal.SIGKILL)
        await self._gone.wait()

    def terminate(self) -> None:
        """SIGTERM, after which it is started again."""
        self._terminated = True
        self._signal(signal.SIGTERM)

    async def pause(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after so many seconds."""
        pidfd = self._pidfd
        self._signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        if pidfd == self._pidfd:
            self._signal(signal.SIGCONT)

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        self._stopping = True
        if self._task is None:
            return 0
        up = asyncio.create_task(self._up.wait())
        await asyncio.wait({up, self._task}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if self._task.done():
            return 0
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        done, _ = await asyncio.wait({self._task}, timeout=GRACE)
        if not done:
            self._signal(signal.SIGKILL)
            await self._task
        return self.stopped if self.stopped is not None else 0
