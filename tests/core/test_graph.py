from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.core.graph import CycleError, Graph

letters = st.sampled_from("abcdefgh")
graphs = st.dictionaries(letters, st.lists(letters, max_size=4), max_size=8)


def chain(length: int) -> dict[str, list[str]]:
    return {f"t{index}": [f"t{index - 1}"] if index else [] for index in range(length)}


def test_the_order_is_that_given_unless_a_dependency_says_otherwise() -> None:
    assert Graph({"a": ["c"], "b": [], "c": [], "d": ["b"]}).order() == ("b", "c", "a", "d")


def test_without_dependencies_the_order_is_that_given() -> None:
    assert Graph({"z": [], "a": [], "m": []}).order() == ("z", "a", "m")
    assert Graph({}).order() == ()


@given(graphs)
def test_a_graph_has_an_order_or_a_cycle_and_never_both(graph: dict[str, list[str]]) -> None:
    cycles = Graph(graph).cycles()
    if cycles:
        with pytest.raises(CycleError):
            Graph(graph).order()
        return
    order = Graph(graph).order()
    assert sorted(order) == sorted(graph)
    place = {name: index for index, name in enumerate(order)}
    for name, dependencies in graph.items():
        for dependency in set(dependencies) & set(graph) - {name}:
            assert place[dependency] < place[name]


@given(graphs)
def test_each_step_of_a_cycle_is_a_dependency_and_no_task_is_in_two(
    graph: dict[str, list[str]],
) -> None:
    cycles = Graph(graph).cycles()
    for cycle in cycles:
        assert len(cycle) > 1
        for name, dependency in pairwise((*cycle, cycle[0])):
            assert dependency in graph[name]
    names = [name for cycle in cycles for name in cycle]
    assert len(set(names)) == len(names)


def test_a_cycle_begins_with_its_first_task_and_reads_as_depends_on() -> None:
    assert Graph({"a": ["b"], "b": ["c"], "c": ["a"]}).cycles() == [("a", "b", "c")]


def test_the_shortest_cycle_through_the_first_task_is_shown() -> None:
    graph = {"a": ["b", "d"], "b": ["c"], "c": ["a"], "d": ["a"]}
    assert Graph(graph).cycles() == [("a", "d")]


def test_each_group_gives_one_cycle_in_the_order_of_the_tasks() -> None:
    graph = {"z": ["y"], "y": ["z"], "lone": ["z"], "b": ["a"], "a": ["b"]}
    assert Graph(graph).cycles() == [("z", "y"), ("b", "a")]


def test_unknown_names_and_self_dependencies_are_left_out() -> None:
    graph = Graph({"a": ["a", "nobody"], "b": ["a"]})
    assert graph.cycles() == []
    assert graph.order() == ("a", "b")


def test_a_chain_of_any_length_needs_no_recursion() -> None:
    length = 20_000
    assert Graph(chain(length)).order() == tuple(chain(length))
    ring = chain(length) | {"t0": [f"t{length - 1}"]}
    (cycle,) = Graph(ring).cycles()
    assert len(cycle) == length


def test_one_task_may_depend_on_all_others() -> None:
    graph = {f"t{index}": list[str]() for index in range(4000)}
    graph["end"] = list(graph)
    assert Graph(graph).order()[-1] == "end"


def test_widths_tell_how_many_wait_for_the_same_number_of_others() -> None:
    assert Graph({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}).widths() == [1, 2, 1]
    assert Graph({}).widths() == []
    with pytest.raises(CycleError):
        Graph({"a": ["b"], "b": ["a"]}).widths()
