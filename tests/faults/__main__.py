"""Faults on a real control plane: one case by hand, or all of them.

  python -m tests.faults --case CASE.json             play a case, as a failed one left it
  python -m tests.faults --workflow FILE.yaml --plan PLAN.json
                                                      your workflow, your faults
  python -m tests.faults --suite                      the cases of `tox -e faults`
  python -m tests.faults --soak --cases 2100 --seed 7 the cases of `tox -e soak`

A plan is a list of faults, or a whole case without its spec:

  [{"on": {"write": 5}, "do": "kill"}]
  {"operators": 2, "elect": true, "faults": [{"on": {"write": 3}, "do": "stop", "seconds": 6}]}

What can go wrong is listed in tests/faults/plan.py, what can be done meanwhile in steps.py. The
fake nodes take orders from arguments of tasks: `kwok.observatory/exit-code=3`,
`kwok.observatory/duration=2s`; see hack/localcluster/stages.yaml for all of them. The cluster is
one of hack/cluster, made if it is not there, and left for the next time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tests.faults import suite
from tests.faults.case import Case, parse_case
from tests.faults.plan import PlanError
from tests.faults.report import story
from tests.faults.runner import Lab
from tests.faults.site import Site, made, removed

JsonObject = dict[str, Any]


def main() -> int:
    """Run what the command line asks for."""
    options = _parser().parse_args()
    try:
        case = None if options.suite or options.soak else _case(options)
    except (PlanError, OSError, ValueError, yaml.YAMLError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix=time.strftime("%m%d-%H%M-"), dir=_parent(options.out)))
    site = made(options.cluster)
    try:
        if case is not None:
            return asyncio.run(_play(site, folder, case))
        return asyncio.run(
            suite.run(
                site, folder, soak=options.soak, count=options.cases, seed=options.seed,
                words=options.only, parallel=options.parallel, report=options.report,
            )
        )  # fmt: skip
    finally:
        if options.remove and not os.environ.get("OBSERVATORY_TEST_KEEP"):
            removed(options.cluster)


def _parent(out: Path | None) -> Path | None:
    """Where the evidence goes; None for the system's folder of temporary files."""
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    return out


async def _play(site: Site, folder: Path, case: Case) -> int:
    async with Lab(site, folder) as lab:
        verdict = await lab.run(case)
    for line in story(verdict.folder):
        print(line)
    print()
    for text in verdict.violations:
        print(f"VIOLATION {text}")
    if not verdict.fired:
        print("note: the run ended before each fault had come")
    print(
        f"{case.name}: {len(verdict.violations)} violations, {verdict.requests} requests, "
        f"{verdict.writes} writes, {verdict.incarnations} operators, {verdict.seconds:.1f} s; "
        f"evidence: {verdict.folder}"
    )
    return int(bool(verdict.violations))


def _case(options: argparse.Namespace) -> Case:
    if options.case:
        content = json.loads(options.case.read_text())
        return parse_case(content)
    if not options.workflow:
        raise PlanError("give --case, --workflow, --suite or --soak")
    document: JsonObject = yaml.safe_load(options.workflow.read_text())
    plan: Any = json.loads(options.plan.read_text()) if options.plan else []
    fields = {"faults": plan} if isinstance(plan, list) else plan
    return parse_case({"name": options.workflow.stem, "spec": document["spec"], **fields})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--case", type=Path, metavar="FILE")
    parser.add_argument("--workflow", type=Path, metavar="FILE")
    parser.add_argument("--plan", type=Path, metavar="FILE")
    parser.add_argument("--suite", action="store_true")
    parser.add_argument("--soak", action="store_true")
    parser.add_argument("--cases", type=int, metavar="N", help="at most so many")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the pairs of faults")
    parser.add_argument("--only", default="", metavar="WORDS", help="cases with these in the name")
    parser.add_argument("--parallel", type=int, default=suite.PARALLEL, metavar="N")
    parser.add_argument("--cluster", default="faults", metavar="NAME")
    parser.add_argument("--remove", action="store_true", help="remove the cluster afterwards")
    parser.add_argument("--report", type=Path, metavar="FILE", help="for a JUnit report")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for what failed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
