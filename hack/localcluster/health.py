"""Which URL of a component answers 200 when it works."""

from __future__ import annotations

from .slot import Slot

_URLS = {
    "etcd": ("etcd", "http://127.0.0.1:{port}/health"),
    "kube-apiserver": ("kube-apiserver", "https://127.0.0.1:{port}/readyz"),
    "kube-controller-manager": ("kube-controller-manager", "https://127.0.0.1:{port}/healthz"),
    "kube-scheduler": ("kube-scheduler", "https://127.0.0.1:{port}/healthz"),
    "kubelet": ("kubelet-health", "http://127.0.0.1:{port}/healthz"),
    "kwok": ("kwok", "http://127.0.0.1:{port}/healthz"),
}


def url(slot: Slot, component: str) -> str | None:
    """The URL, or None for a component that works as long as it runs."""
    if component not in _URLS:
        return None
    port_user, template = _URLS[component]
    return template.format(port=slot.port(port_user))
