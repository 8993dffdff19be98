"""`observatory why`: why a run goes no further, or what failed first and what followed from it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime

from rich.text import Text

from observatory.api.conditions import SCHEDULED, TRUE, find_condition
from observatory.api.limits import POD_LIMITS
from observatory.api.names import Key
from observatory.api.status import Failure, Phase, Waiting
from observatory.api.taskstatus import FailureClass, TaskPhase
from observatory.api.times import format_duration, format_time
from observatory.cli.cluster import with_cluster
from observatory.cli.reading import add_reading, seen
from observatory.cli.style import Screen, of_phase, styled
from observatory.cli.view import View
from observatory.core.summary import DEPENDENCIES
from observatory.kube.api import Api
from observatory.runtime.clock import SystemClock

_EPILOG = """\
examples:
  observatory why etl

Exit codes: 0 nothing is wrong: it succeeded or goes on, 1 it failed or somebody has to do
something, or there is none of that name, 2 the command could not do its work.
"""
_SHOWN = 5
_OUTPUT_LINES = 10

_REMEDIES = {
    FailureClass.APPLICATION_ERROR: "see its output: observatory logs {name} {task} -n {namespace}",
    FailureClass.OUT_OF_MEMORY: "raise the task's limit of memory, or let retry.memory raise it",
    FailureClass.TIMEOUT: "make the task faster, or raise its deadline",
    FailureClass.DISRUPTION: "the cluster ended it; run it again, or raise retry.disruptionLimit",
    FailureClass.NODE_LOST: "its node was lost; run it again",
    FailureClass.IMAGE_PULL: "check the name of the image, and the right to pull it",
    FailureClass.CONFIGURATION: "make what the Pod names, such as a ConfigMap or a Secret",
    FailureClass.REJECTED: "ask for the quota or the policy that refused the Pod",
    FailureClass.DELETED: "somebody deleted the Pod; run it again",
    FailureClass.LOST: "the Pod vanished; run it again",
    FailureClass.CANCELLED: "run it again",
}
_WAITS = {
    "Suspended": "go on with: observatory resume {name} -n {namespace}",
    "MaxConcurrent": "spec.maxConcurrent lets no more tasks run at once",
    "Unschedulable": "no node fits: see the message, and kubectl get nodes",
    "QuotaExceeded": "the namespace's quota is used up: kubectl describe quota -n {namespace}",
    "ImagePull": "check the name of the image, and the right to pull it",
    "InvalidImageName": "mend the name of the image, and apply the workflow again",
    "CreateContainerConfigError": "make what the Pod names, such as a ConfigMap or a Secret",
    "AdmissionDenied": "a policy refuses the Pod: mend the workflow, or ask for an exception",
    "SidecarRunning": "keep the container out of Pods with the label "
    "workflow.seventh-horizon.io/task, or have it injected as a native sidecar",
    "Forbidden": "the operator lacks a right in the namespace: see manifests/rbac",
}
_PASSES_BY_ITSELF = frozenset(
    {
        *("Backoff", "StartPending", "StatusFull", "MaxConcurrent", *POD_LIMITS, "Scheduling"),
        *("ContainerCreating", DEPENDENCIES, "Terminating"),
    }
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add the parser of the command."""
    parser = subparsers.add_parser(
        name,
        help="say why a run goes no further, or what failed first",
        description="Says why a run goes no further, or what failed first and what followed from "
        "it, and what can be done.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_reading(parser)
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    """Say it."""

    async def work(api: Api, namespace: str) -> int:
        view = await seen(api, Key(options.namespace or namespace, options.name))
        lines, code = explained(view, SystemClock().now())
        Screen(options.color).print(lines)
        return code

    return with_cluster(options, work)


def explained(view: View, now: datetime) -> tuple[list[Text], int]:
    """The explanation, and 1 if somebody has to do something."""
    status, desired = view.status, view.desired
    if view.problem or (desired.errors and not status.active):
        return _invalid(view), 1
    if desired.scheduled:
        return _schedule(view)
    match status.phase:
        case Phase.FAILED:
            return [*_failed(view)], 1
        case Phase.PENDING:
            return _pending(view)
        case Phase.RUNNING:
            return _running(view, now)
        case _:
            text = f"{view.key.name} succeeded: {status.progress} tasks in {status.duration}."
            return [of_phase("Succeeded", text)], 0


def _invalid(view: View) -> list[Text]:
    if view.problem:
        return [of_phase("Failed", view.problem)]
    errors = view.desired.errors
    lines = [of_phase("Failed", f"{view.key.name} cannot run: its spec is invalid.")]
    lines += [styled(f"  {error}") for error in errors[:_SHOWN]]
    if len(errors) > _SHOWN:
        lines.append(styled(f"  and {len(errors) - _SHOWN} more"))
    return [*lines, _do(view, "mend these, check with: observatory validate FILE, and apply it")]


def _do(view: View, remedy: str, task: str = "") -> Text:
    key = view.key
    text = remedy.format(name=key.name, namespace=key.namespace, task=task)
    return styled(f"What to do: {text}", "bold")


def _pending(view: View) -> tuple[list[Text], int]:
    status, desired = view.status, view.desired
    if desired.suspend:
        lines = [of_phase("Pending", f"{view.key.name} is suspended and has not begun.")]
        return [*lines, _do(view, _WAITS["Suspended"])], 1
    if status.observed_generation == 0:
        text = f"No operator has seen {view.key.name} yet."
        remedy = "see that one runs for this namespace: kubectl get deployments -A"
        return [of_phase("Pending", text), _do(view, remedy)], 1
    return [of_phase("Pending", f"{view.key.name} has not begun: {status.message or 'it will'}")], 0


def _running(view: View, now: datetime) -> tuple[list[Text], int]:
    status = view.status
    took = view.duration(now)
    text = f"{view.key.name} is running for {took}: {status.progress} tasks have succeeded."
    lines = [of_phase("Running", text)]
    running = [task for task in view.order if task.row.phase is TaskPhase.RUNNING]
    lines += [
        styled(f'  Task "{task.name}" has been running for {task.duration(now)}.')
        for task in running[:_SHOWN]
        if not task.row.reason
    ]
    if len(running) > _SHOWN:
        lines.append(styled(f"  {len(running) - _SHOWN} more tasks are running."))
    if status.ending:
        lines.append(of_phase("Failed", f"  The run is ending: {status.ending.message}"))
    stuck = False
    for wait in status.waiting_for:
        lines += [styled(f"  {_wait(wait, now)}", "yellow")]
        needs = wait.reason not in _PASSES_BY_ITSELF
        stuck = stuck or needs
        if remedy := _WAITS.get(wait.reason):
            lines.append(_do(view, remedy))
    if status.failure:
        lines += _first(view, status.failure)
    return lines, int(stuck)


def _wait(wait: Waiting, now: datetime) -> str:
    since = f" for {format_duration(now - wait.since)}" if wait.since else ""
    others = f" and {wait.tasks - 1} more wait" if wait.tasks > 1 else " waits"
    what = "what they depend on" if wait.reason == DEPENDENCIES else wait.reason
    message = f": {wait.message}" if wait.message and wait.reason != DEPENDENCIES else ""
    return f'Task "{wait.task}"{others}{since} ({what}){message}'


def _failed(view: View) -> Iterator[Text]:
    status = view.status
    yield of_phase("Failed", f"{view.key.name} failed after {status.duration}.")
    if status.ending and (status.failure is None or status.ending.reason != "TaskFailed"):
        yield styled(f"  It was ended: {status.ending.message or status.ending.reason}")
    if status.failure:
        yield from _first(view, status.failure)
    yield from _followed(view, status.failure)
    if status.failure and status.failure.class_:
        yield _do(view, _REMEDIES[status.failure.class_], status.failure.task)
    yield styled(
        f"Then run again what failed: observatory retry {view.key.name} -n {view.key.namespace}"
    )


def _first(view: View, failure: Failure) -> Iterator[Text]:
    code = f", exit code {failure.exit_code}" if failure.exit_code is not None else ""
    signal = f", signal {failure.signal}" if failure.signal is not None else ""
    class_ = f" ({failure.class_.value}{code}{signal})" if failure.class_ else ""
    number = f", attempt {failure.attempt}," if failure.attempt > 1 else ""
    text = f'  First, task "{failure.task}"{number} failed: {failure.reason}{class_}'
    yield styled(text, "red")
    where = " on ".join(filter(None, (failure.pod_name, failure.node_name)))
    yield styled(f"  at {format_time(failure.time)}" + (f" in {where}" if where else ""))
    for line in (failure.message or "").strip().splitlines()[-_OUTPUT_LINES:]:
        yield styled(f"    | {line}")
    tried = view.by_name.get(failure.task)
    for attempt in tried.row.attempts if tried else ():
        yield styled(f"  Attempt {attempt.attempt} had failed: {attempt.reason}")


def _followed(view: View, failure: Failure | None) -> Iterator[Text]:
    first = failure.task if failure else ""
    others = [
        each.name
        for each in view.order
        if each.row.phase is TaskPhase.FAILED and each.name != first and not each.row.ignored
    ]
    skipped = [each.name for each in view.order if each.row.phase is TaskPhase.SKIPPED]
    if others:
        yield styled(f"  Failed, too: {_names(others)}")
    if skipped:
        yield styled(f"  Skipped because of that: {_names(skipped)}")


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _schedule(view: View) -> tuple[list[Text], int]:
    status, runs, key = view.status, view.status.runs, view.key
    condition = find_condition(status.conditions, SCHEDULED)
    lines, code = [], 0
    if condition is None:
        text = f"No operator has seen {key.name} yet."
        return [of_phase("Pending", text)], 1
    if condition.status != TRUE:
        lines.append(of_phase("Failed", f"{key.name} begins no runs: {condition.message}"))
        code = 1
    elif runs.next_times:
        when = format_time(runs.next_times[0])
        lines.append(of_phase("Scheduled", f"{key.name} begins its next run at {when}."))
    if view.desired.suspend:
        lines.append(_do(view, _WAITS["Suspended"]))
    lines += [of_phase("Running", f"  Running: {each.name}") for each in runs.active]
    if runs.history and not runs.history[-1].succeeded:
        last = runs.history[-1]
        lines.append(of_phase("Failed", f"  The latest run failed: {last.name}: {last.reason}"))
        lines.append(_do(view, f"observatory why {last.name} -n {key.namespace}"))
        code = 1
    for skip in runs.skipped[-1:]:
        text = f"  The latest fire time without a run: {format_time(skip.time)}: {skip.message}"
        lines.append(styled(text))
    return lines, code
