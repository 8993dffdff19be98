"""`observatory retry`, `run-now`, `backfill`, `stop`, `terminate`, `suspend`, `resume`: requests.

A request is an annotation with a value that is new each time; the operator answers in the status.
Anybody who may edit an Observatory can do the same with kubectl.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from observatory.api.ending import RequestType
from observatory.api.fielderrors import list_errors
from observatory.api.names import (
    ANNOTATION_BACKFILL,
    ANNOTATION_BACKFILL_CONCURRENCY,
    ANNOTATION_BACKFILL_RANGE,
    ANNOTATION_RETRY,
    ANNOTATION_RETRY_FROM,
    ANNOTATION_RUN_NOW,
    ANNOTATION_STOP,
    ANNOTATION_TERMINATE,
    KIND,
    OBSERVATORIES,
    Key,
)
from observatory.api.text import one_line
from observatory.api.times import micro_time
from observatory.api.types import JsonObject
from observatory.cli.cluster import (
    CommandError,
    add_cluster,
    namespace_name,
    object_name,
    with_cluster,
)
from observatory.cli.documents import read_documents
from observatory.cli.yamlvalues import DocumentError
from observatory.core.validation import validate
from observatory.kube.api import Api, PatchKind
from observatory.kube.errors import NotFound
from observatory.runtime.clock import SystemClock

NO_ANSWER = 3
"""The exit code where the operator has not answered in time."""
_LOOK_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Verb:
    """A command: its help, and the annotation and the type of its request."""

    summary: str
    description: str
    annotation: str = ""
    type_: RequestType | None = None


VERBS = {
    "retry": Verb(
        "run again what failed, and keep what succeeded",
        "Starts a new run of an Observatory whose run has ended. A task runs again if it did not "
        "succeed, was changed, is named by --from, or depends on one that runs again; the others "
        "are kept. With --file the mended spec is applied in the same step.",
        ANNOTATION_RETRY,
        RequestType.RETRY,
    ),
    "run-now": Verb(
        "begin a run of a schedule now",
        "Begins a run of an Observatory that has a schedule, beside those that its schedule "
        "begins, with the same history. concurrencyPolicy holds for it, too. A suspended one can "
        "be run, too.",
        ANNOTATION_RUN_NOW,
        RequestType.RUN_NOW,
    ),
    "backfill": Verb(
        "run a schedule for a range of past times",
        "Begins a run for each fire time of a range that has passed, the oldest first, so many at "
        "a time, beside the runs that the schedule begins. status.backfill says how far it is. It "
        "goes on after a suspension or a restart of the operator; `observatory stop` ends it.",
        ANNOTATION_BACKFILL,
        RequestType.BACKFILL,
    ),
    "stop": Verb(
        "end the run: what runs is ended with its grace, then finally runs",
        "Ends a run. What runs gets SIGTERM and its grace period, what hasn't started is skipped, "
        "then finally runs. A suspended run is stopped, too. Of a schedule, all runs that are on "
        "are stopped, and its queue and its backfill end; its next fire time runs.",
        ANNOTATION_STOP,
        RequestType.STOP,
    ),
    "terminate": Verb(
        "end the run at once, without finally",
        "Ends a run at once: containers get one second, finally doesn't run or is ended. It comes "
        "before any stop.",
        ANNOTATION_TERMINATE,
        RequestType.TERMINATE,
    ),
    "suspend": Verb(
        "start no more tasks until resume",
        "Sets spec.suspend: what runs goes on to its end, nothing more is started. The deadline of "
        "the run goes on. Of a schedule, no more runs are begun; those that are on go on.",
    ),
    "resume": Verb(
        "go on with a suspended run",
        "Sets spec.suspend to false: the run goes on where it was, or begins.",
    ),
}

_EPILOG = """\
examples:
{more}

