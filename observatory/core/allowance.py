"""What a run may have by the flags of the operator: how many active Pods, and why not more.

What all runs share is counted elsewhere. A plan is told here how many Pods it may start now, and
tells in return how many more it would have started (`Plan.short`).
"""

from __future__ import annotations

from dataclasses import dataclass

from observatory.api.limits import (
    CLUSTER_FLAG,
    CLUSTER_LIMIT,
    NAMESPACE_FLAG,
    NAMESPACE_LIMIT,
    RUN_FLAG,
    RUN_LIMIT,
)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many active Pods a run may have; None where nothing limits them.

    Attributes:
        run: The most at a time.
        starts: How many it may start now.
        reason: What keeps it from starting more than those: a namespace's limit or the cluster's.
        limit: That limit.
    """

    run: int | None = None
    starts: int | None = None
    reason: str = CLUSTER_LIMIT
    limit: int = 0


UNLIMITED = Allowance()


def limit_message(reason: str, limit: int) -> str:
    """A limit of Pods in words. The same ones as long as it stays: each wording is a write."""
    who, flag = _SCOPES[reason]
    return f"this operator lets {who} have {limit} active Pods ({flag}); goes on as others end"


_SCOPES = {
    RUN_LIMIT: ("a run", RUN_FLAG),
    NAMESPACE_LIMIT: ("a namespace", NAMESPACE_FLAG),
    CLUSTER_LIMIT: ("all namespaces together", CLUSTER_FLAG),
}
