"""A history: a scenario played to its end, and what was found in it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from observatory.api.names import EVENTS, LEASES, OBSERVATORIES, PODS
from observatory.api.requester import Requester
from observatory.api.types import JsonObject
from observatory.core.schedule import is_scheduled
from observatory.kube.errors import KubeError, NotFound
from observatory.simulation.acts import KEY, NAMESPACE, Acts
from observatory.simulation.apiserver import ApiServer, Request
from observatory.simulation.invariants import Invariants
from observatory.simulation.loop import HotLoopError, virtual_loop
from observatory.simulation.narrate import described, named, narrate
from observatory.simulation.node import Node
from observatory.simulation.oracle import wrong_end
from observatory.simulation.process import EPOCH, Process
from observatory.simulation.runfacts import RunFacts
from observatory.simulation.scenario import Fault, Scenario
from observatory.simulation.storage import Entry
from observatory.simulation.wire import Wire

QUIET_SECONDS = 15.0
"""Without a write for so long, all that has ended is at rest: no pause of a plan is longer."""
PATIENCE_SECONDS = 400.0
"""A run that has not ended may be silent for so long, besides what its containers take: a refusal
for quota may take 300."""
LONGEST_SECONDS = 7200.0
BOOKMARK_SECONDS = 50.0
MOST_WRITES = 3000
"""More than so many requests to write in one history: something turns in circles."""

Tell = Callable[[float, str, str], None]
"""Hears of what happens: the time, who, what."""


@dataclass(slots=True)
class Outcome:
    """What came of a history. It is good without `violations`."""

    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0
    requests: int = 0
    versions: int = 0
    reached: int = 0
    """How many of the faults found their moment."""


def play(scenario: Scenario, tell: Tell | None = None) -> Outcome:
    """Play a scenario. The same one always gives the same history."""
    return _World(scenario, tell).play()


class _World:
    def __init__(self, scenario: Scenario, tell: Tell | None) -> None:
        self._scenario = scenario
        self._loop = loop = virtual_loop()
        self._tell_all = tell
        self._server = server = ApiServer(lambda: EPOCH + timedelta(seconds=loop.time()))
        self._invariants = Invariants()
        self._runs = RunFacts()
        self._scheduled = is_scheduled(scenario.spec)
        server.storage.changed.append(self._see)
        self._node = Node(loop, server, scenario.endings, scenario.seed)
        reviewed = any(fault.do == "deprovision" for fault in scenario.faults)
        requester = Requester("alice", "u-1", ("editors",)) if reviewed else None
        self._acts = Acts(server, scenario.spec, requester)
        self._invariants.excused = self._acts.excused
        self._processes: dict[str, Process] = {}
        longest = max((ending.seconds for ending in scenario.endings.values()), default=0.0)
        self._patience = PATIENCE_SECONDS + longest
        self._written_at = 0.0
        self._asked_at = 0.0
        self._busy_until = 0.0
        self._requests = 0
        self._reached = 0
        self._healed = False
        # Where a run is deleted when it has ended, its last writes may come too late.
        deletes = "ttlSecondsAfterFinished" in scenario.spec
        self._disturbed = bool(scenario.faults) or scenario.operators > 1 or deletes
        self._wasted: list[str] = []
        self._by_write: dict[tuple[str, int | None], list[Fault]] = {}

    def play(self) -> Outcome:
        loop, scenario = self._loop, self._scenario
        self._acts.create()
        for fault in scenario.faults:
            if fault.at is not None:
                self._busy_until = max(self._busy_until, fault.at)
                loop.call_later(fault.at, self._do, fault)
        self._by_write = {
            (fault.who, fault.write): [
                each
                for each in scenario.faults
                if (each.who, each.write) == (fault.who, fault.write)
            ]
            for fault in scenario.faults
            if fault.write is not None
        }
        if self._scheduled:
            self._busy_until = max(self._busy_until, scenario.seconds)
            loop.call_later(scenario.seconds, self._wind_down)
        loop.call_later(BOOKMARK_SECONDS, self._bookmark)
        loop.call_soon(self._start)
        hot = []
        try:
            loop.run_while(self._goes_on)
        except HotLoopError as error:
            hot.append(f"I13: {error}")
        try:
            return self._verdict(hot)
        finally:
            for process in self._processes.values():
                process.end()
            loop.close()

    def _start(self) -> None:
        for name in ("a", "b")[: self._scenario.operators]:
            numbers = [0]
            self._processes[name] = Process(
                name,
                self._loop,
                partial(self._connect, name, numbers),
                leader_election=self._scenario.leader_election,
                tell=self._tell,
            )

    def _connect(self, name: str, numbers: list[int], identity: str) -> Wire:
        seed = f"{self._scenario.seed}/{identity}"
        return Wire(name, self._loop, self._server, seed=seed, numbers=numbers, observer=self)

    def _wind_down(self) -> None:
        """Begin no more runs: those that are on come to their end."""
        with suppress(NotFound):
            self._acts.wind_down()

    def _bookmark(self) -> None:
        self._server.watches.bookmark()
        self._loop.call_later(BOOKMARK_SECONDS, self._bookmark)

    # The end

    def _goes_on(self) -> bool:
        """Whether something may still happen."""
        now = self._loop.time()
        if now > LONGEST_SECONDS or self._requests > MOST_WRITES:
            return False
        if now < self._busy_until or not self._processes:
            return True
        ended = self._ended()
        quiet = QUIET_SECONDS if ended or not self._healed else self._patience
        # What has ended asks for nothing either; before, a refused start is asked for in vain.
        active_at = max(self._written_at, self._asked_at if ended else 0.0)
        if now - max(active_at, self._busy_until) < quiet:
            return True
        # A fault may come after the first healing: somebody suspends the run at a later write.
        if self._acts.heal() or not (self._healed or self._ended()):
            self._written_at = now
        self._healed = True
        return self._written_at == now

    def _ended(self) -> bool:
        """Whether the run has ended, and holds none of its Pods any more."""
        objects = self._server.storage.objects
        stored = objects.get((OBSERVATORIES, KEY))
        if stored is not None and not self._is_over(stored):
            return False
        pods = (pod for (resource, _), pod in objects.items() if resource == PODS)
        return not any(
            pod["metadata"].get("finalizers") or pod["spec"].get("schedulingGates") for pod in pods
        )

    def _is_over(self, stored: JsonObject) -> bool:
        status = stored.get("status") or {}
        if not self._scheduled:
            return "completionTime" in status
        return not status.get("activeRuns") and bool(stored["spec"].get("suspend"))

    def _verdict(self, hot: list[str]) -> Outcome:
        storage = self._server.storage
        pods = [pod for _, pod in storage.items(PODS, NAMESPACE)]
        self._invariants.see_rest(storage.version, pods)
        found = hot + self._wasted
        found += [str(violation) for violation in self._invariants.violations]
        stored = storage.get(OBSERVATORIES, KEY)
        if self._scheduled:
            objects = (item for _, item in storage.items(OBSERVATORIES, NAMESPACE))
            self._runs.see_rest(storage.version, objects)
            if stored is not None and not (self._ended() or self._acts.deleted):
                message = (stored.get("status") or {}).get("message")
                found.append(f"I5: its runs have not ended: {message}")
        else:
            found += wrong_end(self._scenario, stored, pods, self._acts)
        found += [str(violation) for violation in self._runs.violations]
        for process in self._processes.values():
            found += process.failures
            if process.panics.count:
                found.append(f"I17: a reconcile of operator {process.name} crashed")
        found += [f"I17: nobody awaited: {crash}" for crash in self._loop.crashes]
        if self._requests > MOST_WRITES:
            found.append(f"I13: more than {MOST_WRITES} requests to write, and no end")
        if self._loop.time() > LONGEST_SECONDS:
            found.append(f"I13: it has not come to rest in {LONGEST_SECONDS:.0f} s")
        return Outcome(
            violations=found,
            seconds=self._loop.time(),
            requests=self._requests,
            versions=storage.version,
            reached=self._reached,
        )

    # What goes wrong

    def sent(self, wire: Wire, request: Request, number: int) -> None:
        """See `wire.Observer`."""
        self._requests += 1
        self._asked_at = self._loop.time()
        for fault in self._by_write.get((wire.name, number), ()):
            if fault.when == "before":
                self._do(fault)
        if self._tell_all and not wire.dead:
            self._tell(wire.name, f"sends write {number}: {named(request)}")

    def served(self, wire: Wire, number: int, error: KubeError | None) -> None:
        """See `wire.Observer`."""
        if error is not None and not self._disturbed and not isinstance(error, NotFound):
            # Whoever works on a cache that has its own last writes asks for nothing in vain; but of
            # a Pod that goes with its finalizer no answer has the version of its end.
            self._wasted.append(f"I14: write {number}, with nothing amiss, was refused: {error}")
        if self._tell_all and error is not None:
            self._tell("server", f"refuses write {number} of {wire.name}: {error}")
        for fault in self._by_write.get((wire.name, number), ()):
            if fault.when == "after":
                self._do(fault)

    def _do(self, fault: Fault) -> None:
        self._reached += 1
        now = self._loop.time()
        self._busy_until = max(self._busy_until, now + fault.seconds)
        if self._tell_all:
            self._tell("fault", described(fault))
        if self._acts.do(fault):
            return
        match fault.do:
            case "compact":
                self._server.compact()
            case "stall":
                self._node.stall(fault.seconds)
            case _ if fault.who in self._processes:
                self._processes[fault.who].suffer(fault)
            case _:
                self._reached -= 1  # an operator that this history doesn't have

    # What is told

    def _see(self, entry: Entry) -> None:
        self._invariants.see(entry)
        if self._scheduled:
            self._runs.see(entry)
        if entry.resource not in (LEASES, EVENTS):
            self._written_at = self._loop.time()
        if self._tell_all:
            for what in narrate(entry):
                self._tell("store", what)

    def _tell(self, who: str, what: str) -> None:
        if self._tell_all:
            self._tell_all(self._loop.time(), who, what)