Exit codes: 0 done, 1 refused or not found, 2 the command could not do its work{answer}.
"""
_SIMPLE = """\
  observatory {verb} my-workflow
  observatory {verb} my-workflow --namespace etl --context staging"""
_EXAMPLES = {
    "retry": _SIMPLE
    + """
  observatory retry my-workflow --from load      begin with a task that succeeded, too
  observatory retry my-workflow --file mended.yaml""",
    "backfill": """\
  observatory backfill nightly --from 2026-01-01T00:00:00Z --to 2026-01-31T23:59:59Z
  observatory backfill nightly --from … --to … --max-concurrent 4""",
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add the parser of one of these commands."""
    verb = VERBS[name]
    asks = bool(verb.annotation)
    parser = subparsers.add_parser(
        name,
        help=verb.summary,
        description=verb.description,
        epilog=_EPILOG.format(
            more=_EXAMPLES.get(name, _SIMPLE).format(verb=name),
            answer=", 3 the operator has not answered" if asks else "",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="NAME", type=object_name, help="the Observatory")
    parser.add_argument(
        "--namespace", "-n", type=namespace_name, metavar="NAME", help="else that of the context"
    )
    if name == "retry":
        parser.add_argument("--from", dest="start", metavar="TASK", help="run this one again, too")
        parser.add_argument("--file", "-f", metavar="FILE", help="apply this mended workflow first")
    if name == "backfill":
        for flag, end in (("--from", "first"), ("--to", "last")):
            text = f"the {end} fire time at the {'earliest' if end == 'first' else 'latest'}"
            example = "such as 2026-01-31T00:00:00Z"
            dest = {"--from": "since", "--to": "until"}[flag]
            parser.add_argument(
                flag, dest=dest, metavar="TIME", required=True, help=f"{text}, {example}"
            )
        parser.add_argument(
            "--max-concurrent",
            type=int,
            default=1,
            metavar="N",
            help="how many of these runs may be on at the same time (default: 1)",
        )
    if asks:
        parser.add_argument(
            "--timeout",
            type=float,
            default=30.0,
            metavar="SECONDS",
            help="how long to wait for the operator's answer; 0: not at all (default: 30)",
        )
    add_cluster(parser)
    parser.set_defaults(handler=partial(run, name), start=None, file=None)


def run(name: str, options: argparse.Namespace) -> int:
    """Carry out one of these commands."""

    async def work(api: Api, namespace: str) -> int:
        key = Key(options.namespace or namespace, options.name)
        try:
            if not VERBS[name].annotation:
                return await suspend(api, key, suspended=name == "suspend")
            spec = mended(options.file, key) if options.file else None
            nonce = micro_time(SystemClock().now())
            await ask(api, key, name, nonce, _details(name, options), spec)
            return await answer(api, key, name, nonce, options.timeout)
        except NotFound as error:
            if "could not find the requested resource" in error.message:
                raise
            message = f'no Observatory "{key.name}" in namespace "{key.namespace}"'
            raise CommandError(f"{message}; see kubectl get observatories -A") from error

    return with_cluster(options, work)


def _details(name: str, options: argparse.Namespace) -> JsonObject:
    """What a request says beside its nonce, as annotations; None takes one away."""
    if name == "retry":
        return {ANNOTATION_RETRY_FROM: options.start}
    if name == "backfill":
        return {
            ANNOTATION_BACKFILL_RANGE: f"{options.since}/{options.until}",
            ANNOTATION_BACKFILL_CONCURRENCY: str(options.max_concurrent),
        }
    return {}


async def suspend(api: Api, key: Key, *, suspended: bool) -> int:
    """Set `spec.suspend`."""
    patch: JsonObject = {"spec": {"suspend": suspended}}
    before = await api.get(OBSERVATORIES, key)
    if bool(before["spec"].get("suspend")) == suspended:
        print(f"observatory/{key.name}: it {'is' if suspended else 'is not'} suspended already")
        return 0
    await api.patch(OBSERVATORIES, key, patch, kind=PatchKind.MERGE)
    what = "suspended: what runs goes on to its end" if suspended else "resumed"
    print(f"observatory/{key.name}: {what}")
    return 0


async def ask(  # noqa: PLR0917 -- a request and what it is about
    api: Api, key: Key, verb: str, nonce: str, details: JsonObject, spec: JsonObject | None
) -> None:
    """Write the request, and with it the spec that is to be retried, in one step."""
    found = await api.get(OBSERVATORIES, key)
    annotations: JsonObject = {VERBS[verb].annotation: nonce, **details}
    metadata: JsonObject = {"annotations": annotations, "uid": found["metadata"]["uid"]}
    patch: JsonObject = {"metadata": metadata}
    if spec is not None:
        # A merge patch keeps what it doesn't name: what is not in the file any more is removed.
        patch["spec"] = {**dict.fromkeys(found["spec"]), **spec}
    await api.patch(OBSERVATORIES, key, patch, kind=PatchKind.MERGE)


async def answer(api: Api, key: Key, verb: str, nonce: str, timeout: float) -> int:  # noqa: ASYNC109
    """Print the operator's answer to a request; the exit code."""
    if timeout <= 0:
        print(f"observatory/{key.name}: {verb} requested")
        return 0
    try:
        async with asyncio.timeout(timeout):
            async for found in _looks(api, key):
                told = _told(found, verb, nonce)
                if told is None:
                    continue
                if told["outcome"] == "Accepted":
                    print(one_line(f"observatory/{key.name}: {told['message']}"))
                    return 0
                print(one_line(f"error: {verb} refused: {told['message']}"), file=sys.stderr)
                return 1
    except TimeoutError:
        pass
    text = (
        f"no answer in {timeout:g} s, the request stands: does an operator run for this namespace?"
    )
    raise CommandError(text, NO_ANSWER)


async def _looks(api: Api, key: Key) -> AsyncIterator[JsonObject]:
    while True:
        yield await api.get(OBSERVATORIES, key)
        await asyncio.sleep(_LOOK_SECONDS)


def _told(found: JsonObject, verb: str, nonce: str) -> JsonObject | None:
    answers = (found.get("status") or {}).get("requests") or ()
    wanted = (VERBS[verb].type_, nonce)
    return next((each for each in answers if (each["type"], each["nonce"]) == wanted), None)


def mended(file: str, key: Key, read: Callable[[Path], str] = Path.read_text) -> JsonObject:
    """The spec of the one Observatory of a file that has that name, if it is valid.

    Raises:
        CommandError: There is none, or it has errors.
    """
    try:
        documents = [document.value for document in read_documents(read(Path(file)))]
    except (OSError, UnicodeDecodeError, DocumentError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CommandError(f"{file}: {reason}", 2) from error
    for found in documents:
        if not isinstance(found, dict) or found.get("kind") != KIND:
            continue
        metadata = found.get("metadata")
        if not isinstance(metadata, dict) or metadata.get("name") != key.name:
            continue
        if errors := validate(found):
            raise CommandError(f"{file}: {list_errors([str(error) for error in errors])}")
        spec: JsonObject = found["spec"]
        return spec
    raise CommandError(f'{file}: has no {KIND} "{key.name}"')
