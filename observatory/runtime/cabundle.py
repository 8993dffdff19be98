"""A `caBundle` that several replicas write: each adds its certificate and leaves the others'.

It is base64 of PEM certificates. Whoever it lets in the API server speaks to, so nothing stays in
it for longer than it is valid.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

COMMON_NAME = "observatory-operator webhook"
"""The subject of our own certificates; others in the bundle are somebody's who had a reason."""
MOST_OWN = 32
"""Certificates of ours, the newest. A replica that crashes again and again must not fill etcd."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def merged(bundle: str | None, mine: Iterable[bytes], now: datetime) -> str:
    """The bundle with these PEM certificates, without what has expired or cannot be read."""
    found = {_identity(each): each for each in _read(_decoded(bundle)) if _lasts(each, now)}
    required = {_identity(each): each for each in _read(b"\n".join(mine))}
    ours = [each for each in found.values() if _is_ours(each) and _identity(each) not in required]
    ours.sort(key=lambda each: each.not_valid_before_utc)
    for surplus in ours[: max(len(ours) + len(required) - MOST_OWN, 0)]:
        del found[_identity(surplus)]
    pem = b"".join(each.public_bytes(Encoding.PEM) for each in {**found, **required}.values())
    return b64encode(pem).decode()


def _decoded(bundle: object) -> bytes:
    try:
        return b64decode(bundle) if isinstance(bundle, str) else b""
    except ValueError:
        return b""


def _read(pem: bytes) -> Iterable[x509.Certificate]:
    for block in _PEM.findall(pem):
        try:
            yield x509.load_pem_x509_certificate(block)
        except ValueError:
            continue


def _identity(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _lasts(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_after_utc > now


def _is_ours(certificate: x509.Certificate) -> bool:
    try:
        return certificate.subject.rfc4514_string() == f"CN={COMMON_NAME}"
    except ValueError:
        return False
