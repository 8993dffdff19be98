"""`observatory version`: what runs here, for a report of what went wrong."""

from __future__ import annotations

import argparse
import json
import os

from observatory.telemetry.build import build

KUBERNETES = "1.32"
"""The oldest that it works with: the definition has selectable fields."""

_EPILOG = """\
examples:
  observatory version
  observatory version -o json | jq -r .revision
  kubectl exec -n observatory-operator-system \\
    deploy/observatory-operator-controller-manager -- observatory version
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add the parser of the command."""
    parser = subparsers.add_parser(
        name,
        help="say which version this is",
        description="Says which version this is, of which sources, and what it works with.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    """Print it."""
    told = build(os.environ)
    if options.output == "json":
        print(json.dumps({**told, "kubernetes": f">={KUBERNETES}"}, indent=2))
        return 0
    print(f"observatory {told['version']}")
    print(f"revision    {told['revision']}")
    print(f"Python      {told['python_version']}")
    print(f"Kubernetes  {KUBERNETES} or newer")
    return 0
