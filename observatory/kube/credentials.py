"""Who this process is to the API server, and how it knows the server: tokens and certificates.

Everything is read again once a minute, because everything rotates: service account tokens, client
certificates, the CA, what `kubectl login` commands write. A failed reading keeps what worked
before, unless the server has refused that. Usable from any thread.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

REREAD_SECONDS = 50.0
"""client-go's minute for token files, less ten seconds of leeway."""


class ConfigError(Exception):
    """The configuration cannot be used. The text is one line: the file, the fact, the remedy."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a reading found: the header's value and the files of the certificates.

    `names` says what files are called that only were written because ssl reads nothing else.
    `expires_in` are the seconds after which to read again, when that is sooner than usual.
    """

    authorization: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    names: Mapping[str | None, str] = field(default_factory=dict)
    expires_in: float | None = None

    def name_of(self, file: str | None) -> str:
        """What people call the file: its path, or the field whose content it has."""
        return self.names.get(file, str(file))


@dataclass(frozen=True, slots=True)
class Credential:
    """What one request uses."""

    authorization: str | None = field(repr=False)
    """The value of the Authorization header."""
    tls: ssl.SSLContext | None
    """None for plain http."""


class Source(Protocol):
    """Where material comes from."""

    def read(self, *, renew: bool) -> Material:
        """Read it all; may block. `renew`: what was issued before is refused or has expired.

        Raises `ConfigError`.
        """


class Credentials:
    """The current credential of one cluster, read again when it is old or was refused."""

    def __init__(self, source: Source, monotonic: Callable[[], float], *, tls: bool) -> None:
        self._source = source
        self._monotonic = monotonic
        self._tls = _TlsContexts() if tls else None
        self._lock = threading.Lock()
        self._credential: Credential | None = None
        self._fresh_until = float("-inf")
        self._rejected = False

    def current(self) -> Credential | None:
        """The credential, or None when it has to be loaded first; never blocks."""
        credential, until = self._credential, self._fresh_until
        return credential if credential is not None and self._monotonic() < until else None

    def load(self) -> Credential:
        """The credential, read again if need be: files, and a plugin that may take its time.

        Raises `ConfigError` when there is none.
        """
        with self._lock:
            credential = self.current()
            if credential is not None:  # another thread has loaded it meanwhile
                return credential
            try:
                material = self._read()
                tls = self._tls.context(material) if self._tls else None
            except ConfigError:
                if self._credential is None or self._rejected:
                    raise
                self._fresh_until = self._monotonic() + REREAD_SECONDS
                return self._credential
            self._credential = Credential(material.authorization, tls)
            self._rejected = False
            lifetime = REREAD_SECONDS
            if material.expires_in is not None:
                lifetime = min(lifetime, max(material.expires_in, 1.0))
            self._fresh_until = self._monotonic() + lifetime
            return self._credential

    def _read(self) -> Material:
        try:
            return self._source.read(renew=self._rejected)
        except ConfigError:
            raise
        # People and plugins write what nobody has thought of; it must not end a watch in mid-run.
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(f"the credentials cannot be read: {text}") from error

    def reject(self, credential: Credential) -> None:
        """Tell that the server answered 401 to this credential; a newer one is not harmed."""
        with self._lock:
            if self._credential is credential:
                self._rejected = True
                self._fresh_until = float("-inf")


class _TlsContexts:
    """The TLS context of the material; the same object as long as the files say the same."""

    def __init__(self) -> None:
        self._content: tuple[bytes, ...] = ()
        self._context: ssl.SSLContext | None = None

    def context(self, material: Material) -> ssl.SSLContext:
        files = (material.ca_file, material.cert_file, material.key_file)
        content = tuple(_content(file) for file in files)
        if self._context is None or content != self._content:
            self._context = _context(material)
            self._content = content
        return self._context


def _content(file: str | None) -> bytes:
    if file is None:
        return b""
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error


def _context(material: Material) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=material.ca_file)
    except (ssl.SSLError, ValueError, OSError) as error:
        where = material.name_of(material.ca_file)
        raise ConfigError(f"{where}: not a PEM CA certificate ({error})") from error
    if material.cert_file is not None:
        try:
            context.load_cert_chain(material.cert_file, material.key_file)
        except (ssl.SSLError, ValueError, OSError) as error:
            where = ", ".join(map(material.name_of, (material.cert_file, material.key_file)))
            raise ConfigError(
                f"{where}: not a PEM client certificate and its unencrypted key ({error})"
            ) from error
    return context


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """How to reach one cluster."""

    server: str
    """The URL, without a slash at its end; it may have a path."""
    credentials: Credentials
    namespace: str = "default"
    """The namespace of the context, or of this Pod."""
    proxy: str | None = field(default=None, repr=False)
    """The URL of an http proxy; it may have a user and password."""
    tls_server_name: str | None = None
    source: str = ""
    """Where this was found, for messages."""

    @property
    def host(self) -> str:
        """Host and port, as in metrics."""
        return urlsplit(self.server).netloc.rpartition("@")[2]
