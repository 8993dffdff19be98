"""Where the tasks of a DAG go in a drawing: in layers, with few crossings. Pure.

Each task is in the layer after the last of what it depends on. Within the layers tasks are ordered
by the mean place of their neighbours, sweeping down and up (Sugiyama, Tagawa, Toda 1981).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_SWEEPS = 4


def layers(dependencies: Mapping[str, Sequence[str]], order: Sequence[str]) -> list[list[str]]:
    """The layers from the first to the last; `order` lists each name after its dependencies."""
    depth: dict[str, int] = {}
    for name in order:
        known = [depth[each] for each in dependencies[name] if each in depth]
        depth[name] = max(known, default=-1) + 1
    made: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name in order:
        made[depth[name]].append(name)
    after: dict[str, list[str]] = {name: [] for name in order}
    for name in order:
        for each in dependencies[name]:
            if each in after:
                after[each].append(name)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        neighbours: Mapping[str, Sequence[str]] = dependencies if down else after
        for layer in made if down else reversed(made):
            place = {name: at for each in made for at, name in enumerate(each)}
            layer.sort(key=lambda name: _mean(neighbours[name], place, place[name]))
    return made


def _mean(names: Sequence[str], place: Mapping[str, int], else_: int) -> float:
    known = [place[name] for name in names if name in place]
    return sum(known) / len(known) if known else float(else_)
