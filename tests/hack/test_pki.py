from __future__ import annotations

import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID
from localcluster import pki


def test_the_authority_vouches_for_every_certificate(tmp_path: Path) -> None:
    pki.write(tmp_path, ["127.0.0.1"])
    authority = x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes())
    for name in ("apiserver", "kubelet-client"):
        certificate = x509.load_pem_x509_certificate((tmp_path / f"{name}.crt").read_bytes())
        certificate.verify_directly_issued_by(authority)


def test_the_api_server_is_known_by_its_addresses_and_service_names(tmp_path: Path) -> None:
    pki.write(tmp_path, ["127.0.0.1", "10.96.0.1"])
    certificate = x509.load_pem_x509_certificate((tmp_path / "apiserver.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = [ipaddress.ip_address(text) for text in ("127.0.0.1", "10.96.0.1")]
    assert names.get_values_for_type(x509.IPAddress) == addresses
    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)


def test_kubelets_obey_the_api_server(tmp_path: Path) -> None:
    pki.write(tmp_path, [])
    certificate = x509.load_pem_x509_certificate((tmp_path / "kubelet-client.crt").read_bytes())
    [group] = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert group.value == "system:masters"


def test_only_the_owner_may_read_keys(tmp_path: Path) -> None:
    pki.write(tmp_path, [])
    keys = sorted(tmp_path.glob("*.key"))
    assert len(keys) == 4
    assert all(key.stat().st_mode & 0o077 == 0 for key in keys)
