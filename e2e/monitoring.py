"""A real Prometheus and a real Alertmanager, on loopback, and somebody who is notified."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster import ROOT, eventually
from tests.support.packages import program


@dataclass
class Monitoring:
    """What the two servers say, and the notifications that were sent."""

    prometheus: str
    notified: list[dict[str, Any]] = field(default_factory=list)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        url = f"{self.prometheus}/api/v1/query?query={urllib.parse.quote(expression)}"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 -- loopback
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def statuses(self, alert: str, **labels: str) -> list[str]:
        """In which states somebody was told of an alert, in order."""
        wanted = {"alertname": alert, **labels}
        return [
            each["status"]
            for notification in self.notified
            for each in notification["alerts"]
            if wanted.items() <= each["labels"].items()
        ]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def monitoring(folder: Path, target: int, more: Mapping[str, Any]) -> Iterator[Monitoring]:
    """Both servers, scraping a port of loopback; `more` is for the scrape configuration."""
    found = Monitoring(f"http://127.0.0.1:{free_port()}")
    with ExitStack() as stack:
        hook = stack.enter_context(_hook(found))
        alertmanager = f"127.0.0.1:{free_port()}"
        receiver = {"name": "hook", "webhook_configs": [{"url": hook, "send_resolved": True}]}
        route = {"receiver": "hook", "group_wait": "0s", "group_interval": "1s"}
        config = {"route": route, "receivers": [receiver]}
        (folder / "alertmanager.yaml").write_text(yaml.safe_dump(config))
        rules = yaml.safe_load((ROOT / "manifests/prometheus/rules.yaml").read_text())["spec"]
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
        scrape = {
            "job_name": "observatory-operator",
            "honor_labels": True,
            "static_configs": [{"targets": [f"127.0.0.1:{target}"]}],
            **more,
        }
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
            "scrape_configs": [scrape],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        address = found.prometheus.removeprefix("http://")
        stack.enter_context(
            _process(
                *_alertmanager(),
                f"--config.file={folder}/alertmanager.yaml",
                f"--storage.path={folder}/alertmanager",
                f"--web.listen-address={alertmanager}",
                "--cluster.listen-address=",
                log=folder / "alertmanager.log",
            )
        )
        stack.enter_context(
            _process(
                program("prometheus", "prometheus"),
                f"--config.file={folder}/prometheus.yaml",
                f"--storage.tsdb.path={folder}/prometheus",
                f"--web.listen-address={address}",
                "--enable-feature=exemplar-storage",
                log=folder / "prometheus.log",
            )
        )
        for url in (f"http://{alertmanager}/-/ready", f"{found.prometheus}/-/ready"):
            eventually(partial(_answers, url), bool)
        yield found


def _alertmanager() -> tuple[str, ...]:
    """How it is called. Its templates have to be where the distribution puts them."""
    found = program("prometheus-alertmanager", "prometheus-alertmanager")
    share = Path(found).parents[1] / "share"
    if share == Path("/usr/share"):
        return (found,)
    own = 'mount --bind "$0" /usr/share && exec "$@"'  # of this process alone
    return ("unshare", "--mount", "sh", "-c", own, str(share), found)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 -- loopback
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def _process(*argv: str, log: Path) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def _hook(found: Monitoring) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.notified.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
