"""What a request asks for: verb, resource and name, as RBAC and the audit log call them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

READS = frozenset({"get", "list", "watch"})
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the API server. `initial` is a watch that begins with a list."""

    verb: str
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    initial: bool = False

    @property
    def writes(self) -> bool:
        """Whether it may change anything."""
        return self.verb not in READS

    @property
    def counts(self) -> bool:
        """Whether it is one of the writes that a run consists of: no lease, no Event."""
        return self.writes and self.resource not in {"leases", "events"}

    def __str__(self) -> str:
        target = "/".join(part for part in (self.resource, self.subresource) if part)
        return " ".join(part for part in (self.verb, target, self.name) if part)


def classify(method: str, target: str) -> Call:
    """The call that a request line makes."""
    url = urlsplit(target)
    query = parse_qs(url.query)
    parts = [part for part in url.path.split("/") if part]
    rest = parts[2:] if parts[:1] == ["api"] else parts[3:] if parts[:1] == ["apis"] else []
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    resource, name, subresource = (*rest[:3], "", "", "")[:3]
    watches = query.get("watch") in (["true"], ["1"])
    read = "watch" if watches else "get" if name or not resource else "list"
    initial = query.get("sendInitialEvents") == ["true"]
    return Call(_VERBS.get(method, read), resource, subresource, namespace, name, initial)
