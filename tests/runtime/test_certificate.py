from __future__ import annotations

import contextlib
import shutil
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from observatory.runtime.certificate import CertificateError, ServerCertificate, self_signed
from tests.kube.certificates import Authority


def shake_hands(server: ssl.SSLContext, authority: Authority) -> None:
    """Shake hands in memory; raises unless the server's certificate is of this authority."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.create_default_context(cafile=str(authority.ca))
    ends = [
        trusting.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    assert ends[0].version() is not None


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
    shutil.copy(second.issue("localhost").certificate, served_folder / "tls.crt")  # key: the first
    with pytest.raises(CertificateError, match="not a PEM certificate"):
        made.reload()
    shake_hands(made.context, first)
    install(second)
    assert made.reload()
    assert not made.reload()
    shake_hands(made.context, second)


def test_a_certificate_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(CertificateError, match=r"gone.*mount a folder at /tmp") as failure:
        self_signed(now, http2=False, scratch=tmp_path / "gone")
    assert "\n" not in str(failure.value)
    self_signed(now, http2=False, scratch=tmp_path)
    assert not list(tmp_path.iterdir())


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
