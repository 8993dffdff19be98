"""The certificate of the metrics endpoint: from files that may be rotated, or made in memory."""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
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
        self.context = _context(http2=http2)
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


def self_signed(now: datetime, *, http2: bool, scratch: Path | None = None) -> ssl.SSLContext:
    """A context with a certificate for localhost that nobody has a reason to trust.

    It hides what is read from those who listen, as controller-runtime's does; who answers is not
    proven. For that, give the endpoint a certificate. `scratch` is the folder for temporary files,
    if not the system's. Raises `CertificateError` if nothing can be written there.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    names = [x509.DNSName(_NAME), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pair = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    context = _context(http2=http2)
    try:
        # ssl reads keys from files only: this one is there for a moment, for this user alone.
        with tempfile.TemporaryDirectory(prefix="observatory-", dir=scratch) as folder:
            file = Path(folder) / "pair.pem"
            file.touch(mode=0o600)
            file.write_bytes(pair)
            context.load_cert_chain(file)
    except OSError as error:
        raise CertificateError(
            f"cannot write a self-signed certificate into a temporary file ({error}); mount a "
            "folder at /tmp, or give a certificate with --metrics-cert-path"
        ) from error
    return context


def _context(*, http2: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    return context
