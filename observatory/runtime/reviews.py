"""Asks the API server, before a run begins, whether who asked for it may still create Pods.

The operator creates the runs of schedules with its own rights; without this look they would go on
for ever for somebody whose rights were taken away.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from observatory.api.names import LOCAL_SUBJECT_ACCESS_REVIEWS, PODS
from observatory.api.requester import Requester
from observatory.api.status import Status
from observatory.core.access import Access
from observatory.core.children import Child
from observatory.core.model import Desired
from observatory.core.parent import RunsPlan, begins, plan_runs
from observatory.kube.api import Api
from observatory.kube.errors import KubeError

REMEMBERED = timedelta(seconds=5)
"""How long a yes holds: thousands of schedules fire at the same minute. A no is asked for anew: it
costs a write of the status anyway, and a right that was given back counts at once."""
_MOST_REMEMBERED = 1024
_ZERO = timedelta()


class Reviews:
    """Plans about runs with what the API server says of their requesters."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._allowed: dict[tuple[str, Requester], datetime] = {}

    async def plan(
        self, desired: Desired, status: Status, children: Sequence[Child], now: datetime
    ) -> tuple[RunsPlan, list[KubeError]]:
        """What to do about the runs now, and the failure to learn whether they may begin.

        One request at the most, and none where nothing is about to begin or nobody is recorded.
        """
        made = plan_runs(desired, status, children, now)
        if desired.requester is None or not begins(made, status):
            return made, []
        try:
            access = await self._access(desired.key.namespace, desired.requester, now)
        except KubeError as error:
            # All else goes on: the ends of runs are recorded, what is to be stopped is stopped.
            return plan_runs(desired, status, children, now, Access.UNKNOWN), [error]
        return plan_runs(desired, status, children, now, access), []

    async def _access(self, namespace: str, requester: Requester, now: datetime) -> Access:
        known = self._allowed.get((namespace, requester))
        if known is not None and _ZERO <= now - known < REMEMBERED:
            return Access.ALLOWED
        self._allowed.pop((namespace, requester), None)
        if not await self._ask(namespace, requester):
            return Access.DENIED
        while len(self._allowed) >= _MOST_REMEMBERED:
            del self._allowed[next(iter(self._allowed))]
        self._allowed[namespace, requester] = now
        return Access.ALLOWED

    async def _ask(self, namespace: str, requester: Requester) -> bool:
        attributes = {"namespace": namespace, "verb": "create", "resource": PODS.plural}
        spec = {
            "user": requester.name,
            "uid": requester.uid,
            "groups": list(requester.groups),
            "resourceAttributes": attributes,
        }
        resource = LOCAL_SUBJECT_ACCESS_REVIEWS
        body = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"namespace": namespace},
            "spec": {name: value for name, value in spec.items() if value},
        }
        made = await self._api.create(resource, namespace, body)
        # An `evaluationError` beside a no is no doubt: RBAC has one for each binding to a role that
        # is gone, and deleting the role is one way to take a right away.
        answer = made.get("status") or {}
        return bool(answer.get("allowed")) and not answer.get("denied")
