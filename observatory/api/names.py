"""The names that this project puts into a cluster: resources, labels, gates, Pods.

Every name of a child is derived from its owner, never random: two controllers that make the same
thing at the same time make one thing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

GROUP = "workflow.seventh-horizon.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "Observatory"

FIELD_MANAGER = "observatory-operator"
"""The `fieldManager` of every write, and the reporting controller of every Event."""

LABEL_OBSERVATORY = f"{GROUP}/observatory"
"""On Pods and ControllerRevisions: the name of the Observatory that owns them."""
LABEL_TASK = f"{GROUP}/task"
LABEL_RUN = f"{GROUP}/run"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_PARENT = f"{GROUP}/parent"
"""On the Observatories that are runs of a scheduled one: its name."""
LABEL_SCHEDULE = f"{GROUP}/schedule"
LABEL_TRIGGER = f"{GROUP}/trigger"
LABEL_REVISION = "controller-revision-hash"
"""On Pods: the hash at the end of their ControllerRevision's name; Kubernetes' own label for it."""

FINALIZER = f"{GROUP}/tracking"
"""Keeps a Pod until its outcome is in its Observatory's status."""
FINALLY = f"{GROUP}/finally"
"""Keeps an Observatory until its `finally` has run; only while a run with one is in progress."""
GATE = f"{GROUP}/start"
"""The scheduling gate of a Pod that no status has recorded yet."""

ANNOTATION_RETRY = f"{GROUP}/retry"
ANNOTATION_RETRY_FROM = f"{GROUP}/retry-from"
ANNOTATION_STOP = f"{GROUP}/stop"
ANNOTATION_TERMINATE = f"{GROUP}/terminate"

ANNOTATION_RUN_NOW = f"{GROUP}/run-now"
ANNOTATION_BACKFILL = f"{GROUP}/backfill"
ANNOTATION_BACKFILL_RANGE = f"{GROUP}/backfill-range"
ANNOTATION_BACKFILL_CONCURRENCY = f"{GROUP}/backfill-max-concurrent"

ANNOTATION_SCHEDULED_TIME = f"{GROUP}/scheduled-time"
"""On a run of a scheduled Observatory: its fire time."""
ANNOTATION_RUN_NUMBER = f"{GROUP}/run-number"
ANNOTATION_ADMITTED = f"{GROUP}/admitted"
"""On a run of a scheduled Observatory, once its parent's status has recorded it: that it may begin,
or run again for a request to retry it. Without it, it begins nothing."""

ANNOTATION_TRACEPARENT = f"{GROUP}/traceparent"
ANNOTATION_TRACESTATE = f"{GROUP}/tracestate"
ANNOTATION_BAGGAGE = f"{GROUP}/baggage"
"""A caller's trace (W3C Trace Context and Baggage), which a run of this Observatory continues."""
ANNOTATION_SCHEDULE_TRACE = f"{GROUP}/schedule-traceparent"
"""On a run of a scheduled Observatory: the traceparent of that, to which the run's trace links."""

ANNOTATION_REQUESTED_BY = f"{GROUP}/requested-by"
ANNOTATION_REQUESTED_BY_UID = f"{GROUP}/requested-by-uid"
ANNOTATION_REQUESTED_BY_GROUPS = f"{GROUP}/requested-by-groups"
"""Who wrote what this Observatory runs: the name, the UID, and the groups, one a line. An admission
policy writes them (`api/requester.py`), and nobody else can."""

OPERATE = "operate"
"""The verb that tells operators from others, to the admission policies; no request has it."""

NONCE_LENGTH = 256
"""Characters of a request that are compared and answered; no more than a reasonable nonce."""

TASK_CONTAINER = "task"
"""The name of the container that runs the task."""

LABEL_LENGTH = 63
_HASH_LENGTH = 8
# Kubernetes' safe alphabet for generated names: no vowels, so no words; no look-alikes of letters.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class Key(NamedTuple):
    """The namespace and name of an object; the namespace of a cluster-scoped one is empty."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, and where the API server keeps it."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """The `apiVersion` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """What RBAC messages call it, such as `pods` or `leases.coordination.k8s.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(
        self,
        namespace: str | None = None,
        name: str | None = None,
        subresource: str | None = None,
    ) -> str:
        """The URL path of the collection, one object, or its subresource."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


OBSERVATORIES = Resource(GROUP, VERSION, "observatories", KIND)
PODS = Resource("", "v1", "pods", "Pod")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace")
CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")
TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews", "TokenReview")
SUBJECT_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview"
)
LOCAL_SUBJECT_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview"
)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition"
)


@lru_cache(maxsize=4096)
def short_hash(*parts: str) -> str:
    """Eight characters that are safe in any name and differ when any part differs.

    The parts are length-prefixed, so that ("ab", "c") and ("a", "bc") differ.
    """
    text = "".join(f"{len(part)}:{part}" for part in parts)
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    letters = []
    for _ in range(_HASH_LENGTH):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return "".join(letters)


def pod_name(
    observatory: str, *, uid: str, run: int, revision: str, task: str, attempt: int
) -> str:
    """The name of the Pod of one attempt: readable, at most 63 characters, and of no other attempt.

    `revision` is the hash of the run's revision. A run whose first status lost against an edit
    leaves Pods of the old tasks behind; those of the new ones must not be mistaken for them.

    The readable part is cut where it is too long; the hash covers everything, so what was cut
    still tells two Pods apart, and an Observatory that was deleted and made again has new names.
    """
    suffix = f"-{attempt}-{short_hash(uid, str(run), revision, task, str(attempt))}"
    return _shortened(observatory, task, LABEL_LENGTH - len(suffix)) + suffix


def admission(retry: str | None) -> str:
    """What lets a run begin, or run again for that request to retry it."""
    return "start" if retry is None else f"retry/{retry}"


def run_name(  # noqa: PLR0917 -- what a run is
    parent: str, uid: str, number: int, schedule: str, time: str, trigger: str
) -> str:
    """The name of the Observatory that is one run of a scheduled one; of no other run.

    `time` is its fire time, an RFC 3339 timestamp in UTC; its digits down to the minute are in the
    name, for people.
    """
    digits = "".join(filter(str.isdigit, time))[:12]
    suffix = f"-{digits}-{short_hash(uid, str(number), schedule, time, trigger)}"
    return parent[: LABEL_LENGTH - len(suffix)].rstrip("-.") + suffix


def revision_name(observatory: str, content_hash: str) -> str:
    """The name of the ControllerRevision with that content."""
    return f"{observatory[: LABEL_LENGTH - 1 - len(content_hash)].rstrip('-.')}-{content_hash}"


def revision_hash(name: str) -> str:
    """The hash of the content, from the name of its ControllerRevision."""
    return name.rpartition("-")[2]


def _shortened(observatory: str, task: str, room: int) -> str:
    # The task's name says more than the Observatory's, which is in the label and in the owner too.
    head = max(room - 1 - len(task), room // 3)
    return f"{observatory[:head].rstrip('-.')}-{task}"[:room].rstrip("-.")
