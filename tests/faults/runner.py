"""Runs cases: each in a namespace of its own, with proxies and operators of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp

from observatory.api.names import LABEL_OBSERVATORY
from tests.faults.audit import AuditTail
from tests.faults.case import NAME, Case
from tests.faults.check import Evidence, check
from tests.faults.disruptions import HealError, heal, nodes_again
from tests.faults.exchange import World
from tests.faults.plan import Armory
from tests.faults.processes import Operator, Zygote
from tests.faults.proxy import Proxy
from tests.faults.recorder import Recorder, State
from tests.faults.site import Site, clear, kubeconfig, prepare
from tests.faults.steps import LEASE, StepError, Steps, held, held_runs, pods, status_of
from tests.faults.upstream import AnswerError, Upstream

JsonObject = dict[str, Any]
FLAGS = (
    "--metrics-bind-address=0", "--health-probe-bind-address=0", "--log-format=json",
    "--lease-duration=3", "--lease-renew-deadline=2", "--lease-retry-period=1",
)  # fmt: skip
"""The shortest lease that a busy machine keeps; the flags allow no shorter retry period."""
UNPLAYABLE = (
    AnswerError, HealError, StepError, TimeoutError, aiohttp.ClientError, OSError,
)  # fmt: skip
"""What goes wrong with a case or its control plane, and not with the operator."""
_NODES = 20.0
"""Seconds after which the fake nodes are asked to look again, where the control plane was ill."""
_CRASHES = ("Reconcile crashed", "Traceback (most recent call last)")


@dataclass(slots=True)
class Verdict:
    """What came of a case. `fired` says whether every fault of it has happened."""

    case: Case
    folder: Path
    violations: list[str] = field(default_factory=list)
    fired: bool = True
    seconds: float = 0.0
    requests: int = 0
    writes: int = 0
    incarnations: int = 0


class Lab:
    """A cluster with a recorder, and the process that forks operators. Cases run side by side.

    With `many` cases their namespaces are emptied only, and go with the cluster.
    """

    def __init__(self, site: Site, folder: Path, *, many: bool = False) -> None:
        self._many = many
        self.site = site
        self.folder = folder
        self.recorder = Recorder(site.etcd, folder / "recordings")
        self.upstream = Upstream(site.kubeconfig)
        self.zygote = Zygote()
        self.audit = AuditTail(site.audit)
        self._numbers = itertools.count()
        self._prefix = f"case-{os.getpid()}"

    async def __aenter__(self) -> Self:
        await self.recorder.start()
        await self.upstream.__aenter__()
        await self.zygote.start()
        self._tailing = asyncio.create_task(self._tail())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._tailing.cancel()
        await self.zygote.close()
        await self.upstream.__aexit__()
        await self.recorder.close()
        self.audit.close()

    async def _tail(self) -> None:
        while True:
            self.audit.read()
            await asyncio.sleep(0.5)

    async def run(self, case: Case) -> Verdict:
        """Run one case, and check what was recorded of it."""
        namespace = f"{self._prefix}-{next(self._numbers)}"
        folder = self.folder / "cases" / f"{namespace}-{case.name}"[:200]
        folder.mkdir(parents=True)
        begun = time.monotonic()
        trial = Trial(self, case, namespace, folder)
        try:
            await trial.play()
        except UNPLAYABLE as error:
            trial.problems.append(f"the case could not be played: {error!r}")
            with contextlib.suppress(HealError):
                await heal(self.site)
        finally:
            await trial.end()
        try:
            verdict = await self._judge(trial)
        except UNPLAYABLE as error:
            problem = f"the case could not be played: {error!r}"
            return Verdict(case, folder, [*trial.problems, problem])
        verdict.seconds = time.monotonic() - begun
        with contextlib.suppress(*UNPLAYABLE):
            await clear(self.upstream, namespace, case.operators, whole=not self._many)
        return verdict

    async def _judge(self, trial: Trial) -> Verdict:
        namespace, folder = trial.namespace, trial.folder
        pods = f"/api/v1/namespaces/{namespace}/pods?limit=1"
        version = int((await self.upstream.ask("GET", pods))["metadata"]["resourceVersion"])
        if not await self.recorder.reach(version) or self.recorder.gap:
            trial.problems.append("the recording has a gap")
        trial.result["holders"] = _holders(self.recorder, namespace)
        shutil.move(self.recorder.save(namespace), folder / "recording.jsonl")
        self.recorder.forget(namespace)
        self.audit.read()
        self.audit.save(namespace, folder / "audit.jsonl")
        (folder / "case.json").write_text(json.dumps(trial.case.to_json(), indent=1) + "\n")
        (folder / "result.json").write_text(json.dumps(trial.result, indent=1) + "\n")
        with (folder / "proxy.jsonl").open("w") as file:
            file.writelines(json.dumps(line) + "\n" for line in trial.log)
        found = await asyncio.to_thread(lambda: check(Evidence.of(folder)))
        return Verdict(
            trial.case, folder, list(dict.fromkeys((*trial.problems, *found))), trial.fired,
            requests=len(trial.log), writes=sum("write" in line for line in trial.log),
            incarnations=sum(each.incarnations for each in trial.operators),
        )  # fmt: skip


class Trial:
    """One case while it runs."""

    def __init__(self, lab: Lab, case: Case, namespace: str, folder: Path) -> None:
        self._lab = lab
        self.case = case
        self.namespace = namespace
        self.folder = folder
        self._armory = Armory.of(case.faults)
        self._world = World(lab.upstream, self._armory, self._earlier, lambda: lab.recorder.version)
        self._proxies: list[Proxy] = []
        self.operators: list[Operator] = []
        self._steps = Steps(
            lab.upstream, lab.recorder, namespace, lab.site, patience=max(60.0, case.patience)
        )
        self.result: JsonObject = {}
        self.problems: list[str] = []

    @property
    def log(self) -> list[JsonObject]:
        """What the proxies saw."""
        return self._world.log

    @property
    def fired(self) -> bool:
        """Whether every fault has happened."""
        return self._armory.all_fired

    def _earlier(self, namespace: str, plural: str, back: int) -> tuple[int, list[JsonObject]]:
        return self._lab.recorder.earlier(namespace, plural, back)

    async def play(self) -> None:
        """From the empty namespace to rest."""
        case, recorder = self.case, self._lab.recorder
        tokens = await prepare(self._lab.upstream, self.namespace, case.operators, case.labels)
        self.result["begun"] = time.time()
        for obj in case.before:
            await self._steps.create(obj)
        for number, token in enumerate(tokens):
            await self._operate(number, token)
        await self._steps.observe(case.spec)
        begun = time.monotonic()
        steps = asyncio.create_task(self._take_steps())
        try:
            done = asyncio.create_task(recorder.until(self.namespace, self._over, case.heal))
            await asyncio.wait({done, steps}, return_when=asyncio.ALL_COMPLETED, timeout=case.heal)
            left = max(0.0, begun + case.heal - time.monotonic())
            if not self._armory.all_fired and left and case.steps:
                await recorder.until(self.namespace, self._over, left)
            for proxy in self._proxies:
                proxy.heal()
            await asyncio.wait_for(steps, case.patience)
            if case.disrupts and not await recorder.until(self.namespace, self._over, _NODES):
                await nodes_again(self._lab.site)
            over = await recorder.until(self.namespace, self._over, case.patience)
        finally:
            steps.cancel()
            done.cancel()
        if over:
            await self._rest()
        else:
            self.problems.append(
                f"I5: not over {case.patience:g} s after the faults healed: {self._state()}"
            )

    async def _operate(self, number: int, token: str) -> None:
        proxy = Proxy(self._world, number, token)
        await proxy.start()
        self._proxies.append(proxy)
        path = (self.folder / f"operator-{number}.kubeconfig").absolute()
        kubeconfig(path, proxy.url, self.namespace)
        argv = ["run", "--kubeconfig", str(path), "--namespace", self.namespace, *FLAGS]
        argv += ["--leader-elect"] if self.case.elect else []
        operator = Operator(
            self._lab.zygote, [*argv, *self.case.flags],
            (self.folder / f"operator-{number}.log").absolute(),
        )  # fmt: skip
        proxy.victim = operator
        self.operators.append(operator)
        operator.start()
        if self.case.elect and not number:
            # So that it is known who leads at first.
            await self._lab.recorder.until(self.namespace, _is_led, 20)

    async def _take_steps(self) -> None:
        for step in self.case.steps:
            await self._steps.take(step)

    def _over(self, state: State) -> bool:
        """Whether the run has come to its end, and nothing is held any more."""
        expect = self.case.expect
        free = expect.kept or not any(map(_is_held, pods(state)))
        ours = [p for p in pods(state) if LABEL_OBSERVATORY in (p["metadata"].get("labels") or {})]
        if expect.gone:
            return ("observatories", NAME) not in state and (expect.kept or not ours)
        status = status_of(state)
        if expect.runs:
            over = len(status.get("runHistory", ())) >= expect.runs
            return free and over and not status.get("activeRuns") and not any(held_runs(state))
        if not expect.phase:
            return free and "completionTime" in status and status.get("run", 0) >= expect.run
        told = expect.message in (status.get("message") or "")
        return bool(told and status.get("phase") == expect.phase)

    async def _rest(self) -> None:
        """Wait until nobody has written, or tried to, for a while: that is what I13 asks for."""
        recorder, quiet = self._lab.recorder, self.case.quiet
        deadline = time.monotonic() + max(self.case.patience, 2 * quiet)
        last = 0.0
        while True:
            if self._world.busy:
                last = time.time()
            last = max(last, _last_write(recorder, self.namespace), self._world.last_write)
            left = last + quiet - time.time()
            if left <= 0:
                break
            if time.monotonic() > deadline:
                self.problems.append(f"I13: no rest within {self.case.patience:g} s")
                return
            await asyncio.sleep(min(left + 0.05, 0.5))
        self.result["rest"] = [last, time.time()]

    def _state(self) -> str:
        status = status_of(self._lab.recorder.state[self.namespace])
        rows = {row["name"]: row["phase"] for row in status.get("tasks", ())}
        return f"{status.get('phase')} {status.get('message')} {rows}"

    async def end(self) -> None:
        """End what runs."""
        for proxy in self._proxies:
            proxy.heal()
        stopped = await asyncio.gather(*(each.stop() for each in self.operators))
        for proxy in self._proxies:
            await proxy.close()
        asked = [code for each in self.operators for code in each.asked]
        self.result["stopped"] = [*asked, *stopped]
        self.result["exits"] = [code for each in self.operators for code in each.unasked]
        self.result["kills"] = sum(each.kills for each in self.operators)
        self.result["crashes"] = [
            f"{operator.log.name} has: {text}"
            for operator in self.operators if operator.log.exists()
            for text in _CRASHES if text in operator.log.read_text(errors="replace")
        ]  # fmt: skip
        self.result["squatters"] = self._steps.squatters
        self.result["flipped"] = self._steps.flipped
        self.result["tampered"] = self._steps.tampered
        for path in self.folder.glob("*.kubeconfig"):
            path.unlink()


def _is_held(pod: JsonObject) -> bool:
    return held(pod) and LABEL_OBSERVATORY in (pod["metadata"].get("labels") or {})


def _is_led(state: State) -> bool:
    return bool((state.get(("leases", LEASE), {}).get("spec") or {}).get("holderIdentity"))


def _last_write(recorder: Recorder, namespace: str) -> float:
    """When something other than the lease was written last."""
    for record in reversed(recorder.records[namespace]):
        if record.resource.plural != "leases":
            return record.time
    return 0.0


def _holders(recorder: Recorder, namespace: str) -> list[list[Any]]:
    """Since when who has held the lease."""
    found: list[list[Any]] = []
    for record in recorder.records[namespace]:
        if record.resource.plural != "leases" or record.name != LEASE:
            continue
        spec = (record.new or {}).get("spec") or {}
        identity = spec.get("holderIdentity") or ""
        if not found or found[-1][1] != identity:
            found.append([record.time, identity])
    return found
