"""Where the API server is and who we are to it: a kubeconfig or the Pod that this runs in.

The `kubernetes` package reads certificates, tokens, passwords and identity providers; its import
takes a second, so it happens where it is needed. HTTP, and what it does when it fails, are not its.
"""

from __future__ import annotations

import base64
import binascii
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from observatory.kube import kubeconfig
from observatory.kube.credentials import ClusterConfig, ConfigError, Credentials, Material
from observatory.kube.execplugin import ExecCredential, ExecPlugin

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes mounts the token, CA and namespace of a Pod."""


class Clock(Protocol):
    """The part of `runtime/clock.py` that credentials need."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""


def load(
    path: str | None,
    context: str | None,
    clock: Clock,
    *,
    environ: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
) -> ClusterConfig:
    """The cluster of the kubeconfig at `path`, or else of $KUBECONFIG, this Pod, ~/.kube/config.

    Nothing is sent to the cluster, but the credentials are read and exec plugins run once, so
    that what is wrong is known at once. Raises `ConfigError`.
    """
    in_pod = bool(environ.get("KUBERNETES_SERVICE_HOST"))
    if path is None and context is None and in_pod and not environ.get("KUBECONFIG"):
        return _in_cluster(clock, environ, service_account)
    files, explicit = kubeconfig.paths(path, environ)
    if not explicit:
        existing = tuple(file for file in files if os.path.lexists(file))
        if not existing:
            missing = os.pathsep.join(map(str, files))
            raise ConfigError(
                f"no cluster is configured: {missing} does not exist and this is no Pod; "
                "give one with --kubeconfig"
            )
        files = existing
    return _from_kubeconfig(files, context, clock)


def _from_kubeconfig(files: tuple[Path, ...], context: str | None, clock: Clock) -> ClusterConfig:
    chosen = kubeconfig.select(files, context)
    server = str(chosen.cluster["server"]).rstrip("/")
    source = _KubeconfigSource(files, chosen.context, clock.now)
    credentials = Credentials(source, clock.monotonic, tls=server.startswith("https:"))
    credentials.load()
    return ClusterConfig(
        server=server,
        credentials=credentials,
        namespace=chosen.namespace,
        proxy=chosen.cluster.get("proxy-url") or None,
        tls_server_name=str(chosen.cluster.get("tls-server-name") or "") or None,
        source=f'kubeconfig {chosen.source}, context "{chosen.context}"',
    )


class _KubeconfigSource:
    """Reads the files anew each time: commands that log a user in write new tokens into them."""

    def __init__(self, files: tuple[Path, ...], context: str, now: Callable[[], datetime]) -> None:
        self._files = files
        self._context = context
        self._plugin = ExecPlugin(now)
        self._certificate = _PluginCertificate()

    def read(self, *, renew: bool) -> Material:
        chosen = kubeconfig.select(self._files, self._context)
        what = f"kubeconfig {chosen.source}"
        _check_data(chosen, what)
        loaded = _loaded(chosen, what)
        token = loaded.api_key.get("BearerToken")
        run = chosen.user.get("exec")
        expires_in = None
        names = _names(chosen, loaded, what)
        if isinstance(run, dict) and not token:
            try:
                answer = self._plugin.credential(run, chosen.cluster, renew=renew)
            except ConfigError as error:
                raise ConfigError(f"{what}: {error}") from error
            token = f"Bearer {answer.token}" if answer.token else None
            expires_in = self._plugin.expires_in(answer)
            if answer.certificate:
                loaded.cert_file, loaded.key_file = self._certificate.files(answer)
                names[loaded.cert_file] = f"{what}: clientCertificateData of its exec plugin"
                names[loaded.key_file] = "clientKeyData"
        return Material(
            authorization=_header(token, what),
            ca_file=loaded.ssl_ca_cert,
            cert_file=loaded.cert_file,
            key_file=loaded.key_file,
            names=names,
            expires_in=expires_in,
        )


def _check_data(chosen: kubeconfig.Selection, what: str) -> None:
    """Refuse what the loader would fall over: its messages do not name the field."""
    of_cluster, of_user = ("certificate-authority",), ("client-certificate", "client-key")
    for item, fields in ((chosen.cluster, of_cluster), (chosen.user, of_user)):
        for field in fields:
            if data := item.get(f"{field}-data"):
                try:
                    base64.b64decode(data, validate=True)
                except (binascii.Error, TypeError, ValueError) as error:
                    raise ConfigError(f"{what}: {field}-data is not base64") from error
            elif (file := item.get(field)) and not os.path.isfile(file):  # noqa: PTH113 -- Path.is_file may raise
                raise ConfigError(f"{what}: {field}: {file}: no such file")
    certificate, key = (
        bool(chosen.user.get(field) or chosen.user.get(f"{field}-data")) for field in of_user
    )
    if certificate != key:
        raise ConfigError(f"{what}: client-certificate and client-key have to come together")


