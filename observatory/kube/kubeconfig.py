"""Kubeconfig files: found, read, merged and checked, with one clear line for each mistake.

The merge follows kubectl: the first file that names something wins, relative paths are relative to
the file that has them. What comes out is one cluster and one user, ready for the loader of the
`kubernetes` package, whose own messages name neither the file nor the remedy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import yaml

from observatory.api.fielderrors import quote
from observatory.api.names import LABEL_LENGTH
from observatory.api.text import shorten
from observatory.api.types import JsonObject
from observatory.kube.credentials import ConfigError

DEFAULT_PATH = "~/.kube/config"
MAX_BYTES = 4 * 1024 * 1024
MAX_VALUES = 100_000
"""Values of one file, aliases expanded: whatever prints one expands them."""
_NAMES_SHOWN = 10

_SECTIONS = ("clusters", "users", "contexts")
_PATHS = {
    "clusters": ("certificate-authority",),
    "users": ("client-certificate", "client-key", "tokenFile"),
    "contexts": (),
}
_ITEM = {"clusters": "cluster", "users": "user", "contexts": "context"}
_CREDENTIALS = re.compile(r"^([a-z0-9+.-]*://)?.*@", re.IGNORECASE | re.DOTALL)
"""The user and password of a URL, up to its last "@": a password may have others."""
_SECRETS = ("token", "tokenFile", "password", "client-key", "client-key-data", "exec")


@dataclass(frozen=True, slots=True)
class Selection:
    """One context of the merged files, resolved."""

    source: str
    context: str
    namespace: str
    cluster: JsonObject
    user: JsonObject

    def as_config(self) -> JsonObject:
        """A kubeconfig with this one context and without exec plugins, for the loader."""
        user = {key: value for key, value in self.user.items() if key != "exec"}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "this",
            "clusters": [{"name": "this", "cluster": self.cluster}],
            "users": [{"name": "this", "user": user}],
            "contexts": [{"name": "this", "context": {"cluster": "this", "user": "this"}}],
        }


def paths(explicit: str | None, environ: Mapping[str, str]) -> tuple[tuple[Path, ...], bool]:
    """The files to read, and whether they must exist: as kubectl, only an explicit one must."""
    if explicit is not None:
        return (_expanded(explicit),), True
    if listed := [part for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]:
        return tuple(map(_expanded, listed)), False
    return (_expanded(DEFAULT_PATH),), False


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{_the(path)}: whose home folder that is, is not known") from error


def select(files: tuple[Path, ...], context: str | None) -> Selection:
    """The named context of the files, or their current one.

    Raises `ConfigError` with the first thing that is wrong with what is selected.
    """
    source = os.pathsep.join(str(file) for file in files)
    merged = _merged(files)
    name = context if context is not None else merged["current-context"]
    if not name:
        raise ConfigError(
            f"{_the(source)}: current-context is not set; name one of {_names(merged, 'contexts')} "
            "with --context"
        )
    chosen = _named(merged, "contexts", name, source, "")
    where = f" (of context {quote(name)})"
    cluster = _named(merged, "clusters", chosen.get("cluster"), source, where)
    user = _named(merged, "users", chosen["user"], source, where) if chosen.get("user") else {}
    _check_cluster(cluster, user, f"{_the(source)}: cluster {quote(chosen['cluster'])}")
    return Selection(
        source=source,
        context=str(name),
        namespace=str(chosen.get("namespace") or "default"),
        cluster=cluster,
        user=user,
    )


def _the(source: str) -> str:
    return f"kubeconfig {source}"


def _merged(files: tuple[Path, ...]) -> JsonObject:
    merged: JsonObject = {"current-context": "", "clusters": {}, "users": {}, "contexts": {}}
    for file in files:
        document = _document(file)
        merged["current-context"] = merged["current-context"] or document.get("current-context")
        for section in _SECTIONS:
            for name, item in _items(document, section, file).items():
                merged[section].setdefault(name, item)
    return merged


def _document(file: Path) -> JsonObject:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{_the(str(file))}: {_reason(error)}") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{_the(str(file))}: longer than {MAX_BYTES} bytes")
    try:
        document = yaml.safe_load(content.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"{_the(str(file))}: not a text file") from error
    # What its constructors of numbers, times and so on raise is of any kind.
    except Exception as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or type(error).__name__
        raise ConfigError(f"{_the(str(file))}: not YAML: {problem}{line}") from error
    if document is None:
        raise ConfigError(f"{_the(str(file))}: the file is empty")
    if _size(document, {}) > MAX_VALUES:
        raise ConfigError(f"{_the(str(file))}: more than {MAX_VALUES} values, aliases expanded")
    if not isinstance(document, dict) or document.get("kind", "Config") != "Config":
        raise ConfigError(f"{_the(str(file))}: not a kubeconfig (it has to be of kind Config)")
    return document


def _size(value: object, known: dict[int, int]) -> int:
    """How many values there are, aliases expanded; too many where one is within itself."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = MAX_VALUES + 1
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(item, known) for item in inner)
    return known[id(value)]


