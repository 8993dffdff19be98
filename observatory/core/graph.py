"""The graph of a workflow's tasks. The only module that knows networkx."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

import networkx as nx


class CycleError(ValueError):
    """The dependencies form a cycle, so that there is no order."""


class Graph:
    """The dependencies between tasks, by name.

    Names that no task has, and dependencies of a task on itself, are left out: `validate` reports
    each of them at its own place. No algorithm here recurses, and a chain may be of any length.
    """

    def __init__(self, dependencies: Mapping[str, Iterable[str]]) -> None:
        """A graph of the keys, each with the names it depends on."""
        self._position = {name: index for index, name in enumerate(dependencies)}
        self._graph: nx.DiGraph[str] = nx.DiGraph()
        self._graph.add_nodes_from(dependencies)
        self._graph.add_edges_from(
            (dependency, name)
            for name, names in dependencies.items()
            for dependency in names
            if dependency in self._position and dependency != name
        )

    def order(self) -> tuple[str, ...]:
        """The names, each after those it depends on; else as given. O(n log n).

        Raises:
            CycleError: There is a cycle.
        """
        order = nx.lexicographical_topological_sort(self._graph, key=self._position.__getitem__)
        try:
            return tuple(order)
        except nx.NetworkXUnfeasible as error:
            raise CycleError("dependency cycle") from error

    def widths(self) -> list[int]:
        """How many names each level has; a level is what waits for all of the levels before it.

        Raises:
            CycleError: There is a cycle.
        """
        try:
            return [len(level) for level in nx.topological_generations(self._graph)]
        except nx.NetworkXUnfeasible as error:
            raise CycleError("dependency cycle") from error

    def cycles(self) -> list[tuple[str, ...]]:
        """A cycle of each group of tasks that wait for each other, in time linear to the edges.

        Each name in a cycle depends on the next one, and the last on the first. It begins with
        the group's first task, and is the shortest one through that task. Groups are the strongly
        connected components: mend one cycle, and others of its group may come to light.
        """
        if nx.is_directed_acyclic_graph(self._graph):
            return []
        components = nx.strongly_connected_components(self._graph)
        groups = [group for group in components if len(group) > 1]
        firsts = [(min(group, key=self._position.__getitem__), group) for group in groups]
        firsts.sort(key=lambda item: self._position[item[0]])
        return [self._shortest_cycle(first, group) for first, group in firsts]

    def _shortest_cycle(self, start: str, group: set[str]) -> tuple[str, ...]:
        # Breadth-first along the edges, from a task to its dependents; read backwards, each name
        # depends on the next.
        came_from: dict[str, str] = {}
        queue = deque([start])
        while start not in came_from:
            name = queue.popleft()
            for dependent in self._graph.successors(name):
                if dependent in group and dependent not in came_from:
                    came_from[dependent] = name
                    queue.append(dependent)
        cycle = [start]
        while (name := came_from[cycle[-1]]) != start:
            cycle.append(name)
        return tuple(cycle)
