"""Runs many cases side by side and tells how they went; the last line has the figures."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import tables
from tests.faults.case import Case
from tests.faults.runner import Lab, Verdict
from tests.faults.site import Site
from tests.support.junit import write_report

PARALLEL = 12
"""So many cases at once: most of their time they wait, for leases, back-offs and rest."""
_PROGRESS_SECONDS = 30.0
_INCONCLUSIVE = ("the case could not be played", "the recording has a gap", "I5: not over")


@dataclass(slots=True)
class Tally:
    """What has come of the cases so far."""

    name: str
    begun: float = field(default_factory=time.monotonic)
    cases: int = 0
    violations: int = 0
    failed: int = 0
    requests: int = 0
    early: list[str] = field(default_factory=list)
    incarnations: int = 0
    repeated: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """Count a case."""
        self.cases += 1
        self.verdicts.append(verdict)
        self.violations += len(verdict.violations)
        self.failed += bool(verdict.violations)
        self.early += [] if verdict.fired else [verdict.case.name]
        self.requests += verdict.requests
        self.incarnations += verdict.incarnations

    def line(self) -> str:
        """The figures."""
        minutes, seconds = divmod(int(time.monotonic() - self.begun), 60)
        unfired = f" ({len(self.early)} ended before their fault came)" if self.early else ""
        failed = f" in {self.failed} cases" if self.failed else ""
        again = f", {len(self.repeated)} repeated" if self.repeated else ""
        return (
            f"{self.name}: {self.cases} cases{unfired}{again}, "
            f"{self.violations} violations{failed}, {self.requests} requests, "
            f"{self.incarnations} operators, {minutes} min {seconds:02d} s"
        )


def tell(verdict: Verdict) -> None:
    """What is wrong with a case, and how to repeat it."""
    print(f"\n{verdict.case.name}: {len(verdict.violations)} violations")
    for text in verdict.violations[:10]:
        print(f"  {text}")
    print(f"  evidence:  {verdict.folder}")
    print(f"  repeat it: {Path(sys.executable)} -m tests.faults --case {verdict.folder}/case.json")
    sys.stdout.flush()


def inconclusive(violation: str) -> bool:
    """Whether this may be the machine's doing: the case could not be played, or took too long."""
    return violation.startswith(_INCONCLUSIVE)


async def play(lab: Lab, cases: Iterable[Case], tally: Tally, parallel: int) -> list[Verdict]:
    """Run the cases, so many at once. The folders of those that went well are removed."""
    verdicts: list[Verdict] = []
    waiting = iter(cases)

    async def work() -> None:
        for case in waiting:
            verdict = await lab.run(case)
            if verdict.violations and all(map(inconclusive, verdict.violations)):
                # Told, and played once more: a slow machine or a control plane that did not come up
                # is no answer. What breaks a promise is never played again.
                tell(verdict)
                tally.repeated.append(case.name)
                verdict = await lab.run(case)
            tally.add(verdict)
            verdicts.append(verdict)
            if verdict.violations:
                tell(verdict)
            else:
                shutil.rmtree(verdict.folder)

    async def report() -> None:
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            print(f"  so far {tally.line()}", flush=True)

    reporter = asyncio.create_task(report())
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(parallel):
                group.create_task(work())
    finally:
        reporter.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reporter
    return verdicts


def slow_first(cases: Iterable[Case]) -> list[Case]:
    """The cases that take long begin first, so that none of them ends long after the others."""

    def weight(case: Case) -> float:
        waits = max((max(fault.seconds, fault.window or 0) for fault in case.faults), default=0.0)
        return -(waits + case.patience / 10 + (case.heal if case.operators > 1 else 0))

    return sorted(cases, key=weight)


def limited(cases: Iterable[Case], count: int | None, words: str) -> Iterator[Case]:
    """The first so many cases whose names have one of the words."""
    wanted = [word for word in words.split(",") if word]
    found = 0
    for case in cases:
        if wanted and not any(word in case.name for word in wanted):
            continue
        if count is not None and found >= count:
            return
        found += 1
        yield case


async def run(
    site: Site, folder: Path, *, soak: bool, count: int | None, seed: int, words: str,
    parallel: int, report: Path | None = None,
) -> int:  # fmt: skip
    """Run the suite, or the soak; the exit code."""
    tally = Tally("soak" if soak else "faults")
    async with Lab(site, folder, many=True) as lab:
        plain = await play(lab, tables.without_faults(), tally, parallel)
        writes = {verdict.case.name: verdict.writes for verdict in plain}
        print(
            "  writes without faults: " + ", ".join(f"{k} {v}" for k, v in sorted(writes.items()))
        )
        if soak:
            every = limited(tables.soak(writes, seed), count or 2100, words)
        else:
            every = iter(slow_first(limited(tables.suite(writes), count, words)))
        await play(lab, every, tally, parallel)
        await play(lab, limited(tables.disruptions(), None, words), tally, 1)
    if tally.early:
        print(f"  ended before their fault came: {', '.join(tally.early)}")
    if tally.repeated:
        print(f"  repeated: {', '.join(tally.repeated)}")
    if report:
        cases = {each.case.name: each.violations for each in tally.verdicts}
        write_report(report, tally.name, cases)
    print(tally.line(), flush=True)
    return int(bool(tally.violations))
