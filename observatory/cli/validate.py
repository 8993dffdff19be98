"""`observatory validate`: everything that is wrong with workflow files, without a cluster.

And what is valid but probably not meant: the same that the webhook warns of.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observatory.api.advice import Advice
from observatory.api.fielderrors import FieldError, required
from observatory.api.names import GROUP, KIND
from observatory.api.text import one_line
from observatory.api.types import JsonObject
from observatory.cli.documents import Document, read_documents
from observatory.cli.yamlvalues import DocumentError
from observatory.core.advice import advise, outline
from observatory.core.validation import validate

SUFFIXES = (".yaml", ".yml", ".json")
MAX_BYTES = 32 << 20
"""Of one file. The API server takes 3 MiB an object."""

_EPILOG = """\
examples:
  observatory validate workflow.yaml
  observatory validate manifests/            every .yaml, .yml and .json file in it
  kubectl get obsy -o yaml | observatory validate -
  observatory validate --output json *.yaml | jq '.files[].documents[].errors'

Objects of other kinds are skipped. Warnings tell of what is valid and probably not meant; they
change no exit code. Exit codes: 0 every Observatory is valid, 1 at least one is not or a file is
neither YAML nor JSON, 2 a file could not be read or the report not be written.
"""


class _UnreadableError(Exception):
    """A file could not be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one object of a file. `errors` is None where it was skipped.

    `plan` and `warnings` are of valid ones only.
    """

    kind: str
    namespace: str
    name: str
    line: int
    errors: tuple[tuple[FieldError, int], ...] | None
    plan: str = ""
    warnings: tuple[tuple[Advice, int], ...] = ()

    def __str__(self) -> str:
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {name}".rstrip()


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in one file. `problem` is why its rest was not read, on `line`."""

    file: str
    verdicts: tuple[Verdict, ...] = ()
    problem: str = ""
    line: int = 0
    unreadable: bool = False

    @property
    def exit_code(self) -> int:
        """What this file alone would make of the command."""
        if self.unreadable:
            return 2
        return 1 if self.problem or any(verdict.errors for verdict in self.verdicts) else 0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        name,
        help="say everything that is wrong with workflow files, without a cluster",
        description="Says everything that is wrong with the Observatories in files: structure, "
        "names, dependencies, cycles, images, environment and schedule. It is the same check that "
        "the operator makes, and it needs no cluster.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help="a file, a directory, or - for standard input"
    )
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="the form of the report"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print only what is wrong")
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    """Validate the files and print the report; 0, 1 or 2 as `--help` says."""
    reports = []
    for file in options.files:
        for report in _inspect(file):
            reports.append(report)
            if options.output == "text":
                _print_report(report, quiet=options.quiet)
    code = max(report.exit_code for report in reports)
    if options.output == "json":
        files = [_report_to_json(report) for report in reports]
        print(json.dumps({"valid": code == 0, "files": files}, indent=2))
    elif not options.quiet and not any(_checked(report) for report in reports) and code == 0:
        print("no Observatory found", file=sys.stderr)
    return code


def _checked(report: Report) -> bool:
    return any(verdict.errors is not None for verdict in report.verdicts)


def _inspect(file: str) -> Iterator[Report]:
    if file == "-" or not os.path.isdir(file):  # noqa: PTH112 -- Path.is_dir may raise
        yield _inspect_file(file)
        return
    found, failures = _search(file)
    if failures:
        yield Report(file, problem=_unsearched(failures), unreadable=True)
    elif not found:
        reason = f"directory has no file that ends in {', '.join(SUFFIXES)}"
        yield Report(file, problem=reason, unreadable=True)
    for path in found:
        yield _inspect_file(str(path))


def _search(directory: str) -> tuple[list[Path], list[OSError]]:
    """The files to read in a directory and those in it, and what could not be searched."""
    failures: list[OSError] = []
    found = [
        Path(parent, name)
        for parent, _, names in os.walk(directory, onerror=failures.append)
        for name in names
        if Path(name).suffix in SUFFIXES
    ]
    return sorted(found), failures


def _unsearched(failures: list[OSError]) -> str:
    first = failures[0]
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    return f"cannot search {first.filename}: {(first.strerror or str(first)).lower()}{more}"


def _inspect_file(file: str) -> Report:
    verdicts: list[Verdict] = []
    try:
        for document in read_documents(_read(file), json_only=file.endswith(".json")):
            verdicts += _judge(document)
    except _UnreadableError as error:
        return Report(file, problem=str(error), unreadable=True)
    except DocumentError as error:
        return Report(file, tuple(verdicts), problem=str(error), line=error.line)
    return Report(file, tuple(verdicts))


