"""The syntax of container image references.

After the grammar of github.com/distribution/reference, which kubelets and registries use:
`[domain/]path[:tag][@algorithm:digest]`.
"""

from __future__ import annotations

import re

_PATH_LENGTH = 255
_DOMAIN = re.compile(
    r"([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
    r"(\.([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*(:[0-9]+)?\Z"
)
_IPV6_DOMAIN = re.compile(r"\[[a-fA-F0-9:]+\](:[0-9]+)?\Z")
_PATH_PART = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_DIGEST = re.compile(
    r"[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}\Z",
)
_DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_BARE_ID = re.compile(r"[a-f0-9]{64}\Z")


def image_problem(image: str) -> str | None:
    """What is wrong with the reference, or None."""
    if image != image.strip():
        return "must not have leading or trailing whitespace"
    name, at, digest = image.partition("@")
    if at and not _is_digest(digest):
        return (
            "invalid reference format: the part after '@' must be a digest (e.g. 'sha256:' and 64 "
            "hexadecimal digits)"
        )
    slash = name.rfind("/")
    colon = name.find(":", slash + 1)
    if colon >= 0:
        name, tag = name[:colon], name[colon + 1 :]
        if not _TAG.match(tag):
            return (
                "invalid reference format: the tag after ':' must be at most 128 letters, digits, "
                "'_', '.' and '-', and not begin with '.' or '-'"
            )
    return _name_problem(name)


def is_floating(image: str) -> bool:
    """Whether a valid reference may name another image tomorrow: `latest`, with or without a word.

    Other tags can move as well, but that is not what they are for.
    """
    if "@" in image:
        return False
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return not colon or tag == "latest"


def _is_digest(digest: str) -> bool:
    algorithm, _, encoded = digest.partition(":")
    length = _DIGEST_LENGTHS.get(algorithm, len(encoded))
    return bool(_DIGEST.match(digest)) and len(encoded) == length


def _name_problem(name: str) -> str | None:
    domain, path = _split(name)
    if domain and not (_DOMAIN.match(domain) or _IPV6_DOMAIN.match(domain)):
        return "invalid reference format: the registry must be a host name, with or without a port"
    if path != path.lower():
        return "invalid reference format: repository name must be lowercase"
    if not all(_PATH_PART.match(part) for part in path.split("/")):
        return (
            "invalid reference format: the repository must consist of lower case letters and "
            "digits, separated by '/', '.', '_' or '-' (e.g. 'busybox:1.36')"
        )
    if len(path) > _PATH_LENGTH:
        return f"invalid reference format: repository name is longer than {_PATH_LENGTH} characters"
    if not domain and _BARE_ID.match(path):
        return "invalid reference format: 64 hexadecimal digits are an image ID, not a name"
    return None


def _split(name: str) -> tuple[str, str]:
    """The registry, if the name begins with one, and the rest."""
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        return first, rest
    return "", name
