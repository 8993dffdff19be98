from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from observatory.runtime.certificate import CertificateError, ServerCertificate
from tests.kube.certificates import Authority


def test_a_new_certificate_is_served_and_a_broken_one_is_not(
    tmp_path: Path,
) -> None:
    served_folder = tmp_path / "served"
    served_folder.mkdir()
    first, second = Authority(_made(tmp_path / "a")), Authority(_made(tmp_path / "b"))

    def install(authority: Authority) -> None:
        pair = authority.issue("localhost")
        shutil.copy(pair.certificate, served_folder / "tls.crt")
        shutil.copy(pair.key, served_folder / "tls.key")

    install(first)
    made = ServerCertificate(served_folder / "tls.crt", served_folder / "tls.key", http2=False)
    assert not made.reload()
    (served_folder / "tls.key").write_text("half of it")
    with pytest.raises(CertificateError, match="not a PEM certificate"):
        made.reload()
    install(second)
    assert made.reload()
    assert not made.reload()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
