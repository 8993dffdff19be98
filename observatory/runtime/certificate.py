"""The certificates of our servers: from files that may be rotated, or made in memory."""

from __future__ import annotations

import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = timedelta(days=365)
_NAME = "localhost"


class CertificateError(Exception):
    """The certificate cannot be used; one line."""


class ServerCertificate:
    """The TLS context of a server, which follows its files.

    A new pair of files serves the connections that come after `reload`; a broken pair, as it is
    there for a moment while a Secret is updated, changes nothing.
    """

    def __init__(self, certificate: Path, key: Path, *, http2: bool) -> None:
        self._certificate = certificate
        self._key = key
        self.context = server_context(http2=http2)
        self._content = self._read()
        self._load()

    def reload(self) -> bool:
        """Load the files if they have changed, and tell whether they had.

        Raises `CertificateError`.
        """
        content = self._read()
        if content == self._content:
            return False
        # A pair that does not fit together must not take the place of one that works.
        ServerCertificate(self._certificate, self._key, http2=False)
        self._load()
        self._content = content
        return True

    def _read(self) -> tuple[bytes, bytes]:
        try:
            return self._certificate.read_bytes(), self._key.read_bytes()
        except OSError as error:
            raise CertificateError(f"{error.filename}: {error.strerror}") from error

    def _load(self) -> None:
        try:
            self.context.load_cert_chain(self._certificate, self._key)
        except (ssl.SSLError, ValueError) as error:
            raise CertificateError(
                f"{self._certificate}, {self._key}: not a PEM certificate and its unencrypted key "
                f"({error})"
            ) from error


@dataclass(frozen=True, slots=True)
class OwnPair:
    """A key that was made here and never leaves, and the certificate that it has signed itself."""

    names: tuple[str, ...]
    certificate: bytes
    not_before: datetime
    not_after: datetime
    _key: bytes = field(repr=False)

    def load_into(self, context: ssl.SSLContext, scratch: Path | None = None) -> None:
        """Have the context's coming connections served with it.

        `scratch` is a folder for a temporary file; without it, memory is used where the system can.
        Raises `CertificateError`.
        """
        try:
            # ssl reads keys from files only.
            with _as_file(self._key + self.certificate, scratch) as file:
                context.load_cert_chain(file)
        except OSError as error:
            raise CertificateError(
                f"cannot write a self-signed certificate into a temporary file ({error}); mount a "
                "folder at /tmp, or give a certificate (--metrics-cert-path, --webhook-cert-path)"
            ) from error


def own_pair(names: Iterable[str], common_name: str, now: datetime, valid: timedelta) -> OwnPair:
    """A new key and certificate for these hosts, from an hour ago: clocks differ."""
    names = tuple(names)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    before = now.replace(microsecond=0) - timedelta(hours=1)
    after = now.replace(microsecond=0) + valid
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(before)
        .not_valid_after(after)
        .add_extension(x509.SubjectAlternativeName(map(_general_name, names)), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    return OwnPair(names, public, before, after, private)


def self_signed(now: datetime, *, http2: bool, scratch: Path | None = None) -> ssl.SSLContext:
    """A context with a certificate for localhost that nobody has a reason to trust.

    It hides what is read from those who listen, as controller-runtime's does; who answers is not
    proven. For that, give the endpoint a certificate. Raises `CertificateError`.
    """
    context = server_context(http2=http2)
    own_pair((_NAME, "127.0.0.1"), _NAME, now, VALID).load_into(context, scratch)
    return context


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@contextmanager
def _as_file(content: bytes, scratch: Path | None) -> Iterator[str]:
    """The path of a file with that content, for this process or at least for this user alone."""
    if scratch is None and hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        with os.fdopen(os.memfd_create("pair"), "wb") as memory:
            memory.write(content)
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}"
        return
    with tempfile.TemporaryDirectory(prefix="observatory-", dir=scratch) as folder:
        file = Path(folder) / "pair.pem"
        file.touch(mode=0o600)
        file.write_bytes(content)
        yield str(file)


def server_context(*, http2: bool) -> ssl.SSLContext:
    """A context for a server, without a certificate so far; TLS 1.2 at the least."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    return context
