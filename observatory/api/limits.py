"""What an operator lets its tenants have at most, as the flags of `observatory run` say."""

from __future__ import annotations

from dataclasses import dataclass

from observatory.api.taskschema import MAX_TASKS

TASKS_FLAG = "--max-tasks-per-run"
RUN_FLAG = "--max-active-pods-per-run"
NAMESPACE_FLAG = "--max-active-pods-per-namespace"
CLUSTER_FLAG = "--max-active-pods"

RUN_LIMIT = "RunLimit"
"""Why a task waits whose run has as many active Pods as a run may have."""
NAMESPACE_LIMIT = "NamespaceLimit"
"""Why a task waits in a namespace that has as many active Pods as it may have."""
CLUSTER_LIMIT = "ClusterLimit"
"""Why a task waits where all namespaces together have as many as they may have."""
POD_LIMITS = (RUN_LIMIT, NAMESPACE_LIMIT, CLUSTER_LIMIT)


@dataclass(frozen=True, slots=True)
class Limits:
    """The most of everything; None where there is no limit.

    A Pod is active from when a status records it until it has ended.

    Attributes:
        tasks: Tasks in `spec.tasks` of a run; `finally` has 100 at most, as the CRD says.
        run: Active Pods of one run.
        namespace: Active Pods of all runs of one namespace.
        cluster: Active Pods of all runs that the operator works on.
    """

    tasks: int = MAX_TASKS
    run: int | None = None
    namespace: int | None = None
    cluster: int | None = None


NO_LIMITS = Limits()
"""What is so without any flag: as many tasks as the CRD takes."""