def _reason(error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return "no such file"
        case IsADirectoryError():
            return "is a directory, not a file"
        case PermissionError():
            return "permission denied"
        case _:
            return error.strerror or str(error)


def _items(document: JsonObject, section: str, file: Path) -> dict[str, JsonObject]:
    entries = document.get(section) or []
    if not isinstance(entries, list):
        raise ConfigError(f"{_the(str(file))}: {section} has to be a list")
    items: dict[str, JsonObject] = {}
    for number, entry in enumerate(entries):
        item = entry.get(_ITEM[section]) if isinstance(entry, dict) else None
        if not isinstance(item, dict) or not isinstance(entry.get("name"), str):
            raise ConfigError(
                f"{_the(str(file))}: {section}[{number}] has to have a name and a {_ITEM[section]}"
            )
        items.setdefault(entry["name"], _absolute(item, section, file.parent))
    return items


def _absolute(item: JsonObject, section: str, base: Path) -> JsonObject:
    changed: JsonObject = {
        key: str(base / str(item[key])) for key in _PATHS[section] if item.get(key)
    }
    run = item.get("exec")
    if section == "users" and isinstance(run, dict):
        command = str(run.get("command") or "")
        if "/" in command:
            changed["exec"] = {**run, "command": str(base / command)}
    return {**item, **changed}


def _names(merged: JsonObject, section: str) -> str:
    names = sorted(merged[section])
    more = len(names) - _NAMES_SHOWN
    shown = [shorten(name, LABEL_LENGTH) for name in names[:_NAMES_SHOWN]]
    return ", ".join([*shown, f"and {more} more"] if more > 0 else shown) or "none"


def _named(merged: JsonObject, section: str, name: object, source: str, where: str) -> JsonObject:
    item: JsonObject | None = merged[section].get(name) if isinstance(name, str) else None
    if item is None:
        what = f"{_ITEM[section]} {quote(name)}{where} not found" if name else f"no cluster{where}"
        raise ConfigError(f"{_the(source)}: {what} (have: {_names(merged, section)})")
    return item


def _check_cluster(cluster: JsonObject, user: JsonObject, what: str) -> None:
    url = _url(cluster, "server", ("http", "https"), what)
    if url.username is not None:
        raise ConfigError(f"{what}: server has credentials in its URL; they belong to the user")
    if cluster.get("insecure-skip-tls-verify"):
        raise ConfigError(
            f"{what}: insecure-skip-tls-verify is refused: anyone on the way could read the "
            "credentials; set certificate-authority-data instead"
        )
    if url.scheme == "http" and any(user.get(key) for key in _SECRETS):
        raise ConfigError(f"{what}: {url.geturl()} is not encrypted, but the user has credentials")
    if cluster.get("proxy-url"):
        _url(cluster, "proxy-url", ("http",), what)


def _url(cluster: JsonObject, field: str, schemes: tuple[str, ...], what: str) -> SplitResult:
    text = str(cluster.get(field) or "")
    try:
        url = urlsplit(text)
        if url.scheme in schemes and url.hostname and url.port != 0:
            return url
    except ValueError:
        pass  # its text quotes what it took for a port, which may be a password
    kind = "http(s)" if "https" in schemes else "http"
    shown = _CREDENTIALS.sub(r"\1", text)
    raise ConfigError(f'{what}: {field} "{shown}" is not an {kind} URL with a port up to 65535')
