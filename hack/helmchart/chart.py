"""The files of the chart, by their path in it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from .groups import GROUPS, condition, group_of
from .names import of_release
from .tokens import Object, bare, fields_when, to_yaml, value
from .variants import Key, key
from .workload import SECURE, defaults, with_values

NO_CONDITIONS: Mapping[Key, str] = MappingProxyType({})
STATIC = Path(__file__).resolve().parent / "static"

_KEEP = {"helm.sh/resource-policy": "keep"}
_WATCHED = ("manager-role", "manager-rolebinding")
"""What the operator may do to what it watches: in namespaced mode, once in each namespace."""
_CHECK = '{{- include "observatory-operator.check" $ }}'
_SWITCHED = {group.switch for group in GROUPS} - {None}


def chart(
    always: Iterable[Object],
    if_wanted: Iterable[Object],
    version: str,
    conditions: Mapping[Key, str] = NO_CONDITIONS,
) -> dict[str, str]:
    """The chart of what is installed unless values say otherwise, and of what is only if they do.

    Args:
        always: What `manifests/default` renders.
        if_wanted: What the other folders render.
        version: That of the project.
        conditions: More of them, for some objects: see `variants.merged`.
    """
    always, if_wanted = list(always), list(if_wanted)
    files = {
        f"templates/{name}": text
        for document in (*always, *if_wanted)
        if document["kind"] != "Namespace"  # it is the release's; Helm makes it with a flag
        for name, text in [_template(copy.deepcopy(document), conditions)]
    }
    switches = {
        switch: documents is always and not _added(document, conditions)
        for documents in (if_wanted, always)
        for document in documents
        if (switch := group_of(document).switch)
    }
    (deployment,) = (each for each in always if each["kind"] == "Deployment")
    words = {**defaults(deployment), "version": version}
    for path in sorted(path for path in STATIC.rglob("*") if path.is_file()):
        files[path.relative_to(STATIC).as_posix()] = path.read_text(encoding="utf-8")
    files["Chart.yaml"] = _filled(files["Chart.yaml"], words)
    files["values.yaml"] = _values(files["values.yaml"], words, switches)
    files["values.schema.json"] = _schema(files["values.schema.json"], switches)
    return dict(sorted(files.items()))


def _added(document: Object, conditions: Mapping[Key, str]) -> bool:
    return not conditions.get(key(document), "not ").startswith("not ")


def _template(document: Object, conditions: Mapping[Key, str]) -> tuple[str, str]:
    """The path below `templates`, and the text."""
    name = document["metadata"]["name"].removeprefix("observatory-operator-").replace(".", "-")
    path = f"{group_of(document).folder}/{name}-{document['kind'].lower()}.yaml"
    more = conditions.get(key(document))
    when = condition(document, *([more] if more else []))
    document = of_release(document)
    kind = document["kind"]
    if kind == "CustomResourceDefinition":
        annotations = document["metadata"].setdefault("annotations", {})
        annotations |= fields_when("$.Values.crd.keep", _KEEP)
    elif kind == "Deployment":
        document = with_values(document)
    elif kind == "ServiceMonitor":
        _plain_if_wanted(document)
    text = to_yaml(document)
    if name in _WATCHED:
        return path, (
            f"{{{{- if {when} }}}}\n{text}{{{{- else }}}}\n{_CHECK}\n"
            f"{{{{- range $.Values.watchNamespaces }}}}\n---\n{_in_each_namespace(document)}"
            "{{- end }}\n{{- end }}\n"
        )
    return path, f"{{{{- if {when} }}}}\n{text}{{{{- end }}}}\n" if when else text


def _in_each_namespace(document: Object) -> str:
    """A ClusterRole as a Role, its binding as a RoleBinding, in the namespace of the round."""
    kind = document["kind"].removeprefix("Cluster")
    document = {**document, "kind": kind, "metadata": {**document["metadata"]}}
    document["metadata"]["namespace"] = value(".")
    if "roleRef" in document:
        document["roleRef"] = {**document["roleRef"], "kind": "Role"}
    return to_yaml(document)


def _plain_if_wanted(monitor: Object) -> None:
    for endpoint in monitor["spec"]["endpoints"]:
        endpoint["scheme"] = bare(f'ternary "https" "http" ({SECURE})')


def _values(text: str, words: dict[str, Any], switches: dict[str, bool]) -> str:
    """The values: paragraphs, of which those are left out whose switch turns nothing on."""
    kept = []
    for paragraph in text.split("\n\n"):
        keys = [line.partition(":")[0] for line in paragraph.splitlines() if line[:1].isalpha()]
        if not set(keys) & _SWITCHED - switches.keys():
            kept.append(paragraph)
    filled = _filled("\n\n".join(kept), {**words, **switches})
    return filled.rstrip() + "\n"


def _filled(text: str, words: dict[str, Any]) -> str:
    """The text with `@name@` replaced by YAML."""

    def replacement(found: re.Match[str]) -> str:
        word = words[found[2]]
        if isinstance(word, dict):
            lines = yaml.safe_dump(word, sort_keys=False).splitlines()
            return "".join(f"\n  {line}" for line in lines)
        return f" {json.dumps(word)}"

    return re.sub(r"( )@(\w+)@", replacement, text)


def _schema(text: str, switches: dict[str, bool]) -> str:
    schema = json.loads(text)
    for switch in _SWITCHED - switches.keys():
        schema["properties"].pop(switch, None)
    return json.dumps(schema, indent=2) + "\n"
