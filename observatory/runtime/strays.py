"""Pods whose Observatory is gone, or is a namesake of the one that made them."""

from __future__ import annotations

from collections.abc import Sequence

from observatory.api.names import OBSERVATORIES, Key
from observatory.core.model import Desired, Pod
from observatory.core.pods import ref
from observatory.kube.api import Api
from observatory.kube.errors import KubeError, NotFound
from observatory.runtime.executor import together
from observatory.runtime.podwriter import PodWriter


class Strays:
    """Lets go of Pods that no status will ever record; the garbage collector does the rest."""

    def __init__(self, api: Api) -> None:
        self._api = api
        # No cache has to catch up with writes about Pods whose owner is gone.
        self._pods = PodWriter(api, lambda *_: None)

    async def sweep(self, key: Key, strays: Sequence[Pod]) -> list[KubeError]:
        """Let go of Pods that name this Observatory, or a namesake of it, as their owner.

        A gated Pod was never started and never will be: no status is left that could record it.
        What fails is returned: it keeps no other Pod back.
        """
        delete = [pod for pod in strays if pod.gated and not pod.deleting]
        finish = [pod for pod in strays if pod.tracked and (pod.deleting or pod.outcome)]
        if not delete and not finish:
            return []
        try:
            live = await self._live_uid(key)
        except KubeError as error:
            return [error]

        def is_stray(pod: Pod) -> bool:
            return pod.owner_uid is None or pod.owner_uid != live  # else our cache is behind

        owner = Desired(key, "", generation=0, deleting=True)
        errors: list[KubeError] = []
        await together(
            errors,
            *(self._pods.delete(owner, ref(pod)) for pod in delete if is_stray(pod)),
            *(self._pods.finish(owner, ref(pod)) for pod in finish if is_stray(pod)),
        )
        return errors

    async def _live_uid(self, key: Key) -> str | None:
        try:
            observatory = await self._api.get(OBSERVATORIES, key)
        except (NotFound, ValueError):  # labels and owner references can name what no object can
            return None
        uid: str = observatory["metadata"]["uid"]
        return uid