def _read(file: str) -> str:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(file).open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise _UnreadableError((error.strerror or str(error)).lower()) from error
    if len(data) > MAX_BYTES:
        raise _UnreadableError(f"larger than {MAX_BYTES >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _UnreadableError(f"not UTF-8 text (byte {error.start + 1})") from error
    if "\0" in text:
        raise _UnreadableError("not text: it has zero bytes")
    return text


def _judge(document: Document) -> Iterator[Verdict]:
    """The verdict on a document; on each item, if it is a List as `kubectl get -o yaml` gives."""
    value = document.value
    items = value.get("items") if isinstance(value, dict) and value.get("kind") == "List" else None
    if isinstance(items, list):
        for index, item in enumerate(items):
            yield _verdict(item, document, f"items[{index}]")
    else:
        yield _verdict(value, document, "")


def _verdict(value: object, document: Document, place: str) -> Verdict:
    obj: JsonObject = value if isinstance(value, dict) else {}
    raw = obj.get("metadata")
    metadata: JsonObject = raw if isinstance(raw, dict) else {}
    errors = _errors(obj)
    prefix = f"{place}." if place else ""
    valid = errors is not None and not errors
    warnings = _advice(obj) if valid else []
    return Verdict(
        kind=_text(obj.get("kind")) or "object",
        namespace=_text(metadata.get("namespace")),
        name=_text(metadata.get("name")) or _text(metadata.get("generateName")),
        line=document.line(f"{prefix}apiVersion"),
        errors=None
        if errors is None
        else tuple((error, document.line(prefix + error.path)) for error in errors),
        plan=outline(obj) if valid else "",
        warnings=tuple((each, document.line(prefix + each.path)) for each in warnings),
    )


def _advice(obj: JsonObject) -> list[Advice]:
    from observatory.runtime.clock import SystemClock  # noqa: PLC0415 -- --help needs no asyncio

    return advise(obj, SystemClock().now())


def _errors(obj: JsonObject) -> list[FieldError] | None:
    """The errors of an object; None if it is none of ours."""
    kind, version = obj.get("kind"), obj.get("apiVersion")
    if kind == KIND or str(version).partition("/")[0] == GROUP:
        missing = [field for field in ("apiVersion", "kind") if obj.get(field) is None]
        return [*map(required, missing), *validate(obj)]
    if not isinstance(kind, str):
        return [required("kind", f"such as {KIND}: this is not a Kubernetes object")]
    return None


def _text(value: object) -> str:
    """The value if it can be shown as a name; else nothing."""
    return value if isinstance(value, str) and value.isprintable() and value.isascii() else ""


def _print_report(report: Report, *, quiet: bool) -> None:
    file = one_line(report.file)
    for verdict in report.verdicts:
        if verdict.errors is None:
            if not quiet:
                print(_paint("2", f"{file}: {verdict}: skipped, it is not an {KIND}"))
        elif not verdict.errors:
            if not quiet:
                print(f"{file}: {verdict}: {_paint('32', 'valid')} ({verdict.plan})")
                for advice, line in verdict.warnings:
                    _print_place(file, line, advice.path, f"{_paint('33', 'warning: ')}{advice}")
        else:
            count = f"{len(verdict.errors)} error{'' if len(verdict.errors) == 1 else 's'}"
            print(f"{file}: {verdict}: {_paint('1;31', count)}")
            for error, line in verdict.errors:
                _print_place(file, line, error.path, str(error))
    if not report.verdicts and not report.problem and not quiet:
        print(f"{file}: empty, there is no object in it", file=sys.stderr)
    if report.problem:
        place = f"{file}:{report.line}" if report.line else file
        print(f"error: {place}: {one_line(report.problem)}", file=sys.stderr)


def _print_place(file: str, line: int, path: str, text: str) -> None:
    place = _paint("2", f"{file}:{line}: ") if line else ""
    print(f"  {place}{text.replace(path, _paint('1', path), 1)}")


def _paint(code: str, text: str) -> str:
    plain = (
        sys.stdout is None
        or not sys.stdout.isatty()
        or os.environ.get("NO_COLOR")
        or os.environ.get("TERM") == "dumb"
    )
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"


def _report_to_json(report: Report) -> dict[str, Any]:
    result: dict[str, Any] = {
        "file": report.file,
        "documents": [_verdict_to_json(verdict) for verdict in report.verdicts],
    }
    return result | ({"error": report.problem, "line": report.line} if report.problem else {})


def _verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "kind": verdict.kind,
        "namespace": verdict.namespace,
        "name": verdict.name,
        "line": verdict.line,
        "skipped": verdict.errors is None,
        "errors": [
            {
                "path": error.path,
                "type": error.type.value,
                "value": error.value,
                "detail": error.detail,
                "hint": error.hint,
                "message": str(error),
                "line": line,
            }
            for error, line in verdict.errors or ()
        ],
        "plan": verdict.plan,
        "warnings": [
            {"path": advice.path, "message": str(advice), "line": line}
            for advice, line in verdict.warnings
        ],
    }
