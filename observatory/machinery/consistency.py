"""Read your own writes: whether the cache is as new as what we wrote (KEP-5647).

A reconcile on a cache that lacks its own last writes repeats them. client-go once held such
reconciles back by counting expected events, which lost count and expired while the cache still
lagged; versions do neither. Since Kubernetes 1.35 two versions of one resource compare as integers
(KEP-5504).
"""

from __future__ import annotations

from collections.abc import Mapping

from observatory.api.names import Resource


class ConsistencyStore:
    """The newest version that was written for each owner, by resource.

    Owners are UIDs, so that an owner which was deleted and made again under the same name does not
    wait for the writes of its namesake. No owner may be asked about and written for at the same
    time; one worker per key sees to that.
    """

    def __init__(self) -> None:
        self._written: dict[str, dict[Resource, int]] = {}

    def wrote(self, owner_uid: str, resource: Resource, version: int) -> None:
        """Note that a write for the owner came back with `version`."""
        written = self._written.setdefault(owner_uid, {})
        written[resource] = max(version, written.get(resource, 0))

    def lagging(self, owner_uid: str, seen: Mapping[Resource, int]) -> dict[Resource, int]:
        """The versions that the caches have yet to reach before the owner may be worked on.

        `seen` is the version of each cache; a resource without one is not waited for, because
        nothing would end the wait. The answer is empty when the caches have caught up, and then
        the record is dropped. Lag is no failure: requeue when the version is seen, without
        back-off.
        """
        written = self._written.get(owner_uid, {})
        behind = {
            resource: version
            for resource, version in written.items()
            if seen.get(resource, version) < version
        }
        if not behind:
            self.forget(owner_uid)
        return behind

    def forget(self, owner_uid: str) -> None:
        """Drop the record of an owner that is gone."""
        self._written.pop(owner_uid, None)

    def __len__(self) -> int:
        return len(self._written)
