"""Keys and certificates, all there are: `python -m localcluster.pki FOLDER ADDRESS...` writes them.

A certificate authority, the API server's certificate for the addresses, the API server's client
certificate for kubelets, and the key that signs the tokens of service accounts. Everybody else
shows a token. It is a program of its own because `cryptography` may be at home in another
interpreter (`venv`).
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

_LIFE = dt.timedelta(days=3650)
_SERVICE_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


def _subject(name: str, group: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if group:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(attributes)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _LIFE)
    )


class Authority:
    """A certificate authority that writes what it issues into one folder."""

    def __init__(self, folder: Path) -> None:
        """Make the authority and write its own certificate."""
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject("observatory-cluster-ca")
        draft = _draft(self._name, self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self._sign(draft, "ca", self._key)

    def issue(
        self, file: str, subject: x509.Name, usage: ObjectIdentifier, addresses: list[str]
    ) -> None:
        """Write `file`.crt and `file`.key for the subject."""
        key = ec.generate_private_key(ec.SECP256R1())
        draft = _draft(subject, self._name, key).add_extension(
            x509.ExtendedKeyUsage([usage]), critical=False
        )
        if addresses:
            names: list[x509.GeneralName] = [x509.DNSName(name) for name in _SERVICE_NAMES]
            names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
            draft = draft.add_extension(x509.SubjectAlternativeName(names), critical=False)
        self._sign(draft, file, key)

    def _sign(
        self, draft: x509.CertificateBuilder, file: str, key: ec.EllipticCurvePrivateKey
    ) -> None:
        certificate = draft.sign(self._key, hashes.SHA256())
        _write_key(self._folder / f"{file}.key", key)
        (self._folder / f"{file}.crt").write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
        )


def write(folder: Path, addresses: list[str]) -> None:
    """Write everything into the folder; the API server is reached at the addresses."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = Authority(folder)
    authority.issue(
        "apiserver", _subject("kube-apiserver"), ExtendedKeyUsageOID.SERVER_AUTH, addresses
    )
    authority.issue(
        "kubelet-client",
        _subject("kube-apiserver-kubelet-client", "system:masters"),
        ExtendedKeyUsageOID.CLIENT_AUTH,
        [],
    )
    _write_key(folder / "service-accounts.key", ec.generate_private_key(ec.SECP256R1()))


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2:])