def _names(chosen: kubeconfig.Selection, loaded: Any, what: str) -> dict[str | None, str]:  # noqa: ANN401 -- it has no types
    """What the files are called that the loader has written for fields of the kubeconfig."""
    written = (
        (chosen.cluster, "certificate-authority-data", loaded.ssl_ca_cert, f"{what}: "),
        (chosen.user, "client-certificate-data", loaded.cert_file, f"{what}: "),
        (chosen.user, "client-key-data", loaded.key_file, ""),  # named after its certificate
    )
    # The same text twice is written to one file: it is called by its first field.
    named = [(file, f"{prefix}{field}") for item, field, file, prefix in written if item.get(field)]
    return dict(reversed(named))


def _loaded(chosen: kubeconfig.Selection, what: str) -> Any:  # noqa: ANN401 -- it has no types
    from kubernetes import client, config  # noqa: PLC0415 -- takes a second

    load_dict: Any = config.load_kube_config_from_dict
    configuration = client.Configuration()
    try:
        load_dict(chosen.as_config(), client_configuration=configuration, persist_config=False)
    except OSError as error:
        raise ConfigError(f"{what}: {error.filename}: {error.strerror}") from error
    # An identity provider's plugin may raise anything, up to what its HTTP library raises.
    except Exception as error:
        text = " ".join(str(error).split())
        raise ConfigError(f"{what}: the user cannot be used: {text}") from error
    return configuration


def _header(token: str | None, what: str) -> str | None:
    """The Authorization header, without the newline that token files end with."""
    if token is None:
        return None
    scheme, _, secret = token.strip().partition(" ")
    secret = secret.strip()
    if not secret:
        raise ConfigError(f"{what}: the token is empty")
    if not (secret.isascii() and secret.isprintable()):
        raise ConfigError(f"{what}: the token has characters that no token has")
    return f"{'Bearer' if scheme == 'bearer' else scheme} {secret}"


class _PluginCertificate:
    """The files of a plugin's certificate: ssl reads certificates from files only."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def files(self, answer: ExecCredential) -> tuple[str, str]:
        if self._folder is None:
            # Readable by this user only, and removed when the process ends.
            self._folder = Path(tempfile.mkdtemp(prefix="observatory-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        folder = self._folder
        certificate, key = folder / "tls.crt", folder / "tls.key"
        certificate.write_text(answer.certificate or "")
        key.write_text(answer.key or "")
        return str(certificate), str(key)


def _in_cluster(clock: Clock, environ: Mapping[str, str], folder: Path) -> ClusterConfig:
    source = _InClusterSource(environ, folder)
    credentials = Credentials(source, clock.monotonic, tls=True)
    credentials.load()
    try:
        namespace = (folder / "namespace").read_text().strip()
    except OSError:
        namespace = ""
    return ClusterConfig(
        server=source.server,
        credentials=credentials,
        namespace=namespace or "default",
        source=f"the service account of this Pod ({folder})",
    )


class _InClusterSource:
    """The service account of the Pod; its token is rotated, and its CA may be."""

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        self._environ = environ
        self._folder = folder
        self.server = ""

    def read(self, *, renew: bool) -> Material:  # noqa: ARG002 -- a file is always read
        from kubernetes import client, config  # noqa: PLC0415 -- takes a second
        from kubernetes.config.incluster_config import InClusterConfigLoader  # noqa: PLC0415

        configuration = client.Configuration()
        make_loader: Any = InClusterConfigLoader
        loader = make_loader(
            token_filename=str(self._folder / "token"),
            cert_filename=str(self._folder / "ca.crt"),
            try_refresh_token=False,
            environ=self._environ,
        )
        what = f"in-cluster configuration ({self._folder})"
        try:
            loader.load_and_set(configuration)
        except (config.ConfigException, OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{what}: {error}") from error
        self.server = str(configuration.host)
        token = configuration.api_key["BearerToken"]
        return Material(authorization=_header(token, what), ca_file=str(configuration.ssl_ca_cert))
